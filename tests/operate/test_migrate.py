"""spine db migrate: from every schema there ever was, after a copy, under the lock, and killed at any moment."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from db.test_migrations import shape
from support import database_picture, desk, weekly_files
from support.commands import RunCommand, StartCommand
from support.desk import FRIDAYS, REVISED, WEEK, Desk
from support.gates import Gate

from market_spine import clock
from market_spine.app.context import Run
from market_spine.core.locks import run_lock
from market_spine.db import Database, connect, migrations
from market_spine.db.migrations import Migration
from market_spine.operate import rollback, verify
from market_spine.operate.rebuild import rebuild
from market_spine.partition import OTC
from market_spine.query import answer
from market_spine.query.answer import Question
from market_spine.query.views import VIEWS

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


@pytest.fixture
def fresh(tmp_path: Path) -> Database:
    """A store loaded by this program: rows with dates of their own, a restatement, a rollback, a file with all of FINRA's dates."""
    store = connect(str(tmp_path / "fresh.db"))
    migrations.prepare(store)
    desk = Desk(tmp_path / "files", store)
    desk.publish_weeks([WEEK])
    _date(desk, OTC, "2025-12-29|2026-01-07")
    desk.run(FRIDAYS[0])
    desk.publish(WEEK, OTC, REVISED)
    _date(desk, OTC, "2025-12-29|2026-01-14")
    desk.publish(WEEK, "NMS_TIER_2", REVISED)
    desk.run(FRIDAYS[1])
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, ["NMS_TIER_2"], "why")
    return store


def _date(desk: Desk, tier: str, days: str) -> None:
    """Gives a file a column of publication, and its last row these days."""
    path = desk.folder / f"{tier.lower()}_week_{WEEK}.psv"
    header, *rows = path.read_text("utf-8").splitlines()
    rows = [f"{row[:-10]}2025-12-29|{row[-10:]}" for row in rows]
    text = [header.replace("lastUpdateDate", "initialPublishedDate|lastUpdateDate"), *rows[:-1], f"{rows[-1][:-21]}{days}"]
    path.write_text("\n".join(text) + "\n", "utf-8")


def test_a_store_without_dates_has_them_after_a_rebuild_and_equals_one_loaded_anew(
    run_command: RunCommand, new_target: str, old: Old, fresh: Database
) -> None:
    known = migrations.migrations("sqlite")
    old(next(at for at, migration in enumerate(known) if migration.name == "row_dates"))
    _fill(new_target, fresh)
    assert run_command("spine", "db", "migrate", "--db", new_target).exit_code == 0
    migrated = connect(new_target)
    normalized = "finra_otc_transparency_normalized_latest"
    expected, shown = database_picture.views(fresh), database_picture.views(migrated)
    assert {days[-2:] for days in shown[normalized]} == {(None, None)}
    assert [days[:-2] for days in shown[normalized]] == [days[:-2] for days in expected[normalized]]
    assert len({days[-2:] for days in expected[normalized]}) == 4
    assert run_command("spine", "rebuild", "--db", new_target, "--reason", "dates").exit_code == 0
    assert database_picture.views(migrated) == expected
    for table in ("finra_otc_transparency_capture", "finra_otc_transparency_row_date"):
        columns = ", ".join(fresh.tables()[table])
        assert _rows(migrated, table, columns) == _rows(fresh, table, columns)
    migrated.close()
    fresh.close()


def _fill(target: str, source: Database) -> None:
    """Writes what a store holds into one of an older schema, as far as it has a place there."""
    store = connect(target)
    with store.transaction():
        for table, columns in store.tables().items():
            if table not in ("core_migrations", "core_operator_actions"):
                store.bulk_insert(table, columns, [tuple(row) for row in _rows(source, table, ", ".join(columns))])
    store.reset_identities()
    store.close()


def _rows(db: Database, table: str, columns: str) -> list[tuple[object, ...]]:
    return sorted(map(tuple, db.execute(f"SELECT {columns} FROM {table}").fetchall()), key=repr)


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


def shown(database: Database, day: date) -> dict[str, list[dict[str, object]]]:
    """Every view as of a day, by column."""
    questions = {name: Question(view, as_of=day) for name, view in VIEWS.items()}
    return {
        name: [dict(zip(question.view.columns, row, strict=True)) for row in answer.answer(database, question)]
        for name, question in questions.items()
    }


def test_a_store_of_the_schema_before_firm_totals_shows_the_same_as_of_every_past_day(
    old: Old, new_target: str, tmp_path: Path
) -> None:
    db = connect(str(tmp_path / "present.db"))
    migrations.prepare(db)
    desk.restated(tmp_path / "files", db)
    days = [*desk.FRIDAYS[:2], desk.FRIDAYS[3]]
    before = {day: shown(db, day) for day in days}
    old(6)
    upgraded = connect(new_target)
    kept = db.tables()
    for table, columns in upgraded.tables().items():
        if table not in ("core_migrations", "core_operator_actions", "core_locks"):
            assert set(columns) <= set(kept[table])
            rows = db.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
            upgraded.bulk_insert(table, columns, [tuple(row) for row in rows])
    upgraded.reset_identities()
    had = shape(upgraded)
    migrations.apply(upgraded, clock.utc_now())

    for day in days:
        for name, rows in shown(upgraded, day).items():
            columns = had.get(f"finra_otc_transparency_{name}", [])
            assert [[row[column] for column in columns] for row in rows] == [
                [row[column] for column in columns] for row in before[day][name]
            ]
            assert {row["basis"] for row in rows if "basis" in row and not VIEWS[name].of_window} <= {"symbol_rows"}
            assert {row[column] for row in rows for column in NEW & row.keys()} <= {None}
    undated = "have other dates than in its bytes"  # a store of that schema has none until it is rebuilt
    assert [fault for fault in verify.verify(upgraded, deep=True) if undated not in fault.what] == []
    rebuild(Run(upgraded, desk.FRIDAYS[3], clock.moment_of(desk.FRIDAYS[3]), "again"), None)
    assert {day: shown(upgraded, day) for day in days} == before
    upgraded.close()
    db.close()


NEW = {"hhi_low", "hhi_high", "ats_hhi", "non_ats_hhi", "hidden_shares"}  # of which the schema before could not say anything
