"""The measures of a tier, taken from its columns. Pure: columns in, values out; every sum is exact.

Shares are those of the whole tier, ATS and non-ATS, 'De Minimis Firms' included as the one venue FINRA publishes it as.
HHI is the sum of squared shares over venues, 0…1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from market_spine.facts import Facts

    Ints = NDArray[np.int64]


class VenueMeasure(NamedTuple):
    """Shares and notional in millionths; `share` of the tier, None when the tier has no volume; `rank` from 1."""

    venue_id: int
    shares: int
    trades: int
    notional: int | None
    symbol_count: int
    share: float | None
    rank: int


class SymbolMeasure(NamedTuple):
    """Shares and notional in millionths; `hhi` over the symbol's venues, None without volume."""

    issue_id: int
    shares: int
    ats_shares: int
    trades: int
    notional: int | None
    venue_count: int
    hhi: float | None


class TierMeasure(NamedTuple):
    """Shares and notional in millionths; `hhi` over the tier's venues."""

    shares: int
    ats_shares: int
    trades: int
    notional: int | None
    symbol_count: int
    venue_count: int
    hhi: float | None


class TierMeasures(NamedTuple):
    """Everything measured of a tier: venues by rank, symbols by id, and the whole."""

    venues: list[VenueMeasure]
    symbols: list[SymbolMeasure]
    tier: TierMeasure


def measure_tier(facts: Facts) -> TierMeasures:
    """All measures of a tier. The rows of each (symbol, venue) cell are added first: a symbol may stand in two issues."""
    symbol_ids, symbol_at = np.unique(facts.symbol_of, return_inverse=True)
    venue_ids, venue_at = np.unique(facts.venue_of, return_inverse=True)
    cell_of = symbol_at[facts.issue].astype(np.int64) * len(venue_ids) + venue_at[facts.venue]
    order = np.argsort(cell_of, kind="stable")
    first = _first_of_each(cell_of[order])
    symbol, venue = np.divmod(cell_of[order][first], max(len(venue_ids), 1))
    is_ats = np.zeros(len(venue_ids), dtype=np.bool_)
    is_ats[venue_at] = facts.is_ats
    cells = _Cells(
        symbol=symbol,
        venue=venue,
        shares=_add(facts.shares[order], first),
        trades=_add(facts.trades[order], first),
        notional=None if facts.notional is None else _add(facts.notional[order], first),
        is_ats=is_ats[venue],
    )
    venues = _venues(cells, venue_ids)
    symbols = _symbols(cells, symbol_ids)
    return TierMeasures(venues, symbols, _tier(venues, symbols))


class _Cells(NamedTuple):
    """One row for each (symbol, venue), sorted by symbol; `symbol` and `venue` are places in the lists of ids."""

    symbol: Ints
    venue: Ints
    shares: Ints
    trades: Ints
    notional: Ints | None
    is_ats: NDArray[np.bool_]


def herfindahl(volumes: Sequence[int]) -> float | None:
    """Σ share², from whole volumes, rounded once; None when there is no volume."""
    total = sum(volumes)
    return sum(volume * volume for volume in volumes) / (total * total) if total else None


def _first_of_each(group: Ints) -> Ints:
    """Where each run of equal numbers begins."""
    return np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1]))[: len(group)])


def _add(values: Ints, first: Ints) -> Ints:
    """Sums of the runs that begin at `first`; exact, in 64-bit integers."""
    return np.add.reduceat(values, first) if len(first) else values[:0]


def _tier(venues: list[VenueMeasure], symbols: list[SymbolMeasure]) -> TierMeasure:
    notional = [row.notional for row in venues]
    return TierMeasure(
        shares=sum(row.shares for row in venues),
        ats_shares=sum(row.ats_shares for row in symbols),
        trades=sum(row.trades for row in venues),
        notional=None if None in notional else sum(value or 0 for value in notional),
        symbol_count=len(symbols),
        venue_count=len(venues),
        hhi=herfindahl([row.shares for row in venues]),
    )


def _venues(cells: _Cells, ids: Ints) -> list[VenueMeasure]:
    order = np.argsort(cells.venue, kind="stable")
    first = _first_of_each(cells.venue[order])
    numbers = ids[cells.venue[order][first]].tolist()
    shares = _add(cells.shares[order], first).tolist()
    trades = _add(cells.trades[order], first).tolist()
    notional = _none_or(cells.notional, order, first, len(numbers))
    symbols = np.diff(np.append(first, len(order))).tolist()
    total = sum(shares)
    share = [value / total if total else None for value in shares]
    rows = zip(numbers, shares, trades, notional, symbols, share, _ranks(shares), strict=True)
    return [VenueMeasure(*row) for row in rows]


def _none_or(values: Ints | None, order: Ints, first: Ints, count: int) -> list[int | None]:
    return [None] * count if values is None else _add(values[order], first).tolist()


def _ranks(volumes: Sequence[int]) -> list[int]:
    """1 for the largest; equals share a rank, the next ones are skipped."""
    rank: dict[int, int] = {}
    for place, volume in enumerate(sorted(volumes, reverse=True), 1):
        rank.setdefault(volume, place)
    return [rank[volume] for volume in volumes]


def _symbols(cells: _Cells, ids: Ints) -> list[SymbolMeasure]:
    first = _first_of_each(cells.symbol)
    everything = np.arange(len(cells.symbol))
    numbers = ids[cells.symbol[first]].tolist()
    shares = _add(cells.shares, first)
    ats = _add(np.where(cells.is_ats, cells.shares, 0), first).tolist()
    trades = _add(cells.trades, first).tolist()
    notional = _none_or(cells.notional, everything, first, len(numbers))
    venues = np.diff(np.append(first, len(everything)))
    hhi = _symbol_hhi(cells.shares, shares, first, venues)
    rows = zip(numbers, shares.tolist(), ats, trades, notional, venues.tolist(), hhi, strict=True)
    return list(map(SymbolMeasure._make, rows))


def _symbol_hhi(volume: Ints, totals: Ints, first: Ints, venues: Ints) -> list[float | None]:
    """Per symbol Σ share² over venues. The squares are added as 62-bit fractions, so that no order of rows matters."""
    total = np.repeat(totals, venues).astype(np.float64)
    share = np.divide(volume, total, out=np.zeros(len(volume)), where=total > 0)
    hhi = _add(np.rint(share * share * _ONE).astype(np.int64), first) / _ONE
    return [value if whole else None for value, whole in zip(hhi.tolist(), totals.tolist(), strict=True)]


_ONE = float(1 << 62)
