"""Figures of any size come back as they are stored, as rows and as columns: to the last bit, and of the same type."""

from __future__ import annotations

import random
from typing import Any

from market_spine.db import Database
from market_spine.parse.columns import MICRO, whole_or_fraction
from market_spine.partition import OTC
from market_spine.python.frames import arrow_table
from market_spine.query import blocks
from market_spine.query.as_of import Known
from market_spine.query.views import VIEWS

DAY, WEEK, SYMBOLS = "2026-02-01", "2025-12-26", 400
AT = f"{DAY}T12:00:00+00:00"
CAPTURE = Known(WEEK, OTC, DAY, 1, f"finra.otc_transparency:{OTC}:{WEEK}:20260201", AT, AT)
LARGEST = 9 * 10**12 * MICRO


def borders() -> list[int]:
    """Millionths at and beside each power of two and of ten."""
    powers = [base**power for base, most in ((2, 63), (10, 19)) for power in range(most)]
    return sorted({each + beside for each in powers for beside in (-1, 0, 1, MICRO // 2) if 0 <= each + beside <= LARGEST})


def test_every_size_of_figure_is_read_as_it_is_stored(db: Database) -> None:
    chance = random.Random(24)
    drawn = [int(10 ** chance.uniform(0, 18.95)) for _ in range(SYMBOLS - len(borders()))]
    shares, notional = borders() + drawn, (borders() + drawn)[::-1]
    store(db, [whole_or_fraction(micro) for micro in shares], [micro / MICRO for micro in notional[:-1]] + [None])
    kept = blocks.read(db, [CAPTURE])
    shown = db.execute(VIEWS["normalized"].of_capture, (CAPTURE.capture_id,)).fetchall()
    assert list(kept) == shown
    assert [list(map(type, row)) for row in kept] == [list(map(type, row)) for row in shown]
    table = arrow_table(kept.columns, kept)
    assert table.equals(arrow_table(kept.columns, shown))
    assert table["total_notional"].null_count == 1


def store(db: Database, shares: list[int | float], notional: list[float | None]) -> None:
    """A capture of one security for each of these, at one venue."""
    issues = [(n, f"S{n:03}", "", "") for n in range(1, SYMBOLS + 1)]
    values = (1, CAPTURE.capture_id, WEEK, OTC, DAY, AT, "0" * 64, "", SYMBOLS, AT)
    names = (
        "capture_key", "capture_id", "week_ending", "tier", "run_date", "captured_at", "content_hash", "source_uri", "row_count",
        "normalized_at",
    )
    figures: list[tuple[Any, ...]] = [(1, n, 1, *both, n) for n, both in enumerate(zip(shares, notional, strict=True), 1)]
    with db.transaction():
        db.bulk_insert("finra_otc_transparency_issue", ("issue_id", "symbol", "issue_name", "product_type"), issues)
        db.bulk_insert("finra_otc_transparency_venue", ("venue_id", "venue_class", "mpid", "firm_crd", "venue_name"), [(1, "ATS", "A", 0, "")])
        db.bulk_insert("finra_otc_transparency_capture", names, [values])
        columns = ("capture_key", "issue_id", "venue_id", "total_shares", "total_notional", "total_trades")
        db.bulk_insert("finra_otc_transparency_volume", columns, figures)
