"""Files outside the window: what is new or changed in the folder is taken, what was there before anybody asked is not."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.desk import REVISED, Desk
from support.schedules import ingested, open_anomalies, schedule

from market_spine.app import checks
from market_spine.app.source import Listing
from market_spine.app.source.files import FileSource
from market_spine.db import Database
from market_spine.outcome import Status
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS, Partition, weeks_back

pytestmark = pytest.mark.one_engine

FRIDAY = date(2026, 3, 6)
NEXT = FRIDAY + timedelta(weeks=1)
OLDEST = FRIDAY - timedelta(weeks=5)
BEFORE = OLDEST - timedelta(weeks=1)


@pytest.fixture
def desk(tmp_path: Path, db: Database) -> Desk:
    """A folder with the first window, and one week that is older than it."""
    desk = Desk(tmp_path / "data", db)
    desk.publish_weeks([*weeks_back(6, FRIDAY), BEFORE])
    return desk


def touch(path: Path) -> None:
    """Its time of change moves, its content stays."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def outside(desk: Desk, day: date) -> dict[str, tuple[Status, str | None]]:
    """What a run takes or compares outside its window."""
    window = {str(week) for week in weeks_back(6, day)}
    return {where: how for where, how in ingested(schedule(desk.db, desk.source(), day)).items() if where[:10] not in window}


def test_weeks_before_the_first_window_are_left_alone(desk: Desk, db: Database) -> None:
    assert outside(desk, FRIDAY) == {}
    assert outside(desk, NEXT) == {}  # also when the folder is looked at again
    kept = checks.recorded(db, "file")[Partition(BEFORE, OTC)]
    assert kept.content_hash is None


def test_a_file_left_alone_is_taken_once_it_changes(desk: Desk) -> None:
    outside(desk, FRIDAY)
    desk.publish(BEFORE, OTC, REVISED)
    assert outside(desk, NEXT) == {f"{BEFORE} / {OTC}": (Status.DONE, "NEW")}


def test_an_older_file_that_is_put_there_later_is_taken(desk: Desk) -> None:
    outside(desk, FRIDAY)
    older = BEFORE - timedelta(weeks=100)
    desk.publish(older, NMS_TIER_1)
    taken = outside(desk, NEXT)
    assert taken[f"{older} / {NMS_TIER_1}"] == (Status.DONE, "NEW")
    assert f"{older} / {NMS_TIER_1}" not in outside(desk, NEXT)


def test_an_older_file_opens_the_weeks_after_it_in_the_same_run(desk: Desk) -> None:
    """Its week is now the first of its tier: what is there of the weeks between it and the window is taken with it."""
    first = BEFORE - timedelta(weeks=1)
    desk.publish(first, NMS_TIER_1)
    assert outside(desk, FRIDAY) == {}  # both weeks are older than the store
    desk.publish(first, NMS_TIER_1, REVISED)
    assert outside(desk, NEXT) == {f"{week} / {NMS_TIER_1}": (Status.DONE, "NEW") for week in (first, BEFORE)}


def test_a_replaced_file_of_a_week_that_has_left_the_window_is_taken_once(desk: Desk) -> None:
    outside(desk, FRIDAY)
    desk.publish(OLDEST, NMS_TIER_2, REVISED)
    assert outside(desk, NEXT) == {f"{OLDEST} / {NMS_TIER_2}": (Status.DONE, "REVISED")}
    assert outside(desk, NEXT + timedelta(weeks=1)) == {}


def test_a_file_that_was_only_touched_is_compared_once(desk: Desk) -> None:
    outside(desk, FRIDAY)
    touch(desk.publish(OLDEST, NMS_TIER_2))
    assert outside(desk, NEXT) == {f"{OLDEST} / {NMS_TIER_2}": (Status.SKIPPED, "unchanged")}
    assert outside(desk, NEXT) == {}


