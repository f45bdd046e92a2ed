"""What --db may name, at every door: a path or PostgreSQL's URL, and nothing that would become a folder by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import weekly_files
from support.commands import RunCommand

from market_spine.db import connect, redact, resolve
from market_spine.errors import ConfigurationError

RUN = "run_finra_weekly_schedule"
WEEK = "2025-12-26"

REFUSED = [
    ("mysql://me:geheim@host/spine", "--db data/market_spine.db, or --db postgresql://user@host/name"),
    ("sqlite:///data/x.db", "--db data/x.db"),
    ("sqlite:////var/lib/x.db", "--db /var/lib/x.db"),
    ("sqlite+pysqlite:///x.db", "--db x.db"),
    ("file:///var/lib/x.db", "--db /var/lib/x.db"),
    ("postgresqll://me@host/spine", "--db postgresql://me@host/spine"),
    ("postgre://me@host/spine", "--db postgresql://me@host/spine"),
    ("postgresql+psycopg://me:geheim@host/spine", "--db postgresql://me@host/spine"),
    ("POSTGRESQL://me@host/spine", "--db postgresql://me@host/spine"),
    ("postgresql:/me@host/spine", "--db postgresql://me@host/spine"),
    ("https://example.com/x.db", "--db data/market_spine.db, or --db postgresql://user@host/name"),
    ("~nobody-of-that-name/x.db", "--db ./~nobody-of-that-name/x.db"),
    ("jdbc:postgresql://me:geheim@host/spine", "--db postgresql://me@host/spine"),
    ("jdbc:mysql://me:geheim@host/spine", "--db data/market_spine.db, or --db postgresql://user@host/name"),
    ("postgresql:spine", "--db postgresql://spine"),
    ("file:x.db", "--db x.db"),
    ("sqlite:x.db", "--db x.db"),
    ("host=db dbname=spine password=geheim", "--db postgresql://user@host/name"),
    ("dbname = spine", "--db postgresql://user@host/name"),
    ("", "--db data/market_spine.db"),
    (" ", "--db data/market_spine.db"),
    ("--quiet", "--db data/market_spine.db"),
]


@pytest.mark.parametrize(("given", "hint"), REFUSED, ids=[given for given, _ in REFUSED])
def test_what_is_no_path_and_no_postgresql_url_is_refused_with_the_right_spelling(given: str, hint: str) -> None:
    for door in (resolve, connect):
        with pytest.raises(ConfigurationError) as refused:
            door(given)
        assert (refused.value.hint, "geheim" in refused.value.message) == (hint, False)


TAKEN = [
    ("data/x.db", "data/x.db"), ("/var/lib/x.db", "/var/lib/x.db"), (":memory:", ":memory:"), ("C:/data/x.db", "C:/data/x.db"),
    ("./~x.db", "./~x.db"), ("~/x.db", "/home/me/x.db"), ("postgresql://me@host/spine", "postgresql://me@host/spine"),
    ("postgres://me@host/spine", "postgres://me@host/spine"), ("./--x.db", "./--x.db"), ("a:b.db", "a:b.db"),
    ("files.db", "files.db"), ("hosts/x.db", "hosts/x.db"),
]


@pytest.mark.parametrize(("given", "opened"), TAKEN, ids=[given for given, _ in TAKEN])
def test_what_is_taken(given: str, opened: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert resolve(given) == opened


def test_no_malformed_url_shows_its_password() -> None:
    assert redact("mysql://me:geheim@host/x") == "mysql://me@host/x"


DOORS = [
    pytest.param((RUN,), id="the weekly run"),
    pytest.param((RUN, "--mode", "dry-run"), id="a dry run"),
    pytest.param(("spine", "status"), id="status"),
    pytest.param(("spine", "doctor"), id="doctor"),
    pytest.param(("spine", "backfill", "--from", WEEK, "--to", WEEK), id="backfill"),
    pytest.param(("spine", "worker", "--drain"), id="worker"),
    pytest.param(("spine", "serve"), id="serve"),
    pytest.param(("spine", "db", "init"), id="db init"),
    pytest.param(("spine", "preflight"), id="preflight"),
]


@pytest.mark.parametrize("command", DOORS)
def test_every_door_refuses_it_and_makes_nothing(run_command: RunCommand, tmp_path: Path, command: tuple[str, ...]) -> None:
    bad, settings = "mysql://host/spine", tmp_path / "elsewhere.toml"
    settings.write_text(f'db = "{bad}"\n')
    for arguments, env in ((("--db", bad), {}), ((), {"MARKET_SPINE_DB": bad}), (("--config", str(settings)), {})):
        done = run_command(*command, *arguments, env=env)
        assert (done.exit_code, "neither a path nor a PostgreSQL URL" in done.stderr + done.stdout) in ((2, True), (1, True))
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere.toml"]


def test_both_ends_of_a_copy_are_checked(run_command: RunCommand, tmp_path: Path) -> None:
    assert run_command("spine", "db", "init", "--db", "~/old.db", env={"HOME": str(tmp_path)}).exit_code == 0
    assert (tmp_path / "old.db").exists(), "~ is the home"
    assert run_command("spine", "db", "copy", "old.db", "sqlite:///new.db").exit_code == 2
    assert run_command("spine", "db", "copy", "sqlite:///old.db", "new.db").exit_code == 2
    assert run_command("spine", "db", "copy", "old.db", "~/new.db").exit_code == 0


def test_a_copy_of_what_cannot_be_copied_makes_no_destination(run_command: RunCommand, tmp_path: Path) -> None:
    done = run_command("spine", "db", "copy", ":memory:", "new.db")
    assert (done.exit_code, "is not at schema" in done.stderr, (tmp_path / "new.db").exists()) == (2, True, False)


NEVER_MAKE = [
    ("spine", "status"), ("spine", "doctor"), ("spine", "doctor", "--fix", "--data-dir", "files"), (RUN, "--mode", "dry-run", "--data-dir", "files"),
    ("spine", "run", "ingest_week", "--week", WEEK, "--tier", "OTC", "--data-dir", "files"), ("spine", "rebuild"),
    ("spine", "retry", "x"), ("spine", "work", "list"), ("spine", "worker", "--drain"), ("spine", "serve"),
    ("spine", "metrics"), ("spine", "verify"), ("spine", "db", "migrate"), ("spine", "anomalies"),
    ("spine", "ack", "1", "--reason", "x", "--until", "2030-01-04"), (RUN, "--data-dir", "none", "--ping-url", "http://127.0.0.1:9/x"),
    ("spine", "notify", "test"), ("spine", "preflight"), ("spine", "rollback", WEEK, "--reason", "x"),
]


@pytest.mark.parametrize("command", NEVER_MAKE, ids=" ".join)
@pytest.mark.one_engine
def test_no_other_command_makes_a_database(
    run_command: RunCommand, new_target: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    run_command(*command, "--db", new_target)
    if "://" in new_target:
        db = connect(new_target)
        assert db.tables() == {}
        db.close()
    else:
        assert [path.name for path in tmp_path.iterdir()] == ["files"]


@pytest.mark.parametrize("how", ["--cron", "--quiet", "--json"])
def test_a_run_that_makes_a_database_warns_of_it_once(run_command: RunCommand, new_target: str, tmp_path: Path, how: str) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    arguments = (RUN, "--db", new_target, "--data-dir", "files", "--weeks", WEEK, "--run-date", "2026-01-30", how)
    assert f"[WARN]      new database {redact(new_target)}\n" in run_command(*arguments).stderr
    assert "new database" not in run_command(*arguments).stderr


def test_so_does_a_backfill(run_command: RunCommand, new_target: str, tmp_path: Path) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    done = run_command("spine", "backfill", "--from", WEEK, "--to", WEEK, "--db", new_target, "--data-dir", "files")
    assert f"new database {redact(new_target)}" in done.stderr


def test_a_name_that_ends_as_a_folder_is_no_database(run_command: RunCommand, tmp_path: Path) -> None:
    done = run_command("spine", "db", "init", "--db", "new/")
    assert (done.exit_code, done.stderr) == (2, "Error: the database new/ is a folder. Try: name a file: --db new/market_spine.db\n")
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_no_database(run_command: RunCommand) -> None:
    done = run_command("spine", "db", "init", "--db", "/dev/tty")
    assert (done.exit_code, "/dev/tty is not a file" in done.stderr) == (2, True)
