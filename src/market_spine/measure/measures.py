"""The measures of a tier, taken from its columns. Pure: columns in, values out; every sum is exact.

Shares are those of the whole tier, ATS and non-ATS, 'De Minimis Firms' included as the one venue FINRA publishes it as.
HHI is the sum of squared shares over venues, 0…1. A notional sum of which any part is unknown is unknown: a sum of the rest
would look like the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from market_spine.parse.columns import UNKNOWN
from market_spine.parse.figures import summable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from market_spine.measure.facts import Facts

    Ints = NDArray[np.int64]
    Sums = NDArray[Any]  # 64-bit integers, or Python's where a sum of the tier does not fit them


class VenueMeasures(NamedTuple):
    """n venues as columns. Shares and notional in millionths (`notional` None where no row has one, UNKNOWN where some have
    none); `share` of the tier, None when it has no volume; `rank` from 1, equals share one."""

    venue_id: list[int]
    shares: Sums
    trades: Ints
    notional: Sums | None
    symbol_count: list[int]
    share: list[float | None]
    rank: list[int]


class SymbolMeasures(NamedTuple):
    """n symbols as columns, each filed under one of its issues. Shares and notional in millionths; `hhi` over the symbol's
    venues, NaN without volume."""

    issue_id: Ints
    shares: Sums
    ats_shares: Sums
    trades: Ints
    notional: Sums | None
    venue_count: Ints
    hhi: NDArray[np.float64]


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
    """Everything measured of a tier."""

    venues: VenueMeasures
    symbols: SymbolMeasures
    tier: TierMeasure


def measure_tier(facts: Facts) -> TierMeasures:
    """All measures of a tier. The rows of each (symbol, venue) cell are added first: a symbol may belong to two issues."""
    symbol_ids, symbol_at = np.unique(facts.symbol_of, return_inverse=True)
    venue_ids, venue_at = np.unique(facts.venue_of, return_inverse=True)
    symbol, venue = symbol_at[facts.issue], venue_at[facts.venue]
    cell_of = symbol * len(venue_ids) + venue
    order = _in_order(cell_of)
    first = _first_of_each(cell_of[order])
    symbol, venue = _at(symbol[order], first), _at(venue[order], first)
    is_ats = np.zeros(len(venue_ids), dtype=np.bool_)
    is_ats[venue_at] = facts.is_ats
    cells = _Cells(
        symbol=symbol,
        venue=venue,
        shares=_add(summable(facts.shares)[order], first),
        trades=_add(facts.trades[order], first),
        notional=None if facts.notional is None else _add_known(summable(facts.notional)[order], first),
        is_ats=is_ats[venue],
    )
    venues = _venues(cells, venue_ids)
    symbols = _symbols(cells, symbol_ids)
    return TierMeasures(venues, symbols, _tier(venues, symbols))


class _Cells(NamedTuple):
    """One row for each (symbol, venue), sorted by symbol; `symbol` and `venue` are positions in the lists of ids."""

    symbol: Ints
    venue: Ints
    shares: Sums
    trades: Ints
    notional: Sums | None
    is_ats: NDArray[np.bool_]


def herfindahl(volumes: Sequence[int]) -> float | None:
    """Σ share², from whole volumes, rounded once; None when there is no volume."""
    total = sum(volumes)
    return sum(volume * volume for volume in volumes) / (total * total) if total else None


def _first_of_each(group: Ints) -> Ints:
    """Where each run of equal numbers begins."""
    return np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1]))[: len(group)])


def _in_order(keys: Ints) -> Ints | slice:
    """An index that sorts keys, stably; mostly all of them as they are, since rows come by issue and venue."""
    return slice(None) if (keys[1:] >= keys[:-1]).all() else np.argsort(keys, kind="stable")


def _narrow(positions: Ints, count: int) -> NDArray[np.integer[Any]]:
    """Positions below `count` in 16 bits where they fit: numpy sorts those by radix, in linear time."""
    return positions.astype(np.uint16) if count <= 1 << 16 else positions


def _add(values: Sums, first: Ints) -> Sums:
    """Sums of the runs that begin at `first`; exact: the values are `summable`."""
    return values if len(first) == len(values) else np.add.reduceat(values, first)


def _add_known(values: Sums, first: Ints) -> Sums:
    """Sums of the runs, UNKNOWN where any of their values is."""
    unknown = values == UNKNOWN
    if not unknown.any():
        return _add(values, first)
    sums = _add(np.where(unknown, 0, values), first).copy()
    sums[np.logical_or.reduceat(unknown, first)] = UNKNOWN
    return sums


def _at(values: Ints, first: Ints) -> Ints:
    """The first value of each of the runs."""
    return values if len(first) == len(values) else values[first]


def _tier(venues: VenueMeasures, symbols: SymbolMeasures) -> TierMeasure:
    shares = venues.shares.tolist()
    return TierMeasure(
        shares=sum(shares),
        ats_shares=sum(symbols.ats_shares.tolist()),
        trades=sum(venues.trades.tolist()),
        notional=_sum_known(venues.notional),
        symbol_count=len(symbols.issue_id),
        venue_count=len(shares),
        hhi=herfindahl(shares),
    )


def _sum_known(values: Sums | None) -> int | None:
    return None if values is None or (values == UNKNOWN).any() else sum(values.tolist())


def _venues(cells: _Cells, ids: Ints) -> VenueMeasures:
    order = np.argsort(_narrow(cells.venue, len(ids)), kind="stable")
    first = _first_of_each(cells.venue[order])
    shares = _add(cells.shares[order], first)
    volumes = shares.tolist()
    total = sum(volumes)
    return VenueMeasures(
        venue_id=ids[cells.venue[order][first]].tolist(),
        shares=shares,
        trades=_add(cells.trades[order], first),
        notional=None if cells.notional is None else _add_known(cells.notional[order], first),
        symbol_count=np.diff(np.append(first, len(order))).tolist(),
        share=[volume / total if total else None for volume in volumes],
        rank=_ranks(volumes),
    )


def _ranks(volumes: Sequence[int]) -> list[int]:
    """1 for the largest; equals share a rank, the next ones are skipped."""
    rank: dict[int, int] = {}
    for position, volume in enumerate(sorted(volumes, reverse=True), 1):
        rank.setdefault(volume, position)
    return [rank[volume] for volume in volumes]


def _symbols(cells: _Cells, ids: Ints) -> SymbolMeasures:
    first = _first_of_each(cells.symbol)
    shares = _add(cells.shares, first)
    venues = np.diff(np.append(first, len(cells.symbol)))
    return SymbolMeasures(
        issue_id=ids[cells.symbol[first]],
        shares=shares,
        ats_shares=_add(np.where(cells.is_ats, cells.shares, 0), first),
        trades=_add(cells.trades, first),
        notional=None if cells.notional is None else _add_known(cells.notional, first),
        venue_count=venues,
        hhi=_symbol_hhi(cells.shares, shares, first, venues),
    )


def _symbol_hhi(volume: Sums, totals: Sums, first: Ints, venues: Ints) -> NDArray[np.float64]:
    """Per symbol Σ share² over venues. The squares are added as 62-bit fractions, so that no order of rows matters."""
    total = np.repeat(totals, venues).astype(np.float64)
    share = np.divide(volume.astype(np.float64), total, out=np.zeros(len(volume)), where=total > 0)
    hhi = _add(np.rint(share * share * _ONE).astype(np.int64), first) / _ONE
    return np.where((totals == 0).astype(np.bool_), np.nan, hhi)


_ONE = float(1 << 62)
