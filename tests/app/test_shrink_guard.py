"""A capture much smaller than the one it would replace is kept, but not promoted, until somebody says that it is meant."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.desk import Desk, Line

from market_spine.app.context import Limits
from market_spine.db import Database
from market_spine.outcome import Phase

WEEK = date(2025, 11, 28)
FIRST, SECOND, THIRD = date(2026, 1, 9), date(2026, 1, 16), date(2026, 1, 23)


def rows(count: int, shares: int = 100) -> list[Line]:
    return [(f"S{n:03}", "UBSA", "UBS ATS", shares, 1) for n in range(count)]


def desk_with_a_hundred_rows(tmp_path: Path, db: Database) -> Desk:
    desk = Desk(tmp_path / "files", db)
    desk.publish(WEEK, "OTC", rows(100))
    desk.run(FIRST, tiers=("OTC",))
    return desk


def current(db: Database) -> tuple[str, int]:
    row = db.execute("SELECT run_date, row_count FROM finra_otc_transparency_current").fetchone()
    return row[0], row[1]


@pytest.mark.parametrize(
    ("count", "shares", "limits", "promoted"),
    [
        pytest.param(50, 100, Limits(), True, id="half of it is enough"),
        pytest.param(49, 100, Limits(), False, id="less than half of the rows"),
        pytest.param(49, 900, Limits(), False, id="less than half of the rows, though more shares"),
        pytest.param(100, 50, Limits(), True, id="half of the shares"),
        pytest.param(100, 49, Limits(), False, id="less than half of the shares in as many rows"),
        pytest.param(79, 100, Limits(min_kept_ratio=0.8), False, id="--min-kept-percent 80, 79 kept"),
        pytest.param(80, 100, Limits(min_kept_ratio=0.8), True, id="--min-kept-percent 80, 80 kept"),
        pytest.param(1, 1, Limits(min_kept_ratio=0), True, id="--min-kept-percent 0"),
        pytest.param(1, 1, Limits(accept_shrink=True), True, id="--accept-shrink"),
        pytest.param(500, 900, Limits(), True, id="growing is never suspect"),
    ],
)
@pytest.mark.one_engine
def test_what_is_promoted(tmp_path: Path, db: Database, count: int, shares: int, limits: Limits, promoted: bool) -> None:
    desk = desk_with_a_hundred_rows(tmp_path, db)
    desk.publish(WEEK, "OTC", rows(count, shares))
    result = desk.run(SECOND, tiers=("OTC",), limits=limits)

    assert current(db) == (("2026-01-16", count) if promoted else ("2026-01-09", 100))
    assert [outcome.category for outcome in result.of(Phase.NORMALIZE)] == [None if promoted else "SHRUNK_CAPTURE"]


def test_the_shrunken_one_is_kept_and_stands_as_an_error_until_accepted(tmp_path: Path, db: Database) -> None:
    desk = desk_with_a_hundred_rows(tmp_path, db)
    desk.publish(WEEK, "OTC", rows(10))
    desk.run(SECOND, tiers=("OTC",))
    desk.run(SECOND, tiers=("OTC",))

    stored = "SELECT COUNT(*) FROM finra_otc_transparency_capture c JOIN finra_otc_transparency_raw r ON r.content_hash = c.content_hash"
    assert db.execute(stored).fetchone()[0] == 2, "its bytes are kept"
    faults = db.execute(
        "SELECT severity, capture_id, seen_count FROM core_anomalies WHERE category = 'SHRUNK_CAPTURE' AND resolved_at IS NULL"
    ).fetchall()
    assert [tuple(row) for row in faults] == [("ERROR", "finra.otc_transparency:OTC:2025-11-28:20260116", 2)]
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_normalized_latest").fetchone()[0] == 100

    desk.run(SECOND, tiers=("OTC",), limits=Limits(accept_shrink=True))
    assert current(db) == ("2026-01-16", 10)
    assert db.execute("SELECT COUNT(*) FROM core_anomalies WHERE severity = 'ERROR' AND resolved_at IS NULL").fetchone()[0] == 0


def test_the_next_whole_capture_needs_nobody(tmp_path: Path, db: Database) -> None:
    desk = desk_with_a_hundred_rows(tmp_path, db)
    desk.publish(WEEK, "OTC", rows(10))
    desk.run(SECOND, tiers=("OTC",))
    desk.publish(WEEK, "OTC", rows(101))
    desk.run(THIRD, tiers=("OTC",))

    assert current(db) == ("2026-01-23", 101)


def test_a_shrunken_replay_of_the_same_day_replaces_nothing(tmp_path: Path, db: Database) -> None:
    desk = desk_with_a_hundred_rows(tmp_path, db)
    desk.publish(WEEK, "OTC", rows(10))
    desk.run(FIRST, tiers=("OTC",))

    assert current(db) == ("2026-01-09", 100)
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_normalized_latest").fetchone()[0] == 100