def test_a_changed_file_that_fails_is_tried_again(desk: Desk) -> None:
    outside(desk, FRIDAY)
    path = desk.publish(OLDEST, OTC, REVISED)
    second = path.with_suffix(".csv")
    second.write_bytes(path.read_bytes())
    for _ in range(2):
        assert outside(desk, NEXT) == {f"{OLDEST} / {OTC}": (Status.FAILED, None)}
    second.unlink()
    assert outside(desk, NEXT) == {f"{OLDEST} / {OTC}": (Status.DONE, "REVISED")}


def test_a_week_after_the_window_is_not_taken_before_its_time(desk: Desk) -> None:
    outside(desk, FRIDAY)
    coming = NEXT + timedelta(weeks=1)
    desk.publish(coming, OTC)
    assert outside(desk, NEXT) == {}
    assert ingested(schedule(desk.db, desk.source(), coming))[f"{coming} / {OTC}"] == (Status.DONE, "NEW")


def test_a_run_names_the_files_that_match_no_partition(desk: Desk, db: Database) -> None:
    for name in ("OTC_week_2026-02-06.psv", "otc_week_2026-02-05.psv", "otc_week_2026-02-06.xlsx"):
        (desk.folder / name).write_text("?")
    for day in (FRIDAY, NEXT):
        result = schedule(db, desk.source(), day)
        assert result.exit_code == 0 if day == FRIDAY else result.outcomes
        (warning,) = (outcome for outcome in result.outcomes if outcome.category == "UNKNOWN_FILE")
        assert warning.status is Status.WARNING
        names = "OTC_week_2026-02-06.psv, otc_week_2026-02-05.psv, otc_week_2026-02-06.xlsx"
        assert warning.message == f"UNKNOWN_FILE: files whose names match no partition: {names}"
    assert [found[:2] for found in open_anomalies(db)].count(("WARN", "UNKNOWN_FILE")) == 1
    for path in (*desk.folder.glob("OTC*"), *desk.folder.glob("*.xlsx"), desk.folder / "otc_week_2026-02-05.psv"):
        path.unlink()
    schedule(db, desk.source(), NEXT)
    assert "UNKNOWN_FILE" not in [found[1] for found in open_anomalies(db)]


@pytest.mark.parametrize(
    "name",
    [".hidden", "otc_week_2026-02-06.psv.part", "x.tmp", "otc_week_2026-02-06.psv~", "f.crdownload", ".~lock.otc#", "#otc.psv#"],
)
def test_what_other_programs_leave_is_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("?")
    (tmp_path / "folder").mkdir()
    assert FileSource(str(tmp_path), max_bytes=1 << 20).listing() == Listing({}, ())


def test_a_dry_run_looks_at_the_folder_too(desk: Desk, db: Database) -> None:
    outside(desk, FRIDAY)
    desk.publish(OLDEST, OTC, REVISED)
    (desk.folder / "notes.txt").write_text("?")
    dry = schedule(db, desk.source(), NEXT, dry=True)
    assert ingested(dry)[f"{OLDEST} / {OTC}"] == (Status.DONE, "REVISED")
    assert next(outcome.category for outcome in dry.outcomes if outcome.category) == "UNKNOWN_FILE"
    assert "UNKNOWN_FILE" not in [found[1] for found in open_anomalies(db)]


def test_a_store_from_before_compares_every_file_since_its_first_week_once(desk: Desk, db: Database) -> None:
    outside(desk, FRIDAY)
    db.execute("DELETE FROM core_source_checks")
    desk.publish(OLDEST, OTC, REVISED)
    assert outside(desk, NEXT + timedelta(weeks=1)) == {
        **{f"{OLDEST + timedelta(weeks=n)} / {tier}": (Status.SKIPPED, "unchanged") for n in (0, 1) for tier in TIERS},
        f"{OLDEST} / {OTC}": (Status.DONE, "REVISED"),
    }
