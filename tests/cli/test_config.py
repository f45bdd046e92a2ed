"""Settings: flag over environment over market_spine.toml over default, and none of their secrets printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support import weekly_files
from support.commands import RunCommand

import market_spine
from market_spine import config
from market_spine.errors import ConfigurationError

WEEK = "2025-12-26"
RUN = ("--weeks", WEEK, "--data-dir", "files", "--run-date", "2026-01-30", "--cron")


def settings(tmp_path: Path, text: str) -> config.Settings:
    path = tmp_path / "market_spine.toml"
    path.write_text(text, "utf-8")
    return config.read(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weekly_files.write_week(tmp_path / "files", WEEK)
    return tmp_path


PRECEDENCE = [
    pytest.param((), {}, "", "data/market_spine.db", id="default"),
    pytest.param((), {}, 'db = "file.db"', "file.db", id="file over default"),
    pytest.param((), {"MARKET_SPINE_DB": "env.db"}, 'db = "file.db"', "env.db", id="environment over file"),
    pytest.param(("--db", "flag.db"), {"MARKET_SPINE_DB": "env.db"}, 'db = "file.db"', "flag.db", id="flag over all"),
]


@pytest.mark.parametrize(("flags", "environment", "file", "database"), PRECEDENCE)
def test_the_nearest_setting_wins(
    run_command: RunCommand, folder: Path, flags: tuple[str, ...], environment: dict[str, str], file: str, database: str
) -> None:
    (folder / "market_spine.toml").write_text(file)
    ran = run_command("run_finra_weekly_schedule", *RUN, *flags, env=environment, cwd=folder)
    assert ran.exit_code == 0, ran.stderr
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*.db")] == [database]


def test_the_operators_commands_read_the_same_file(run_command: RunCommand, folder: Path) -> None:
    (folder / "market_spine.toml").write_text('db = "file.db"\nlookback-weeks = 3\n')
    assert "file.db made with" in run_command("spine", "db", "init", cwd=folder).stdout


def test_a_named_file_takes_the_place_of_the_one_found(run_command: RunCommand, folder: Path) -> None:
    (folder / "market_spine.toml").write_text('db = "found.db"')
    (folder / "other.toml").write_text('db = "named.db"')
    for arguments, environment in ((("--config", "other.toml"), {}), ((), {"MARKET_SPINE_CONFIG": "other.toml"})):
        run_command("run_finra_weekly_schedule", *RUN, *arguments, env=environment, cwd=folder)
        assert [path.name for path in folder.glob("*.db")] == ["named.db"]
        (folder / "named.db").unlink()


WRONG = [
    pytest.param("lookback-weks = 3", "market_spine.toml has an unknown entry lookback-weks. Try: did you mean lookback-weeks?"),
    pytest.param("[sreve]\nport = 1", "market_spine.toml has an unknown entry [sreve]."),
    pytest.param("[db]\nport = 1\n[run_finra_weekly_schedule]\ndbb = 'x'", "unknown entry [run-finra-weekly-schedule] dbb"),
    pytest.param("db = ", "cannot read market_spine.toml: "),
    pytest.param("lookback-weeks = 'x'", "'x' is not a whole number from 1 to 5,200 (from market_spine.toml)"),
    pytest.param("notify-level = 'LOUD'", "(from market_spine.toml)"),
    pytest.param("expected-by = 'Freitag'", "--expected-by 'Freitag' is not a day and time"),
    pytest.param("ping-url = 'file:///etc/passwd'", "--ping-url is not an http or https address"),
]


@pytest.mark.parametrize(("file", "printed"), WRONG)
def test_what_is_wrong_in_the_file_is_reported_in_one_line(run_command: RunCommand, folder: Path, file: str, printed: str) -> None:
    (folder / "market_spine.toml").write_text(file)
    ran = run_command("run_finra_weekly_schedule", *RUN[2:], cwd=folder)
    assert (ran.exit_code, ran.stderr.count("\n"), ran.stdout) == (2, 1, "")
    assert printed in ran.stderr


def test_a_named_file_must_be_there(run_command: RunCommand, folder: Path) -> None:
    ran = run_command("run_finra_weekly_schedule", *RUN, "--config", "none.toml", cwd=folder)
    assert (ran.exit_code, ran.stderr) == (
        2,
        "Error: there is no settings file none.toml. Try: check --config or MARKET_SPINE_CONFIG\n",
    )


def test_a_list_is_what_one_would_have_typed(run_command: RunCommand, folder: Path) -> None:
    (folder / "market_spine.toml").write_text('tiers = ["OTC", "NMS_TIER_1"]\nrun-date = 2026-01-30\ndb = "x.db"')
    ran = run_command("run_finra_weekly_schedule", *RUN[:4], "--cron", cwd=folder)
    assert "exit 0, 2 ingested" in ran.stdout


def test_settings_without_an_option_stand_below_the_environment(tmp_path: Path) -> None:
    read = settings(tmp_path, 'finra-client-id = "from file"\nhttp-timeout = 7\ndb = "x"')
    given = read.environment({"MARKET_SPINE_FINRA_CLIENT_ID": "from environment", "PATH": "/bin"})
    assert given == {
        "MARKET_SPINE_FINRA_CLIENT_ID": "from environment",
        "MARKET_SPINE_HTTP_TIMEOUT": "7",
        "PATH": "/bin",
    }


def test_a_table_holds_for_its_command_alone(tmp_path: Path) -> None:
    read = settings(tmp_path, 'db = "all.db"\n[serve]\nport = 1\ndb = "serve.db"')
    assert read.defaults("serve", {"db": "db", "port": "port"}) == {"db": "serve.db", "port": 1}
    assert read.defaults("status", {"db": "db", "port": "port"}) == {"db": "all.db"}
    with pytest.raises(ConfigurationError, match=r"\[serve\] port"):
        read.defaults("serve", {"db": "db"})


SHOWN = [
    ("db", "data/x.db", "data/x.db"),
    ("db", "postgresql://desk:geheim@host/spine?password=geheim", "postgresql://desk@host/spine"),
    ("notify", ("mailtos://me:geheim@example.com", "slack://geheim/geheim"), "mailtos://***, slack://***"),
    ("ping_url", "https://hc-ping.com/geheim", "https://***"),
    ("pushgateway", "http://me:geheim@push:9091/x", "http://***@push:9091/x"),
    ("finra_client_secret", "geheim", "***"),
    ("finra_client_secret_file", "/run/secrets/finra", "/run/secrets/finra"),
    ("ping_url", None, ""),
]


@pytest.mark.parametrize(("name", "value", "text"), SHOWN)
def test_a_value_is_shown_without_its_secrets(name: str, value: object, text: str) -> None:
    assert config.shown(name, value) == text


def test_config_show_says_each_value_and_its_origin(run_command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "market_spine.toml").write_text(
        'lookback-weeks = 8\nnotify = ["slack://geheim/geheim/geheim"]\nhttp-timeout = 7\nfinra-client-secret = "geheim"\n'
    )
    environment = {"MARKET_SPINE_DB": "postgresql://me:geheim@host/x", "MARKET_SPINE_FINRA_CLIENT_ID": "desk"}
    flags = ("--origin", "--", "--tiers", "OTC")
    shown = run_command("spine", "config", "show", *flags, env=environment, cwd=tmp_path)
    assert (shown.exit_code, "geheim" in shown.stdout + shown.stderr) == (0, False)
    table = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines()}
    assert table["lookback-weeks"] == ["8", "market_spine.toml"]
    assert table["tiers"] == ["OTC", "flag"]
    assert table["db"] == ["postgresql://me@host/x", "environment"]
    assert table["mode"] == ["run", "default"]
    assert table["notify"] == ["slack://***", "market_spine.toml"]
    assert table["http-timeout"] == ["7", "market_spine.toml"]
    assert table["finra-client-id"] == ["desk", "environment"]
    assert table["finra-client-secret"] == ["***", "market_spine.toml"]
    assert table["ping-url"] == ["default"]


def test_config_show_as_json_and_without_origin(run_command: RunCommand, tmp_path: Path) -> None:
    document = json.loads(run_command("spine", "config", "show", "--json", cwd=tmp_path).stdout)
    assert document["schema_version"] == 1
    assert {"name": "mode", "value": "run", "origin": "default"} in document["settings"]
    assert "origin" not in run_command("spine", "config", "show", cwd=tmp_path).stdout


def test_config_show_says_what_the_run_would_say(run_command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "market_spine.toml").write_text("lookback-weeks = 'x'")
    shown = run_command("spine", "config", "show", cwd=tmp_path)
    assert (shown.exit_code, "(from market_spine.toml)" in shown.stderr) == (2, True)


def test_every_environment_setting_the_program_reads_is_known() -> None:
    sources = Path(market_spine.__file__).parent.rglob("*.py")
    named = {name for path in sources for name in re.findall(r"MARKET_SPINE_[A-Z_]+[A-Z]\b", path.read_text("utf-8"))}
    from market_spine.cli.weekly import command

    options = {config.environment_name(name) for name in [*_option_names(command), "config", "json"]}
    assert named - options - set(config.SETTINGS) == set()


def _option_names(command: object) -> list[str]:
    import click

    from market_spine.cli.options import option_names

    assert isinstance(command, click.Command)
    return list(option_names(command))
