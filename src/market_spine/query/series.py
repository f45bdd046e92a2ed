"""The weeks of a venue, a symbol or the tiers, as they are known now or were known as of a day; of symbols also every vintage."""

from __future__ import annotations

from itertools import starmap
from typing import NamedTuple

from market_spine.db import Database
from market_spine.query.as_of import current_captures


class Standing(NamedTuple):
    """The captures that were current and measured, by id; the partitions that had been restated by then."""

    captures: frozenset[str]
    restated: frozenset[tuple[str, str]]


class VenueWeek(NamedTuple):
    """A venue in a week of a tier."""

    capture_id: str
    week: str
    tier: str
    venue_class: str
    mpid: str
    firm_crd: int | None
    venue_name: str
    shares: float | None
    share: float | None
    rank: int | None
    basis: str


class TierWeek(NamedTuple):
    """A tier in a week: a row of the view `concentration`."""

    capture_id: str
    week: str
    tier: str
    shares: float | None
    ats_fraction: float | None
    hhi: float | None
    ats_hhi: float | None
    non_ats_hhi: float | None
    effective_venues: float | None
    average_trade_size: float | None
    hidden_shares: float | None
    venues: int | None
    captured_at: str
    basis: str


class SymbolWeek(NamedTuple):
    """A symbol in a capture: a row of the view `symbol_summary`; `hhi_low` is known with firm totals."""

    capture_id: str
    week: str
    tier: str
    symbol: str
    shares: float | None
    ats_shares: float | None
    trades: int | None
    notional: float | None
    venues: int | None
    hhi: float | None
    captured_at: str
    hhi_low: float | None = None


class Match(NamedTuple):
    """A symbol that a search matches, and one of its names."""

    symbol: str
    issue_name: str


def standing(db: Database, before: str | None) -> Standing:
    """What counts now, or counted before a moment (a stamp)."""
    known = [c for c in current_captures(db, before) if c.measured_at is not None and c.measured_at < (before or "9")]
    rows = db.execute(
        """
        SELECT week_ending, tier FROM finra_otc_transparency_capture WHERE normalized_at < ?
        GROUP BY week_ending, tier HAVING COUNT(DISTINCT content_hash) > 1
        """,
        (before or "9",),
    )
    return Standing(frozenset(c.capture_id for c in known), frozenset((week, tier) for week, tier in rows))


def of_venue(db: Database, label: str, counts: Standing) -> list[VenueWeek]:
    """The weeks of a venue by its label: its MPID, else its CRD number, else its name. Oldest first."""
    rows = db.execute(
        """
        SELECT capture_id, week_ending, tier, venue_class, mpid, firm_crd, venue_name, total_shares, share, rank, basis
        FROM finra_otc_transparency_venue_share
        WHERE CASE WHEN mpid <> '' THEN mpid WHEN firm_crd IS NOT NULL THEN 'CRD ' || firm_crd ELSE venue_name END = ?
        ORDER BY week_ending, tier, rank
        """,
        (label,),
    )
    return [week for week in map(VenueWeek._make, rows) if week.capture_id in counts.captures]


def label_of(mpid: str, firm_crd: int | None, name: str) -> str:
    """The label of a venue, as spine diff writes it."""
    return mpid or (f"CRD {firm_crd}" if firm_crd else name)


def of_tiers(db: Database, counts: Standing) -> list[TierWeek]:
    """Every week of every tier, oldest first."""
    rows = db.execute(
        """
        SELECT capture_id, week_ending, tier, total_shares, ats_fraction, hhi, ats_hhi, non_ats_hhi, effective_venues,
               average_trade_size, hidden_shares, venue_count, captured_at, basis
        FROM finra_otc_transparency_concentration ORDER BY week_ending, tier
        """
    )
    return [week for week in map(TierWeek._make, rows) if week.capture_id in counts.captures]


def of_symbol(db: Database, symbol: str, before: str | None) -> list[SymbolWeek]:
    """A symbol in every capture that was taken by then, superseded ones too, oldest first."""
    rows = db.execute(
        """
        SELECT capture_id, week_ending, tier, symbol, total_shares, ats_shares, total_trades, total_notional, venue_count, hhi,
               captured_at
        FROM finra_otc_transparency_symbol_summary WHERE symbol = ? ORDER BY week_ending, tier, capture_id
        """,
        (symbol,),
    )
    weeks = [week for week in starmap(SymbolWeek, rows) if week.captured_at < (before or "9")]
    bounds = db.execute(
        "SELECT capture_id, hhi_low FROM finra_otc_transparency_hhi WHERE scope = 'SYMBOL' AND symbol = ?", (symbol,)
    )
    least: dict[str, float | None] = dict(bounds.fetchall())
    return [week._replace(hhi_low=least.get(week.capture_id)) for week in weeks]


def search(db: Database, text: str, limit: int) -> list[Match]:
    """At most `limit` symbols that begin with a text, or one of whose names holds it, in any case."""
    pattern = text.upper().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    rows = db.execute(
        """
        SELECT symbol, MIN(issue_name) FROM finra_otc_transparency_issue
        WHERE UPPER(symbol) LIKE ? ESCAPE '\\' OR UPPER(issue_name) LIKE ? ESCAPE '\\'
        GROUP BY symbol
        ORDER BY CASE WHEN UPPER(symbol) = ? THEN 0 WHEN UPPER(symbol) LIKE ? ESCAPE '\\' THEN 1 ELSE 2 END, symbol LIMIT ?
        """,
        (f"{pattern}%", f"%{pattern}%", text.upper(), f"{pattern}%", limit),
    )
    return [Match._make(row) for row in rows]
