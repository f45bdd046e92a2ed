"""The measures, against DuckDB over the same file and against themselves: exact, and blind to the order of rows."""

from __future__ import annotations

import math
import random
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from market_spine.db import Database
from market_spine.measure import facts as facts_of
from market_spine.measure.dimensions import Dimensions
from market_spine.measure.facts import Facts
from market_spine.measure.measures import herfindahl, measure_tier
from market_spine.parse import weekly_file
from market_spine.parse.columns import MICRO
from market_spine.partition import Partition

WEEK = Partition(date(2025, 12, 26), "NMS_TIER_1")
COLUMNS = (
    "tierDescription|issueSymbolIdentifier|issueName|productTypeCode|marketParticipantName|MPID|firmCRDNumber|summaryTypeCode|"
    "totalWeeklyShareQuantity|totalWeeklyTradeCount|totalNotionalSum|lastUpdateDate"
)


def big_file(rows: int, seed: int) -> str:
    """ATS and firm rows, fractions, two issues under one symbol, two tapes of one issue."""
    draw = random.Random(seed)
    lines = []
    symbol = 0
    while len(lines) < rows:
        symbol += 1
        names = (
            [f"S{symbol} Inc.|UTP"]
            + ([f"S{symbol} Inc.|CTS"] if symbol % 50 == 0 else [])
            + ([f"Other {symbol}|UTP"] if symbol % 70 == 0 else [])
        )
        for name in names:
            for venue in range(24):
                if draw.random() < 0.2:
                    continue
                where = (
                    f"V{venue:02} ATS|V{venue:02}||ATS_W_SMBL_FIRM"
                    if venue < 16
                    else f"Firm {venue}||{7000 + venue}|OTC_W_SMBL_FIRM"
                )
                if venue == 23:
                    where = "De Minimis Firms|||OTC_W_SMBL_FIRM"
                shares = (
                    str(draw.randrange(1, 10**6))
                    if draw.random() < 0.87
                    else f"{draw.randrange(10**5)}.{draw.randrange(10**6):06}"
                )
                lines.append(
                    f"NMS Tier 1|S{symbol}|{name}|{where}|{shares}|{draw.randrange(1, 999)}|"
                    f"{draw.randrange(10**7)}.{draw.randrange(10**6):06}|2026-01-12"
                )
    return "\n".join([COLUMNS, *lines[:rows]]) + "\n"


def read(text: str, db: Database) -> Facts:
    file = weekly_file.read([text.encode()], WEEK)
    assert not file.rejects
    with db.transaction():
        return facts_of.from_columns(Dimensions(db), file.columns)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_every_measure_agrees_with_duckdb_over_fifty_thousand_rows(db: Database, tmp_path: Path) -> None:
    text = big_file(50_000, seed=3)
    (tmp_path / "big.psv").write_text(text)
    measured = measure_tier(read(text, db))
    duck = duckdb.connect()
    duck.execute(
        f"""CREATE TABLE f AS SELECT *, CAST(totalWeeklyShareQuantity AS DECIMAL(38, 6)) AS s, CAST(totalNotionalSum AS DECIMAL(38, 6)) AS n,
        COALESCE(MPID, '') || '/' || COALESCE(firmCRDNumber, '') AS venue
        FROM read_csv('{tmp_path / "big.psv"}', delim='|', header=true, all_varchar=true, quote='')"""
    )
    total = duck.execute("SELECT CAST(SUM(s) * 1000000 AS HUGEINT) FROM f").fetchone()
    assert total == (measured.tier.shares,)

    venues = duck.execute(
        """SELECT CAST(SUM(s) * 1000000 AS HUGEINT), SUM(CAST(totalWeeklyTradeCount AS BIGINT)), CAST(SUM(n) * 1000000 AS HUGEINT),
           COUNT(DISTINCT issueSymbolIdentifier), CAST(SUM(s) AS DOUBLE) / (SELECT CAST(SUM(s) AS DOUBLE) FROM f), RANK() OVER (ORDER BY SUM(s) DESC)
           FROM f GROUP BY venue"""
    ).fetchall()
    _, *venue_columns = measured.venues
    ours = rows_of(*venue_columns)
    assert_alike(sorted(ours, key=lambda row: row[0]), sorted(venues, key=lambda row: row[0]))

    symbols = duck.execute(
        """WITH cell AS (SELECT issueSymbolIdentifier AS symbol, venue, SUM(s) AS s, SUM(CAST(totalWeeklyTradeCount AS BIGINT)) AS t, SUM(n) AS n,
                         SUM(CASE WHEN summaryTypeCode = 'ATS_W_SMBL_FIRM' THEN s ELSE 0 END) AS ats FROM f GROUP BY ALL)
           SELECT CAST(SUM(s) * 1000000 AS HUGEINT), CAST(SUM(ats) * 1000000 AS HUGEINT), CAST(SUM(t) AS BIGINT), CAST(SUM(n) * 1000000 AS HUGEINT),
           COUNT(*), SUM(CAST(s AS DOUBLE) * CAST(s AS DOUBLE)) / (CAST(SUM(s) AS DOUBLE) * CAST(SUM(s) AS DOUBLE)),
           SUM(CASE WHEN venue = '/' THEN 0 ELSE CAST(s AS DOUBLE) * CAST(s AS DOUBLE) END) / (CAST(SUM(s) AS DOUBLE) * CAST(SUM(s) AS DOUBLE))
           FROM cell GROUP BY symbol"""
    ).fetchall()
    _, *symbol_columns = measured.symbols
    ours_symbols = rows_of(*symbol_columns)
    assert len(symbols) > 2000
    assert_alike(sorted(ours_symbols, key=repr), sorted(symbols, key=repr))
    assert math.isclose(math.fsum(share or 0 for share in measured.venues.share), 1, abs_tol=1e-12)


