"""The multi-week scheduler in one piece, by the ten functions of its specification; the details are tested room by room."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path

import pytest
from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine.app import scheduler
from market_spine.db import Database
from market_spine.errors import InvalidWeek
from market_spine.outcome import Phase, Status
from market_spine.partition import DOMAIN, NMS_TIER_1, OTC, TIERS

WEEKS = (date(2025, 12, 5), WEEK)


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks(WEEKS)
    desk.run(FRIDAYS[1], WEEKS)
    return desk


def test_the_weeks_are_fridays_newest_first() -> None:
    assert scheduler.calculate_target_weeks(3, date(2026, 1, 7)) == [date(2026, 1, 2), date(2025, 12, 26), date(2025, 12, 19)]
    assert scheduler.parse_week_list("2025-12-26, 2025-12-19") == [date(2025, 12, 26), date(2025, 12, 19)]
    with pytest.raises(InvalidWeek):
        scheduler.parse_week_list("2025-12-27")


def test_a_capture_is_named_by_partition_and_run_date() -> None:
    assert scheduler.generate_capture_id(DOMAIN, WEEK, OTC, FRIDAYS[0]) == f"{DOMAIN}:OTC:{WEEK}:20260109"
    assert scheduler.compute_content_hash(b"") == "e3b0c44298fc1c14"


def test_every_stage_of_every_partition_is_done_and_the_weeks_are_ready(desk: Desk) -> None:
    for week in WEEKS:
        assert scheduler.check_tier_completeness(str(week), desk.db) == (True, frozenset())
        for tier in TIERS:
            assert [scheduler.check_stage_ready(str(week), tier, stage, desk.db) for stage in ("RAW", "NORMALIZED", "CALC")] == [True] * 3
        assert scheduler.evaluate_readiness(str(week), desk.db) == (True, [])


def test_the_same_again_is_skipped_and_a_revision_is_a_new_capture(desk: Desk) -> None:
    assert desk.run(FRIDAYS[2], WEEKS).count(Phase.INGEST, Status.SKIPPED) == 6
    path = desk.publish(WEEK, OTC, REVISED)
    needed, reason = scheduler.check_revision_needed_via_hash(str(WEEK), OTC, path.read_bytes(), desk.db)
    assert (needed, "hash" in reason.lower() or "content" in reason.lower()) == (True, True)
    assert desk.run(FRIDAYS[3], WEEKS).count(Phase.INGEST, Status.DONE) == 1
    stored = desk.db.execute("SELECT capture_id FROM finra_otc_transparency_capture WHERE week_ending = ? AND tier = ?", (str(WEEK), OTC))
    assert sorted(capture_id[-8:] for (capture_id,) in stored) == ["20260116", "20260130"]


def test_metadata_that_is_not_known_asks_for_the_content(desk: Desk) -> None:
    moment = datetime(2026, 1, 5, tzinfo=timezone.utc)
    assert scheduler.check_revision_needed_via_metadata(str(WEEK), OTC, moment, desk.db).needed


def test_one_failure_stops_no_other_and_an_anomaly_that_is_critical_blocks_its_week(desk: Desk) -> None:
    desk.publish(WEEK, NMS_TIER_1, REVISED)
    desk.publish(WEEK, OTC).write_bytes(b"")
    result = desk.run(FRIDAYS[2], WEEKS)
    assert (result.exit_code, result.count(Phase.INGEST, Status.DONE), result.count(Phase.INGEST, Status.FAILED)) == (1, 1, 1)
    scheduler.record_anomaly(
        desk.db, domain=DOMAIN, severity="CRITICAL", category="RAISED", message="x", partition_key={"week_ending": str(WEEK)}
    )
    assert scheduler.evaluate_readiness(str(WEEK), desk.db) == (False, ["1 unresolved CRITICAL anomalies"])
