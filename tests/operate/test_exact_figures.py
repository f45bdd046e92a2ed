"""Figures at the limits of what is exact: load, rebuild, verify, views, export and diff come to the same ones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest
from support.desk import FRIDAYS, WEEK, Desk

from market_spine.calendar import publication
from market_spine.db import Database
from market_spine.measure import facts as facts_of
from market_spine.measure.measures import measure_tier
from market_spine.measure.tier_tables import TIER_TABLES
from market_spine.operate import verify
from market_spine.operate.rebuild import rebuild
from market_spine.parse.columns import MICRO
from market_spine.partition import NMS_TIER_1, TIERS, Partition
from market_spine.query import diff, export, history
from market_spine.query.views import VIEWS

HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|productTypeCode|marketParticipantName|MPID|totalWeeklyShareQuantity|"
    "totalWeeklyTradeCount|totalNotionalSum|lastUpdateDate"
)
LARGEST = "9000000000000"
VIEW = "finra_otc_transparency_"
CASES = {
    "five trillion twice": [("A", "V1", "5000000000000", "1", "1"), ("A", "V2", "5000000000000", "1", "1")],
    "three of the largest": [("A", f"V{n}", LARGEST, "1", LARGEST) for n in range(3)],
    "fractions beyond 2 to the 33": [
        ("A", "V1", "8589934592.000001", "1", "1"),
        ("A", "V2", "9007199254.740993", "1", "1"),
        ("B", "V1", "8999999999999.999999", "1", "1"),
    ],
    "notional beyond 2 to the 53 millionths": [
        ("A", "V1", "1", "1", "9007199254.740993"),
        ("A", "V2", "1", "1", "15118719960.275284"),
        ("B", "V1", "1", "1", "8999999999999.999999"),
    ],
    "notional unknown in one row": [("A", "V1", "1", "1", ""), ("A", "V2", "1", "1", "7"), ("B", "V2", "2", "1", "8.5")],
    "notional unknown in all": [("A", "V1", "1", "1", ""), ("B", "V2", "1", "1", "")],
}


class Row(NamedTuple):
    symbol: str
    mpid: str
    shares: str
    trades: str
    notional: str


def publish(desk: Desk, tier: str, rows: list[Row]) -> None:
    day = publication.nominal_day(Partition(WEEK, tier))
    tier_name = {"NMS_TIER_1": "T1", "NMS_TIER_2": "T2", "OTC": "OTCE"}[tier]
    lines = [f"{tier_name}|{s}|{s} Inc.|UTP|{v} ATS|{v}|{q}|{t}|{n}|{day}" for s, v, q, t, n in rows]
    path = desk.folder / f"{tier.lower()}_week_{WEEK}.psv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", "utf-8")


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def rows(request: pytest.FixtureRequest) -> list[Row]:
    return [Row._make(row) for row in request.param]


@pytest.fixture
def desk(db: Database, tmp_path: Path, rows: list[Row]) -> Desk:
    desk = Desk(tmp_path / "files", db)
    for tier in TIERS:
        publish(desk, tier, rows)
    assert desk.run().exit_code == 0
    return desk


def tables(db: Database) -> list[object]:
    """Rows and measures as the views show them, in one order."""
    shown = (
        "SELECT tier, symbol, mpid, total_shares, total_trades, total_notional FROM finra_otc_transparency_normalized",
        "SELECT tier, mpid, total_shares, total_trades, total_notional, symbol_count FROM finra_otc_transparency_venue_volume",
        "SELECT tier, symbol, total_shares, ats_shares, total_trades, total_notional, hhi FROM finra_otc_transparency_symbol_summary",
        "SELECT total_shares, ats_shares, total_trades, total_notional FROM finra_otc_transparency_weekly_totals",
        "SELECT tier, total_shares, total_trades, total_notional, share FROM finra_otc_transparency_tier_split",
    )
    return [sorted(db.execute(statement).fetchall(), key=repr) for statement in shown]


def exact(texts: list[str]) -> int | float | None:
    """The sum of the nearest figures, rounded once."""
    if "" in texts:
        return None
    stored = [Fraction(text) if Fraction(text).denominator == 1 else Fraction(float(text)) for text in texts]
    return rounded(sum(round(figure * MICRO) for figure in stored))


def three_times(figure: int | float | None) -> int | float | None:
    return None if figure is None else rounded(3 * round(Fraction(figure) * MICRO))


def rounded(micro: int) -> int | float:
    return micro // MICRO if micro % MICRO == 0 else micro / MICRO


def test_sums_are_those_of_the_rows(desk: Desk, rows: list[Row]) -> None:
    shares, notional = exact([row.shares for row in rows]), exact([row.notional for row in rows])
    tiers = desk.db.execute("SELECT total_shares, total_notional FROM finra_otc_transparency_tier_split").fetchall()
    assert {tuple(row) for row in tiers} == {(shares, notional)}
    totals = desk.db.execute("SELECT total_shares, total_notional FROM finra_otc_transparency_weekly_totals").fetchall()
    assert [tuple(row) for row in totals] == [(three_times(shares), three_times(notional))]
    venues = {
        mpid: (exact([row.shares for row in rows if row.mpid == mpid]), exact([row.notional for row in rows if row.mpid == mpid]))
        for mpid in {row.mpid for row in rows}
    }
    statement = "SELECT mpid, total_shares, total_notional FROM finra_otc_transparency_venue_volume WHERE tier = 'OTC'"
    assert {mpid: (shares, notional) for mpid, shares, notional in desk.db.execute(statement)} == venues


def test_rebuild_verify_and_rows_read_back_agree_with_the_load(desk: Desk) -> None:
    assert [str(fault) for fault in verify.verify(desk.db, deep=True)] == []
    loaded = tables(desk.db)
    assert all(outcome.status == "done" for outcome in rebuild(desk.context(), WEEK))
    assert tables(desk.db) == loaded
    for (key,) in desk.db.execute("SELECT capture_key FROM finra_otc_transparency_capture").fetchall():
        desk.db.execute("DELETE FROM finra_otc_transparency_tier_measure WHERE capture_key = ?", (key,))
        measured = measure_tier(facts_of.from_tables(desk.db, key))
        desk.db.bulk_columns(TIER_TABLES[2].table, {"capture_key": key}, TIER_TABLES[2].columns(measured))
    assert tables(desk.db) == loaded
    assert [str(fault) for fault in verify.verify(desk.db, deep=True)] == []


def test_shares_of_a_symbol_add_up_to_one(desk: Desk) -> None:
    shares: dict[tuple[str, str], float] = {}
    for symbol, tier, share in desk.db.execute(
        "SELECT symbol, tier, share FROM finra_otc_transparency_symbol_venue_share"
    ).fetchall():
        shares[symbol, tier] = shares.get((symbol, tier), 0) + share
    assert shares
    assert all(abs(value - 1) <= 1e-12 for value in shares.values())
    single = desk.db.execute("SELECT share FROM finra_otc_transparency_symbol_venue_share WHERE symbol = 'B'").fetchall()
    assert {share for (share,) in single} <= {1.0}


def test_an_export_holds_the_same_figures(desk: Desk, rows: list[Row], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    for name in ("normalized", "weekly_totals"):
        export.export(desk.db, VIEWS[name], tmp_path / name, export.PARQUET)
    table = parquet.read_table(tmp_path / "normalized", partitioning=None).to_pylist()
    assert {row["total_notional"] for row in table} == {float(row.notional) if row.notional else None for row in rows}
    totals = parquet.read_table(tmp_path / "weekly_totals", partitioning=None).to_pylist()
    (recorded,) = desk.db.execute("SELECT total_shares FROM finra_otc_transparency_week").fetchone()
    assert float(totals[0]["total_shares"]) == recorded


def test_a_notional_that_becomes_known_is_a_difference(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    publish(desk, NMS_TIER_1, [("A", "V1", "1", "1", "")])
    desk.run(FRIDAYS[0], tiers=[NMS_TIER_1])
    publish(desk, NMS_TIER_1, [("A", "V1", "1", "1", "0")])
    desk.run(FRIDAYS[1], tiers=[NMS_TIER_1])
    (change,) = diff.compare(db, *history.last_two(db, WEEK, NMS_TIER_1)).rows
    assert change.before is not None
    assert change.after is not None
    assert (change.before.notional, change.after.notional) == (None, 0.0)
