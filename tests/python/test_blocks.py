"""Rows that are kept as numbers are those of the view, in its order, as rows and as columns."""

from __future__ import annotations

import random

import pytest

from market_spine.db import Database
from market_spine.partition import OTC
from market_spine.python.frames import arrow_table
from market_spine.query import blocks
from market_spine.query.as_of import Known
from market_spine.query.views import VIEWS

WEEKS = ("2025-12-26", "2026-01-02")
NAMES = ("", "A", "a", "Ä Corp.", "Zeta, \"Inc.\"", "z", "Ａ", "𝔘nit")


@pytest.fixture
def captures(db: Database) -> list[Known]:
    """Two captures of random rows: fractions, no notional, firms and ATSs, equal symbols, rows with dates of their own."""
    chance = random.Random(24)
    issues = [(n + 1, f"S{n % 20}", NAMES[n % 8], ("", "CTS", "2")[n // 20]) for n in range(60)]
    venues = [(n + 1, "OTC" if n % 3 else "ATS", "" if n % 3 else f"MP{n}", n * (n % 2), NAMES[n % 8] + " B" * (n > 7)) for n in range(16)]
    chance.shuffle(issues)
    with db.transaction():
        db.bulk_insert("finra_otc_transparency_issue", ("issue_id", "symbol", "issue_name", "product_type"), issues)
        db.bulk_insert("finra_otc_transparency_venue", ("venue_id", "venue_class", "mpid", "firm_crd", "venue_name"), venues)
        return [capture(db, key, week, chance) for key, week in enumerate(WEEKS, 1)]


def capture(db: Database, key: int, week: str, chance: random.Random) -> Known:
    at, published = f"2026-02-0{key}T12:00:00+00:00", "2026-01-12" if key == 1 else None
    known = Known(week, OTC, at[:10], key, f"finra.otc_transparency:{OTC}:{week}:2026020{key}", at, at)
    columns = ("capture_key", "capture_id", "week_ending", "tier", "run_date", "captured_at", "content_hash", "source_uri",
               "row_count", "normalized_at", "published_on", "revised_on")
    values = (key, known.capture_id, week, OTC, at[:10], at, "0" * 64, "", 1, at, published, "2026-01-13")
    db.bulk_insert("finra_otc_transparency_capture", columns, [values])
    places = chance.sample([(issue, venue) for issue in range(1, 61) for venue in range(1, 17)], 400)
    facts = [
        (key, *place, chance.choice([7, 200.5, 8_589_934_591.000001, 9_000_000_000_000]), chance.randint(1, 9_000_000_000_000),
         chance.choice([None, 12.5, 31_283.123456]))
        for place in places
    ]
    columns = ("capture_key", "issue_id", "venue_id", "total_shares", "total_trades", "total_notional")
    db.bulk_insert("finra_otc_transparency_volume", columns, facts)
    dated = [(key, *place, *days) for place in places[:20] for days in [chance.choice([(None, None), ("2026-01-12", "2026-01-20")])]]
    db.bulk_insert(
        "finra_otc_transparency_row_date", ("capture_key", "issue_id", "venue_id", "published_on", "revised_on"), dated
    )
    return known


def test_the_rows_are_those_of_the_view_in_its_order(db: Database, captures: list[Known]) -> None:
    kept = blocks.read(db, captures)
    shown = [row for each in captures for row in db.execute(VIEWS["normalized"].of_capture, (each.capture_id,)).fetchall()]
    assert list(kept) == shown
    assert [list(map(type, row)) for row in kept] == [list(map(type, row)) for row in shown]
    assert (len(kept), shown[0] in kept, shown[0][1:] in kept) == (800, True, False)


def test_the_columns_are_those_of_the_rows(db: Database, captures: list[Known]) -> None:
    for chosen in (captures, captures[1:]):
        kept = blocks.read(db, chosen)
        assert arrow_table(kept.columns, kept).equals(arrow_table(kept.columns, list(kept)))


def test_a_capture_without_any_notional_has_nulls(db: Database, captures: list[Known]) -> None:
    db.execute("UPDATE finra_otc_transparency_volume SET total_notional = NULL WHERE capture_key = 1")
    kept = blocks.read(db, captures)
    shown = [row for each in captures for row in db.execute(VIEWS["normalized"].of_capture, (each.capture_id,)).fetchall()]
    assert list(kept) == shown
    assert arrow_table(kept.columns, kept).equals(arrow_table(kept.columns, list(kept)))


def test_a_capture_without_rows_has_columns(db: Database, captures: list[Known]) -> None:
    db.execute("DELETE FROM finra_otc_transparency_volume WHERE capture_key = 2")
    db.execute("DELETE FROM finra_otc_transparency_row_date WHERE capture_key = 2")
    kept = blocks.read(db, captures[1:])
    assert arrow_table(kept.columns, kept).equals(arrow_table(kept.columns, list(kept)))
