"""Rolling measures: the figures of a tier over consecutive weeks. Pure: weeks in, columns out.

A share x = v / T of a week is the float nearest to the quotient of whole millionths. Sums of shares are sums of whole numbers of
2**-52, so no order matters and every engine, machine and run gives the same bits; they are divided once, at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from market_spine.calendar.exchange import closures
from market_spine.measure.firm_totals import FIRM_TOTAL, SYMBOL_ROWS
from market_spine.measure.measures import herfindahl, ranks
from market_spine.parse.columns import MICRO, whole_or_fraction

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIXED = "mixed"  # some weeks by firm totals, some by symbol rows
_ONE = 1 << 52
_MAD_OF_NORMAL = 1.4826  # makes the median absolute deviation of normal values their standard deviation
_TRADING_DAYS = 5


class Week(NamedTuple):
    """A week of a tier by one capture: shares in millionths, in all and by venue id, and each venue's share of them (none without
    volume); `hhi` is None without volume."""

    week_ending: date
    basis: str
    shares: int
    ats_shares: int
    trades: int
    hhi: float | None
    venues: Mapping[int, int]
    parts: Mapping[int, float]


class TierWindow(NamedTuple):
    """The figures of a tier; those of weeks are None where one of them has no volume. Slopes are per week."""

    basis: str
    sessions: int
    venue_count: int
    total_shares: float
    ats_shares: float
    total_trades: int
    shares_slope: float
    hhi: float | None
    hhi_mean: float | None
    hhi_slope: float | None
    effective_venues_slope: float | None
    ats_fraction_slope: float | None
    trade_size_slope: float | None


class VenueWindow(NamedTuple):
    """The figures of a venue; shares are of the tier, None where a week has no volume. `deviation`: how far the last week is from
    the median of those before, in units of their usual spread; None where they have none."""

    venue_id: int
    total_shares: float
    share_mean: float | None
    slope: float | None
    rank: int
    deviation: float | None
    active_weeks: int


def sessions(week_ending: date) -> int:
    """The days of the week on which the exchange was open; a half day is one."""
    days = [week_ending - timedelta(days=back) for back in range(_TRADING_DAYS)]
    return sum(day not in closures(day.year) for day in days)


def parts_of(venues: Mapping[int, int], total: int) -> dict[int, float]:
    """Each venue's share of a week's volume; none without volume."""
    return {venue: shares / total for venue, shares in venues.items()} if total else {}


class Figures(NamedTuple):
    """The figures of a window: of the tier, and of every venue that is in one of its weeks, by id."""

    tier: TierWindow
    venues: list[VenueWindow]


def measure_window(weeks: Sequence[Week]) -> Figures:
    """All figures over these weeks, oldest first. In a week without it a venue counts as 0."""
    totals = _added(weeks)
    return Figures(_tier(weeks, totals), _venues(weeks, totals))


def _tier(weeks: Sequence[Week], totals: Mapping[int, int]) -> TierWindow:
    bases = {week.basis for week in weeks}
    hhis = [week.hhi for week in weeks if week.hhi]
    has_volume = len(hhis) == len(weeks)
    return TierWindow(
        basis=bases.pop() if len(bases) == 1 else MIXED,
        sessions=sum(sessions(week.week_ending) for week in weeks),
        venue_count=len(totals),
        total_shares=whole_or_fraction(sum(week.shares for week in weeks)),
        ats_shares=whole_or_fraction(sum(week.ats_shares for week in weeks)),
        total_trades=sum(week.trades for week in weeks),
        shares_slope=_slope([_quotient(week.shares, MICRO) for week in weeks]),
        hhi=herfindahl(list(totals.values())),
        hhi_mean=sum(map(_fixed, hhis)) / (len(weeks) * _ONE) if has_volume else None,
        hhi_slope=_slope([_fixed(hhi) for hhi in hhis]) if has_volume else None,
        effective_venues_slope=_slope([_fixed(1 / hhi) for hhi in hhis]) if has_volume else None,
        ats_fraction_slope=_slope([_quotient(week.ats_shares, week.shares) for week in weeks]) if has_volume else None,
        trade_size_slope=_slope_of_sizes(weeks),
    )


def _venues(weeks: Sequence[Week], totals: Mapping[int, int]) -> list[VenueWindow]:
    ids, volumes = list(totals), list(totals.values())
    active = [sum(venue in week.venues for week in weeks) for venue in ids]
    if not all(week.shares for week in weeks):
        unknown = [None] * len(ids)
        return _rows(ids, volumes, unknown, unknown, unknown, active)
    shares = np.array([[week.parts.get(venue, 0.0) for venue in ids] for week in weeks]).T
    fixed = np.rint(shares * _ONE).astype(np.int64)
    means = [total / (len(weeks) * _ONE) for total in fixed.sum(axis=1).tolist()]
    slopes = [_scaled(weighted, len(weeks)) for weighted in (fixed @ _weights(len(weeks))).tolist()]
    return _rows(ids, volumes, means, slopes, _deviations(shares), active)


def _rows(
    ids: Sequence[int], volumes: Sequence[int], means: Sequence[float | None], slopes: Sequence[float | None],
    deviations: Sequence[float | None], active: Sequence[int],
) -> list[VenueWindow]:
    columns = zip(ids, map(whole_or_fraction, volumes), means, slopes, ranks(volumes), deviations, active, strict=True)
    return [VenueWindow._make(row) for row in columns]


def _added(weeks: Sequence[Week]) -> dict[int, int]:
    """Every venue's volume over these weeks, by id."""
    totals: dict[int, int] = {}
    for week in weeks:
        for venue, shares in week.venues.items():
            totals[venue] = totals.get(venue, 0) + shares
    return dict(sorted(totals.items()))


def _quotient(part: int, whole: int) -> int:
    """A quotient as a whole number of 2**-52."""
    return ((part << 53) // whole + 1) >> 1


def _fixed(value: float) -> int:
    """A figure as a whole number of 2**-52."""
    return round(value * _ONE)


def _weights(length: int) -> NDArray[np.int64]:
    """k = 2i − (L − 1) for i = 0 … L − 1: twice the distance from the middle, which keeps the least squares whole."""
    return 2 * np.arange(length, dtype=np.int64) - (length - 1)


def _scaled(weighted: int, length: int) -> float:
    """The least-squares slope of L values from Σ k x, exactly: 6 Σ k x / (L (L² − 1))."""
    return 6 * weighted / (length * (length * length - 1) * _ONE)


def _slope(values: Sequence[int]) -> float:
    return _scaled(sum(k * value for k, value in zip(_weights(len(values)).tolist(), values, strict=True)), len(values))


def _slope_of_sizes(weeks: Sequence[Week]) -> float | None:
    """The slope of the average trade size; None where a week has no trades."""
    if not all(week.trades for week in weeks):
        return None
    return _slope([_quotient(week.shares, week.trades * MICRO) for week in weeks])


def _deviations(shares: NDArray[np.float64]) -> list[float | None]:
    """Each row's last value against the median of those before it, in units of 1.4826 times their median absolute deviation."""
    before, last = shares[:, :-1], shares[:, -1]
    middle = np.median(before, axis=1)
    spread = np.median(np.abs(before - middle[:, None]), axis=1)
    away = (last - middle).tolist()
    return [distance / (_MAD_OF_NORMAL * unit) if unit else None for distance, unit in zip(away, spread.tolist(), strict=True)]


def basis_of(basis: str | None) -> str:
    """How the venues of a capture are counted; captures of earlier releases say nothing, and have symbol rows."""
    return FIRM_TOTAL if basis == FIRM_TOTAL else SYMBOL_ROWS
