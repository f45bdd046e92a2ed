"""What an absence means to a run: awaited, late or missing, by the publication calendar; on files, both engines."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from support import weekly_files
from support.desk import Desk
from support.schedules import ingested, open_anomalies, schedule

from market_spine.app.source import Source, SourceSettings, open_source
from market_spine.calendar.publication import Calendar
from market_spine.db import Database
from market_spine.outcome import Phase, Status
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS

WEEK = date(2026, 1, 9)  # Tier 1 is due on 2026-01-26, the others on 2026-02-09


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def files(folder: Path) -> Source:
    return open_source("file", SourceSettings(str(folder), 1 << 26, environ={"MARKET_SPINE_SETTLE_SECONDS": "0"}))


ABSENT = [
    ("the day before it is due", "2026-01-25", Status.AWAITING, None, 0),
    ("the day it is due", "2026-01-26", Status.LATE, ("WARN", "LATE_DATA"), 0),
    ("the last day of the grace", "2026-01-27", Status.LATE, ("WARN", "LATE_DATA"), 0),
    ("after the grace", "2026-01-28", Status.FAILED, ("ERROR", "SOURCE_UNAVAILABLE"), 2),
]


@pytest.mark.parametrize(("day", "status", "stands", "exit_code"), [a[1:] for a in ABSENT], ids=[a[0] for a in ABSENT])
def test_a_file_that_is_not_there(
    db: Database, files: Source, day: str, status: Status, stands: tuple[str, str] | None, exit_code: int
) -> None:
    result = schedule(db, files, date.fromisoformat(day), weeks=[WEEK], tiers=(NMS_TIER_1,))
    assert [outcome.status for outcome in result.of(Phase.INGEST)] == [status]
    assert result.exit_code == exit_code
    raw = [found[:2] for found in open_anomalies(db) if found[1] != "INCOMPLETE_INPUT"]
    assert raw == ([stands] if stands else [])


def test_an_awaited_partition_leaves_an_info_that_is_born_resolved(db: Database, files: Source) -> None:
    schedule(db, files, date(2026, 1, 16), weeks=[WEEK])
    assert open_anomalies(db) == []
    rows = db.execute("SELECT severity, category, message FROM core_anomalies ORDER BY id").fetchall()
    assert [tuple(row) for row in rows] == [
        ("INFO", "AWAITING_PUBLICATION", "Awaiting publication (due 2026-01-26)"),
        ("INFO", "AWAITING_PUBLICATION", "Awaiting publication (due 2026-02-09)"),
        ("INFO", "AWAITING_PUBLICATION", "Awaiting publication (due 2026-02-09)"),
    ]


def test_without_the_calendar_every_absence_is_an_error(db: Database, files: Source) -> None:
    result = schedule(db, files, date(2026, 1, 16), weeks=[WEEK], calendar=None)
    assert result.exit_code == 2
    assert result.count(Phase.INGEST, Status.FAILED) == 3
    assert {found[:2] for found in open_anomalies(db)} == {("ERROR", "SOURCE_UNAVAILABLE"), ("WARN", "INCOMPLETE_INPUT")}


def test_a_grace_can_be_longer_and_a_closure_moves_the_day(db: Database, files: Source) -> None:
    day, one = date(2026, 1, 29), {"weeks": [WEEK], "tiers": (NMS_TIER_1,)}
    assert schedule(db, files, day, **one, grace_days=3).exit_code == 0
    assert (
        schedule(db, files, day, **one, calendar=Calendar(closed=frozenset({date(2026, 1, 26), date(2026, 1, 27)}))).exit_code
        == 0
    )
    assert schedule(db, files, day, **one).exit_code == 2


def test_a_late_partition_that_comes_resolves_what_stood_against_it(db: Database, files: Source, folder: Path) -> None:
    for day in (27, 28):
        schedule(db, files, date(2026, 1, day), weeks=[WEEK], tiers=(NMS_TIER_1,))
    assert {found[1] for found in open_anomalies(db)} >= {"LATE_DATA", "SOURCE_UNAVAILABLE"}
    weekly_files.write(folder, WEEK.isoformat(), NMS_TIER_1)
    assert schedule(db, files, date(2026, 1, 29), weeks=[WEEK], tiers=(NMS_TIER_1,)).exit_code == 0
    assert not {found[1] for found in open_anomalies(db)} & {"LATE_DATA", "SOURCE_UNAVAILABLE"}
    notes = db.execute("SELECT resolution_note FROM core_anomalies WHERE category = 'LATE_DATA'").fetchall()
    assert [row[0] for row in notes] == ["ingested as finra.otc_transparency:NMS_TIER_1:2026-01-09:20260129"]


def test_a_week_that_misses_nothing_due_any_more_has_no_warning_against_it(db: Database, files: Source, folder: Path) -> None:
    day = date(2026, 1, 28)
    schedule(db, files, day, weeks=[WEEK])
    assert ("WARN", "INCOMPLETE_INPUT") in {found[:2] for found in open_anomalies(db)}
    weekly_files.write(folder, WEEK.isoformat(), NMS_TIER_1)
    schedule(db, files, day, weeks=[WEEK])
    assert "INCOMPLETE_INPUT" not in {found[1] for found in open_anomalies(db)}
    note = db.execute("SELECT resolution_note FROM core_anomalies WHERE category = 'INCOMPLETE_INPUT'").fetchone()[0]
    assert note == "nothing is missing that is due"


def test_a_file_that_comes_early_is_taken(db: Database, files: Source, folder: Path) -> None:
    weekly_files.write_week(folder, WEEK.isoformat())
    result = schedule(db, files, date(2026, 1, 9), weeks=[WEEK])
    assert result.exit_code == 0
    assert result.count(Phase.READINESS, Status.READY) == 1


def test_a_broken_file_is_an_error_also_before_its_day(db: Database, files: Source, folder: Path) -> None:
    (folder / f"otc_week_{WEEK}.psv").write_bytes(b"")
    result = schedule(db, files, date(2026, 1, 16), weeks=[WEEK])
    assert result.exit_code == 2
    assert ingested(result)[f"{WEEK} / {OTC}"][0] is Status.FAILED


def test_readiness_says_what_is_awaited_and_a_tier_may_be_ready_before_its_week(
    db: Database, files: Source, folder: Path
) -> None:
    weekly_files.write(folder, WEEK.isoformat(), NMS_TIER_1)
    result = schedule(db, files, date(2026, 1, 30), weeks=[WEEK])
    assert result.exit_code == 0
    awaited = "Awaiting publication: NMS_TIER_2 (due 2026-02-09), OTC (due 2026-02-09)"
    assert result.of(Phase.READINESS)[0].message == f"Not ready: {awaited}"
    rows = db.execute(
        "SELECT partition_key, is_ready, all_partitions_present, all_stages_complete, blocking_issues FROM core_data_readiness"
    ).fetchall()
    told = {json.loads(row[0]).get("tier"): (row[1], row[2], row[3], json.loads(row[4] or "[]")) for row in rows}
    assert told == {
        None: (0, 0, 0, [awaited]),
        NMS_TIER_1: (1, 1, 1, []),
        NMS_TIER_2: (0, 0, 0, ["Awaiting publication: NMS_TIER_2 (due 2026-02-09)"]),
        OTC: (0, 0, 0, ["Awaiting publication: OTC (due 2026-02-09)"]),
    }


def test_what_is_no_longer_awaited_is_missing(db: Database, files: Source, folder: Path) -> None:
    weekly_files.write(folder, WEEK.isoformat(), NMS_TIER_1)
    weekly_files.write(folder, WEEK.isoformat(), NMS_TIER_2)
    result = schedule(db, files, date(2026, 2, 13), weeks=[WEEK])
    assert result.exit_code == 1
    assert result.of(Phase.READINESS)[0].message == "Not ready: Missing tiers: OTC"


def test_a_dry_run_says_the_same_and_writes_nothing(db: Database, files: Source, folder: Path) -> None:
    weekly_files.write(folder, WEEK.isoformat(), NMS_TIER_1)
    told = ingested(schedule(db, files, date(2026, 1, 30), weeks=[WEEK], dry=True))
    assert {status for status, _ in told.values()} == {Status.DONE, Status.AWAITING}
    assert db.execute("SELECT COUNT(*) FROM core_anomalies").fetchone()[0] == 0
    assert ingested(schedule(db, files, date(2026, 1, 30), weeks=[WEEK])) == told


def test_normalizing_what_was_never_ingested_is_an_error_once_it_is_due(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    due, later = date(2025, 11, 28), date(2025, 12, 26)
    desk.run(date(2026, 1, 16), [due, later], [OTC], only="normalize")
    rows = db.execute("SELECT severity, category, partition_key, details_json FROM core_anomalies").fetchall()
    key = '{"week_ending": "2025-11-28", "tier": "OTC"}'
    assert [tuple(row) for row in rows] == [("ERROR", "MISSING_DEPENDENCY", key, '{"stage": "RAW"}')]
    desk.publish(due, OTC)
    desk.run(date(2026, 1, 16), [due], [OTC])
    (closed,) = db.execute("SELECT resolved_at FROM core_anomalies WHERE category = 'MISSING_DEPENDENCY'").fetchone()
    assert closed is not None


def test_an_incomplete_week_names_the_tiers_it_expects_and_has(db: Database, tmp_path: Path) -> None:
    desk, week = Desk(tmp_path / "files", db), date(2025, 12, 26)
    desk.publish(week, NMS_TIER_1)
    desk.run(date(2026, 1, 16), [week])
    assert db.execute("SELECT 1 FROM core_anomalies WHERE category = 'INCOMPLETE_INPUT'").fetchall() == []
    desk.run(date(2026, 1, 30), [week])
    (details,) = db.execute("SELECT details_json FROM core_anomalies WHERE category = 'INCOMPLETE_INPUT'").fetchone()
    assert json.loads(details) == {"expected_tiers": list(TIERS), "actual_tiers": [NMS_TIER_1]}
