"""What preflight finds on a machine that is fit, and on one that is not."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from support.commands import RunCommand
from support.listeners import Listener, http_listener

from market_spine import clock
from market_spine.core import executions
from market_spine.core.locks import run_lock
from market_spine.db import Database, connect, migrations
from market_spine.operate import preflight
from market_spine.operate.preflight import Finding, Grade, Machine, cron_line, examine

NOW = datetime(2026, 1, 9, 13, tzinfo=timezone.utc)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with http_listener() as listening:
        yield listening


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "files").mkdir()
    return Machine(str(tmp_path / "market_spine.db"), "file", str(tmp_path / "files"), {}, NOW)


def found(machine: Machine, check: str) -> Finding:
    (finding,) = [finding for finding in examine(machine) if finding.check == check]
    return finding


def test_a_fit_machine_passes_and_nothing_is_made(machine: Machine, tmp_path: Path) -> None:
    findings = examine(machine)
    assert {finding.grade for finding in findings} == {Grade.OK}, findings
    assert {finding.check for finding in findings} == {
        "file system", "disk", "database folder", "engine", "schema", "zone", "data folder",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_a_database_in_use_is_looked_at(machine: Machine, db: Database, target: str) -> None:
    mine = replace(machine, db=target)
    assert found(mine, "schema").message.endswith("is current")
    assert found(mine, "lock").message == "nobody holds it"
    assert found(mine, "engine").message.startswith({"sqlite": "SQLite 3.", "postgresql": "PostgreSQL "}[db.engine])


def test_a_held_lock_is_said(machine: Machine, db: Database, target: str) -> None:
    with contextlib.closing(db.reopen()) as other, run_lock(other, "20260109T130000-0"):
        lock = found(replace(machine, db=target), "lock")
    assert lock.grade is Grade.WARN
    assert f"held by run 20260109T130000-0 (pid {os.getpid()} on " in lock.message


def test_an_old_schema_and_a_late_clock_are_failures(machine: Machine, db: Database, target: str) -> None:
    executions.start(db, "later", "weekly_schedule", date(2026, 1, 9), {}, NOW + timedelta(hours=1))
    mine = replace(machine, db=target)
    assert found(mine, "clock").grade is Grade.FAIL
    assert found(replace(mine, now=NOW + timedelta(hours=1)), "clock").grade is Grade.OK
    with db.transaction():
        db.execute("DELETE FROM core_migrations WHERE number > 1")
    schema = found(mine, "schema")
    assert schema.grade is Grade.FAIL
    assert "spine db migrate" in (schema.hint or "")


def test_what_is_no_database_is_a_failure(machine: Machine) -> None:
    Path(machine.db).write_bytes(b"something else altogether" * 100)
    assert found(machine, "database").message.endswith("is not a SQLite database")


def test_nobody_at_the_postgresql_address_is_a_failure(machine: Machine) -> None:
    pytest.importorskip("psycopg")
    finding = found(replace(machine, db="postgresql://me:geheim@127.0.0.1:9/x"), "database")
    assert finding.grade is Grade.FAIL
    assert "geheim" not in finding.message


def test_a_missing_data_folder_is_a_failure(machine: Machine) -> None:
    assert found(replace(machine, data_dir="/no/such"), "data folder").grade is Grade.FAIL


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_failure(machine: Machine, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert found(machine, "database folder").grade is Grade.FAIL


def test_a_metrics_folder_that_is_not_there_is_a_failure(machine: Machine) -> None:
    finding = found(replace(machine, metrics_textfile="/no/such/x.prom"), "metrics folder")
    assert (finding.grade, finding.message) == (Grade.FAIL, "/no/such cannot be written: No such file or directory")


@pytest.mark.parametrize(("mode", "who"), [(0o600, None), (0o640, "its group"), (0o644, "everybody on this machine")])
def test_a_database_file_is_for_its_user_only(machine: Machine, mode: int, who: str | None) -> None:
    connect(machine.db, create=True).close()
    Path(machine.db).chmod(mode)
    warned = [(f.grade, f.message, f.hint) for f in examine(machine) if f.check == "database file"]
    words = f"{machine.db} is open to {who} (mode {mode:04o})"
    assert warned == ([(Grade.WARN, words, f"chmod 600 {machine.db}")] if who else [])


@pytest.mark.parametrize(("mode", "grade"), [(0o600, Grade.OK), (0o400, Grade.OK), (0o640, Grade.WARN), (0o644, Grade.WARN)])
def test_a_settings_file_is_for_its_user_only(machine: Machine, tmp_path: Path, mode: int, grade: Grade) -> None:
    path = tmp_path / "market_spine.toml"
    path.touch()
    path.chmod(mode)
    assert found(replace(machine, settings_file=str(path)), "settings").grade is grade


@pytest.mark.parametrize(
    ("mode", "ours", "is_open"),
    [(0o640, True, True), (0o640, False, False), (0o440, False, False), (0o660, False, True), (0o644, False, True)],
)
def test_what_root_owns_and_mounts_is_read_by_its_group(mode: int, ours: bool, is_open: bool) -> None:
    assert preflight.is_open(mode, ours=ours) is is_open


def api(machine: Machine, listener: Listener, **environ: str) -> Machine:
    return replace(machine, source="api", environ={"MARKET_SPINE_FINRA_BASE_URL": listener.url, **environ}, now=clock.utc_now())


@pytest.mark.parametrize("answer", [200, 401, 404, 500])
def test_an_api_that_answers_anything_is_there(machine: Machine, listener: Listener, answer: int) -> None:
    listener.answers[:] = [answer]
    findings = {finding.check: finding for finding in examine(api(machine, listener))}
    assert {findings[check].grade for check in ("API", "clock", "credentials")} == {Grade.OK}
    assert listener.paths == ["GET "] or listener.paths == ["GET /"]


def test_a_clock_that_is_not_the_apis_is_a_failure(machine: Machine, listener: Listener) -> None:
    late = replace(api(machine, listener), now=clock.utc_now() - timedelta(minutes=5))
    (clock_finding,) = [finding for finding in examine(late) if finding.check == "clock"]
    assert clock_finding.grade is Grade.FAIL
    assert "behind" in clock_finding.message


def test_an_api_that_does_not_answer_is_a_failure(machine: Machine) -> None:
    gone = replace(machine, source="api", environ={"MARKET_SPINE_FINRA_BASE_URL": "http://127.0.0.1:9"})
    assert found(gone, "API").grade is Grade.FAIL


def test_credentials_must_be_readable_and_should_be_private(machine: Machine, listener: Listener, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    named = {"MARKET_SPINE_FINRA_CLIENT_ID": "me", "MARKET_SPINE_FINRA_CLIENT_SECRET_FILE": str(secret)}
    missing = found(api(machine, listener, **named), "credentials")
    assert (missing.grade, "cannot read" in missing.message) == (Grade.FAIL, True)
    secret.write_text("geheim")
    secret.chmod(0o644)
    assert found(api(machine, listener, **named), "credentials").grade is Grade.WARN
    secret.chmod(0o600)
    assert found(api(machine, listener, **named), "credentials").grade is Grade.OK


def test_sqlite_on_a_network_file_system_is_a_failure() -> None:
    assert preflight.judge_file_system("nfs4", Path("/srv")).grade is Grade.FAIL
    assert preflight.judge_file_system("ext4", Path("/srv")).grade is Grade.OK


@pytest.mark.parametrize(("free_mb", "grade"), [(100, Grade.FAIL), (200, Grade.WARN), (2047, Grade.WARN), (2048, Grade.OK)])
def test_room_is_needed(free_mb: int, grade: Grade) -> None:
    assert preflight.judge_space(free_mb << 20, Path("/srv")).grade is grade


@pytest.mark.parametrize(
    ("seconds", "grade"), [(0, Grade.OK), (60, Grade.OK), (-60, Grade.OK), (61, Grade.FAIL), (-61, Grade.FAIL)]
)
def test_a_minute_of_clock_is_forgiven(seconds: float, grade: Grade) -> None:
    assert preflight.judge_clock(seconds).grade is grade


LINES = [
    pytest.param(ZoneInfo("America/New_York"), False, "0 8 * * 5 run", id="in New York"),
    pytest.param(ZoneInfo("America/Toronto"), False, "0 8 * * 5 run", id="a zone with New York's hours"),
    pytest.param(
        ZoneInfo("America/Panama"), True, "CRON_TZ=America/New_York\n0 8 * * 5 run", id="New York's hours in winter only"
    ),
    pytest.param(timezone.utc, True, "CRON_TZ=America/New_York\n0 8 * * 5 run", id="a cron that knows zones"),
    pytest.param(
        timezone.utc, False, '0 * * * * [ "$(TZ=America/New_York date +\\%u\\%H)" = 508 ] && run', id="one that does not"
    ),
]


@pytest.mark.parametrize(("zone", "knows", "line"), LINES)
def test_the_cron_line_is_friday_morning_in_new_york(zone: ZoneInfo | timezone, knows: bool, line: str) -> None:
    assert cron_line("run", NOW, zone, knows_cron_tz=knows) == line


def test_the_command_says_it_all_and_its_exit_code_says_whether(run_command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    good = run_command("spine", "preflight", "--data-dir", "files", cwd=tmp_path)
    assert good.exit_code == 0, good.stdout
    assert "✓ engine: SQLite" in good.stdout
    assert f"cd {tmp_path} && " in good.stdout.splitlines()[-1]
    bad = run_command("spine", "preflight", "--data-dir", "none", "--json", cwd=tmp_path)
    document = json.loads(bad.stdout)
    assert (bad.exit_code, document["schema_version"]) == (1, 1)
    assert [finding["check"] for finding in document["findings"] if finding["grade"] == "fail"] == ["data folder"]
    assert document["cron_line"].endswith("run_finra_weekly_schedule --cron --data-dir none")


def test_percent_signs_of_the_command_do_not_end_the_cron_line() -> None:
    assert cron_line("run --x a%20b", NOW, ZoneInfo("America/New_York"), knows_cron_tz=False) == "0 8 * * 5 run --x a\\%20b"


def test_the_cron_line_keeps_its_own_flags(run_command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "weekly files").mkdir()
    (tmp_path / "settings.toml").write_text("lookback-weeks = 8\n")
    (tmp_path / "settings.toml").chmod(0o600)
    given = (
        "--data-dir", "weekly files", "--db", "here.db", "--max-file-mb", "99", "--allow-links", "--config", "settings.toml",
        "--grace-days", "2", "--expected-by", "Fri 12:00",
    )
    done = run_command("spine", "preflight", *given, "--json", cwd=tmp_path)
    line = json.loads(done.stdout)["cron_line"]
    assert done.exit_code == 0, done.stdout
    kept = shlex.split(line.partition("run_finra_weekly_schedule ")[2])
    assert kept[0] == "--cron"
    pairs = {kept[n]: kept[n + 1] for n in range(1, len(kept) - 1) if kept[n].startswith("--") and kept[n] != "--allow-links"}
    assert pairs == {name: given[n + 1] for n, name in enumerate(given) if name.startswith("--") and name != "--allow-links"}
    assert "--allow-links" in kept
    rehearsed = run_command("run_finra_weekly_schedule", *kept, "--mode", "dry-run", cwd=tmp_path)
    assert "No database writes performed." in rehearsed.stdout, "and it works"


def test_a_password_is_not_put_into_the_cron_line(run_command: RunCommand, tmp_path: Path) -> None:
    done = run_command("spine", "preflight", "--db", "postgresql://me:geheim@127.0.0.1:9/x", cwd=tmp_path)
    assert ("geheim" in done.stdout + done.stderr, "⚠ password: " in done.stdout) == (False, True)
    assert "--db postgresql://me@127.0.0.1:9/x" in done.stdout.splitlines()[-1]


def broken_database(folder: Path) -> None:
    (folder / "spine.db").write_bytes(b"something else altogether" * 100)


def folder_as_database(folder: Path) -> None:
    (folder / "spine.db").mkdir()


def pipe_as_database(folder: Path) -> None:
    os.mkfifo(folder / "spine.db")


def with_schema(sql: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with contextlib.closing(connect(str(folder / "spine.db"))) as db:
            migrations.prepare(db)
            db.execute(sql)

    return make


def settings_file(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "market_spine.toml").write_text(text) and None


def calendar(folder: Path) -> None:
    (folder / "calendar.toml").write_text("closed = nonsense")


REFUSALS: list[Any] = [
    pytest.param(None, ("--data-dir", "none"), {}, id="no data folder"),
    pytest.param(None, ("--db", "market_spine.toml/x.db"), {}, id="a folder that cannot be"),
    pytest.param(None, ("--db", "mysql://host/x"), {}, id="another database's URL"),
    pytest.param(broken_database, (), {}, id="no database"),
    pytest.param(folder_as_database, (), {}, id="a folder"),
    pytest.param(pipe_as_database, (), {}, id="a pipe"),
    pytest.param(with_schema("INSERT INTO core_migrations VALUES (99, 'x', '2030', 'x')"), (), {}, id="a newer schema"),
    pytest.param(with_schema("DELETE FROM core_migrations WHERE number > 1"), (), {}, id="an older schema"),
    pytest.param(with_schema("UPDATE core_migrations SET digest = 'x'"), (), {}, id="an edited migration"),
    pytest.param(None, ("--calendar-file", "none.toml"), {}, id="no calendar file"),
    pytest.param(calendar, ("--calendar-file", "calendar.toml"), {}, id="a malformed calendar file"),
    pytest.param(settings_file('tiers = "T9"'), (), {}, id="an unknown tier"),
    pytest.param(settings_file('weeks = "2025-12-25"'), (), {}, id="a week that ends on a Thursday"),
    pytest.param(settings_file('run-date = "soon"'), (), {}, id="a run date that is none"),
    pytest.param(settings_file('mode = "walk"'), (), {}, id="an unknown mode"),
    pytest.param(settings_file("nonsense = 1"), (), {}, id="an unknown entry"),
    pytest.param(settings_file("no toml"), (), {}, id="a malformed settings file"),
    pytest.param(None, ("--config", "none.toml"), {}, id="no settings file"),
    pytest.param(None, (), {"MARKET_SPINE_LOCK_LEASE": "x"}, id="a malformed number in the environment"),
    pytest.param(None, ("--expected-by", "never"), {}, id="a malformed deadline"),
    pytest.param(None, ("--ping-url", "ftp://x"), {}, id="a malformed ping address"),
    pytest.param(None, ("--source", "file_url"), {}, id="an address source without an address"),
    pytest.param(None, ("--source", "api"), {"MARKET_SPINE_FINRA_CLIENT_ID": "me"}, id="a login without its secret"),
    pytest.param(None, ("--source", "api"), {"MARKET_SPINE_FINRA_BASE_URL": "nowhere"}, id="a malformed API address"),
]


@pytest.mark.parametrize(("prepare", "flags", "env"), REFUSALS)
def test_what_the_run_refuses_fails_the_preflight(
    run_command: RunCommand, tmp_path: Path, prepare: Callable[[Path], None] | None, flags: tuple[str, ...], env: dict[str, str]
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "market_spine.toml").touch(0o600)
    if prepare:
        prepare(tmp_path)
    usual = () if "--db" in flags else ("--db", "spine.db")
    usual += () if "--data-dir" in flags else ("--data-dir", "files")
    look = run_command("spine", "preflight", *usual, *flags, env=env, cwd=tmp_path)
    assert look.exit_code in (1, 2), look.stdout
    assert (look.exit_code == 2) or "✗" in look.stdout
    assert run_command("run_finra_weekly_schedule", *usual, *flags, env=env, cwd=tmp_path).exit_code == 2


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("prepared", [True, False], ids=["with a schema", "empty"])
def test_a_database_for_reading_only_fails_and_one_for_writing_is_left_as_it_was(
    machine: Machine, new_target: str, prepared: bool
) -> None:
    with contextlib.closing(connect(new_target)) as db:
        if prepared:
            migrations.prepare(db)
        before = db.tables()
        reading = f"{new_target}?options=-c%20default_transaction_read_only%3Don"
        assert found(replace(machine, db=reading), "writing").grade is Grade.FAIL
        assert found(replace(machine, db=new_target), "writing").grade is Grade.OK
        assert db.tables() == before
