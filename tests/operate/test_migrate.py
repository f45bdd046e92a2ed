"""spine db migrate: from every schema there ever was, after a copy, under the lock, and killed at any moment."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from db.test_migrations import shape
from support import weekly_files
from support.commands import RunCommand, StartCommand
from support.gates import Gate

from market_spine import clock
from market_spine.core.locks import run_lock
from market_spine.db import Database, connect, migrations
from market_spine.db.migrations import Migration

NEWEST = migrations.migrations("sqlite")[-1].number
WITNESS = "INSERT INTO core_operator_actions (at, actor, action, target) VALUES ('2025-01-03', 'me', 'witness', 'kept')"
Old = Callable[[int], None]


@pytest.fixture
def old(new_target: str, monkeypatch: pytest.MonkeyPatch) -> Old:
    """Makes `new_target` as a program that knew only the first schema files left it."""

    def make(number: int) -> None:
        known: tuple[Migration, ...] = migrations.migrations("postgresql" if "://" in new_target else "sqlite")
        database = connect(new_target)
        with monkeypatch.context() as earlier:
            earlier.setattr(migrations, "migrations", lambda engine: known[:number])
            migrations.apply(database, clock.utc_now())
        database.execute(WITNESS)
        database.close()

    return make


def state(target: str) -> tuple[int, list[str]]:
    """The schema's number, and what was there before."""
    database = connect(target)
    rows = [target for (target,) in database.execute("SELECT target FROM core_operator_actions")]
    version = migrations.schema_version(database)
    database.close()
    return version, rows


@pytest.mark.parametrize("number", range(1, NEWEST))
def test_every_schema_there_was_becomes_todays(
    run_command: RunCommand, new_target: str, old: Old, number: int, tmp_path: Path
) -> None:
    old(number)
    done = run_command("spine", "db", "migrate", "--db", new_target, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["before"], told["after"], len(told["applied"])) == (number, NEWEST, NEWEST - number)
    assert state(new_target) == (NEWEST, ["kept"])
    here, fresh = connect(new_target), connect(str(tmp_path / "fresh.db"))
    migrations.prepare(fresh)
    assert shape(here) == shape(fresh)
    here.close()
    fresh.close()
    if "://" not in new_target:
        assert state(told["backup"]) == (number, ["kept"])


def test_a_cron_run_never_migrates_by_itself(run_command: RunCommand, new_target: str, old: Old, tmp_path: Path) -> None:
    old(1)
    weekly_files.write_week(tmp_path / "files", "2025-12-26")
    done = run_command("run_finra_weekly_schedule", "--db", new_target, "--data-dir", tmp_path / "files", "--weeks", "2025-12-26")
    assert done.exit_code == 2
    assert "has schema 1; this program needs" in done.stderr
    assert "spine db migrate" in done.stderr
    assert state(new_target)[0] == 1


def test_it_waits_for_no_run_unless_told(run_command: RunCommand, new_target: str, old: Old) -> None:
    old(1)
    database = connect(new_target)
    with run_lock(database, "run-1"):
        done = run_command("spine", "db", "migrate", "--db", new_target)
    database.close()
    assert (done.exit_code, "run run-1" in done.stderr) == (75, True), done.stderr
    assert state(new_target)[0] == 1


def test_a_newer_schema_is_refused(run_command: RunCommand, target: str, db: Database) -> None:
    db.execute("INSERT INTO core_migrations (number, name, applied_at) VALUES (9999, 'later', '2030-01-01')")
    done = run_command("spine", "db", "migrate", "--db", target)
    assert (done.exit_code, "has schema 9999" in done.stderr) == (2, True)


def test_with_nothing_to_do_nothing_is_done(run_command: RunCommand, target: str, tmp_path: Path) -> None:
    done = run_command("spine", "db", "migrate", "--db", target)
    assert (done.exit_code, f"is at schema {NEWEST}" in done.stdout) == (0, True), done.stderr
    assert list(tmp_path.glob("*.bak")) == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("moment", ["before:backup_to", "after:backup_to", "before:run_script", "after:run_script"])
def test_killed_at_any_moment_it_leaves_the_old_schema_or_the_new_one(
    start_held: StartCommand, gate: Gate, run_command: RunCommand, new_target: str, old: Old, moment: str
) -> None:
    old(1)
    migration = start_held(moment, "spine", "db", "migrate", "--db", new_target)
    gate.wait(migration)
    migration.kill()
    migration.wait()
    assert state(new_target) == (1, ["kept"])
    for path in (Path(new_target), *Path(new_target).parent.glob("*.bak")):
        plain = sqlite3.connect(path)
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",), path
        plain.close()
    assert run_command("spine", "db", "migrate", "--db", new_target).exit_code == 0
    assert state(new_target) == (NEWEST, ["kept"])