def rows_of(*columns: Any) -> list[tuple[Any, ...]]:
    """Columns as rows of Python values."""
    return list(zip(*(column.tolist() if isinstance(column, np.ndarray) else column for column in columns), strict=True))


def assert_alike(ours: list[tuple[object, ...]], theirs: list[tuple[object, ...]]) -> None:
    """Whole numbers equal, fractions within 1e-12."""
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=True):
            assert math.isclose(a, b, rel_tol=1e-12) if isinstance(a, float) else a == b, (mine, other)


def test_the_order_of_the_file_does_not_matter(db: Database) -> None:
    header, *lines = big_file(3000, seed=5).splitlines()
    first = read("\n".join([header, *lines]) + "\n", db)
    random.Random(1).shuffle(lines)
    second = read("\n".join([header, *lines]) + "\n", db)
    one, other = measure_tier(first), measure_tier(second)
    assert (rows_of(*one.venues), rows_of(*one.symbols), one.tier) == (
        rows_of(*other.venues),
        rows_of(*other.symbols),
        other.tier,
    )


def test_rows_read_back_give_the_measures_of_the_rows_written(db: Database) -> None:
    facts = read(big_file(2000, seed=9), db)
    with db.transaction():
        for rows in facts_of.volume_columns(facts):
            db.bulk_columns("finra_otc_transparency_volume", {"capture_key": 1}, rows)
    again = facts_of.from_tables(db, 1)
    one, other = measure_tier(again), measure_tier(facts)
    assert (rows_of(*one.venues), rows_of(*one.symbols), one.tier) == (
        rows_of(*other.venues),
        rows_of(*other.symbols),
        other.tier,
    )
    assert np.array_equal(again.shares, facts.shares)
    stored = db.execute("SELECT total_shares FROM finra_otc_transparency_volume").fetchall()
    assert {type(row[0]) for row in stored} == {int, float}
    assert all(isinstance(row[0], int) or not row[0].is_integer() for row in stored)


@pytest.mark.parametrize(
    ("volumes", "expected"),
    [([5], 1.0), ([1, 1], 0.5), ([3, 1], 0.625), ([], None), ([0, 0], None), ([10**17, 1], 1.0)],
    ids=["one", "two equal", "two", "none", "no volume", "nearly one"],
)
def test_hhi_by_hand(volumes: list[int], expected: float | None) -> None:
    assert herfindahl(volumes) == expected


def test_a_single_venue_gives_exactly_one_and_ranks_skip_after_ties(db: Database) -> None:
    text = f"{COLUMNS}\n" + "".join(
        f"NMS Tier 1|{symbol}|x|UTP|{venue} ATS|{venue}||ATS_W_SMBL_FIRM|{shares}|1|1|2026-01-12\n"
        for symbol, venue, shares in [
            ("A", "AAAA", "0.333333"),
            ("B", "AAAA", "0.666667"),
            ("B", "BBBB", "1"),
            ("C", "CCCC", "0.5"),
        ]
    )
    measured = measure_tier(read(text, db))
    by_symbol = measured.symbols.hhi
    assert (by_symbol[0], by_symbol[2]) == (1.0, 1.0)
    assert rows_of(measured.venues.shares, measured.venues.rank) == [(MICRO, 1), (MICRO, 1), (MICRO // 2, 3)]
