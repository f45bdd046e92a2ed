"""A measure of a tier, or of one venue or symbol in it, over the weeks, from the current captures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import NamedTuple

from market_spine.db import Database
from market_spine.errors import UsageError

Rows = list[tuple[str, str, "float | None"]]


class Question(NamedTuple):
    """What is asked: the first and the last week, and, where the measure takes one, a venue or a symbol."""

    first: date
    last: date
    venue: str | None = None
    symbol: str | None = None

    @property
    def range(self) -> tuple[str, str]:
        return self.first.isoformat(), self.last.isoformat()


class Measure(NamedTuple):
    """How a measure is read, what it is, and whether it is of a venue."""

    read: Callable[[Database, Question], Rows]
    help: str
    of_venue: bool = False


@dataclass(frozen=True, slots=True)
class Trend:
    """A series of a tier, by week, oldest first; None where there is nothing."""

    tier: str
    weeks: Sequence[date]
    values: Sequence[float | None]

    def entry(self) -> dict[str, object]:
        """The series, for machines."""
        points = zip(self.weeks, self.values, strict=True)
        return {"tier": self.tier, "points": [{"week_ending": week, "value": value} for week, value in points]}


def read(db: Database, name: str, question: Question, weeks: Sequence[date], tiers: Sequence[str]) -> list[Trend]:
    """The series of these tiers; `weeks` are oldest first. Raises UsageError for an unknown measure or a missing venue."""
    if name not in MEASURES:
        raise UsageError(f"there is no measure {name!r}", hint=f"the measures are {', '.join(MEASURES)}")
    if MEASURES[name].of_venue and question.venue is None:
        raise UsageError(f"{name} is of one venue", hint=f"spine trend {name} --venue UBSA")
    values = {(week, tier): value for week, tier, value in MEASURES[name].read(db, question)}
    series = [Trend(tier, weeks, [values.get((week.isoformat(), tier)) for week in weeks]) for tier in tiers]
    return [each for each in series if any(value is not None for value in each.values)]


class _Tier(NamedTuple):
    """What CALC measured of a tier in a week."""

    week: str
    tier: str
    volume: float
    trades: int
    venues: int
    hhi: float | None


def _of_tier(db: Database, question: Question, name: str) -> Rows:
    """A measure of the whole tier."""
    rows = db.execute(
        """
        SELECT c.week_ending, c.tier, m.total_shares, m.total_trades, m.venue_count, m.hhi FROM finra_otc_transparency_current c
        JOIN finra_otc_transparency_tier_measure m ON m.capture_key = c.capture_key WHERE c.week_ending BETWEEN ? AND ?
        """,
        question.range,
    )
    return [(each.week, each.tier, getattr(each, name)) for each in map(_Tier._make, rows)]


def _hhi(db: Database, question: Question) -> Rows:
    if question.symbol is None:
        return _of_tier(db, question, "hhi")
    return db.execute(
        """
        SELECT c.week_ending, c.tier, h.hhi FROM finra_otc_transparency_current c
        JOIN finra_otc_transparency_hhi h ON h.capture_id = c.capture_id
        WHERE c.week_ending BETWEEN ? AND ? AND h.scope = 'SYMBOL' AND h.symbol = ?
        """,
        (*question.range, question.symbol),
    ).fetchall()


def _volume(db: Database, question: Question) -> Rows:
    if question.symbol is None:
        return _of_tier(db, question, "volume")
    return db.execute(
        """
        SELECT c.week_ending, c.tier, SUM(m.total_shares) FROM finra_otc_transparency_current c
        JOIN finra_otc_transparency_symbol_measure m ON m.capture_key = c.capture_key
        JOIN finra_otc_transparency_issue i ON i.issue_id = m.issue_id
        WHERE c.week_ending BETWEEN ? AND ? AND i.symbol = ? GROUP BY c.week_ending, c.tier
        """,
        (*question.range, question.symbol),
    ).fetchall()


def _rows(db: Database, question: Question) -> Rows:
    return db.execute(
        "SELECT week_ending, tier, row_count FROM finra_otc_transparency_current WHERE week_ending BETWEEN ? AND ?",
        question.range,
    ).fetchall()


def _venue_share(db: Database, question: Question) -> Rows:
    return db.execute(
        """
        SELECT c.week_ending, c.tier, SUM(m.share) FROM finra_otc_transparency_current c
        JOIN finra_otc_transparency_venue_measure m ON m.capture_key = c.capture_key
        JOIN finra_otc_transparency_venue v ON v.venue_id = m.venue_id
        WHERE c.week_ending BETWEEN ? AND ? AND ? IN (v.mpid, v.venue_name) GROUP BY c.week_ending, c.tier
        """,
        (*question.range, question.venue),
    ).fetchall()


MEASURES: Mapping[str, Measure] = {
    "volume": Measure(_volume, "shares"),
    "trades": Measure(partial(_of_tier, name="trades"), "trades"),
    "hhi": Measure(_hhi, "concentration over venues, 0 to 1"),
    "venues": Measure(partial(_of_tier, name="venues"), "venues with volume"),
    "rows": Measure(_rows, "rows of the current capture"),
    "venue_share": Measure(_venue_share, "a venue's share of the tier", of_venue=True),
}
