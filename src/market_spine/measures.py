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
    """All measures of a tier in one pass over its columns."""
    symbol_ids, symbol = np.unique(facts.symbol_of[facts.issue], return_inverse=True)
    venue_ids, venue = np.unique(facts.venue_of[facts.venue], return_inverse=True)
    ats = np.where(facts.is_ats[facts.venue], facts.shares, 0)
    cells = np.unique(symbol.astype(np.int64) * max(len(venue_ids), 1) + venue)
    cell_symbol, cell_venue = np.divmod(cells, max(len(venue_ids), 1))
    venues = _venues(facts, venue_ids, venue, np.bincount(cell_venue, minlength=len(venue_ids)))
    symbols = _symbols(facts, symbol_ids, symbol, venue, ats, np.bincount(cell_symbol, minlength=len(symbol_ids)))
    total = sum(row.shares for row in venues)
    tier = TierMeasure(
        total,
        int(ats.sum()),
        sum(row.trades for row in venues),
        None if facts.notional is None else sum(row.notional or 0 for row in venues),
        len(symbols),
        len(venues),
        herfindahl([row.shares for row in venues]),
    )
    return TierMeasures(venues, symbols, tier)


def herfindahl(volumes: Sequence[int]) -> float | None:
    """Σ share², from whole volumes, rounded once; None when there is no volume."""
    total = sum(volumes)
    return sum(volume * volume for volume in volumes) / (total * total) if total else None


def _venues(facts: Facts, ids: Ints, venue: Ints, symbol_counts: Ints) -> list[VenueMeasure]:
    shares, trades, notional = _sums(facts, venue, len(ids))
    total = sum(shares)
    order = sorted(range(len(ids)), key=lambda at: (-shares[at], int(ids[at])))
    ranks = _ranks([shares[at] for at in order])
    return [
        VenueMeasure(
            int(ids[at]),
            shares[at],
            trades[at],
            notional[at],
            int(symbol_counts[at]),
            shares[at] / total if total else None,
            rank,
        )
        for at, rank in zip(order, ranks, strict=True)
    ]


def _ranks(descending: Sequence[int]) -> list[int]:
    """1 for the largest; equals share a rank, the next one is skipped."""
    ranks: list[int] = []
    for at, value in enumerate(descending):
        ranks.append(ranks[-1] if at and value == descending[at - 1] else at + 1)
    return ranks


def _symbols(facts: Facts, ids: Ints, symbol: Ints, venue: Ints, ats: Ints, venue_counts: Ints) -> list[SymbolMeasure]:
    shares, trades, notional = _sums(facts, symbol, len(ids))
    ats_shares = _total(ats, symbol, len(ids))
    hhi = _symbol_hhi(facts.shares, symbol, venue, len(ids), shares)
    rows = zip(ids.tolist(), shares, ats_shares, trades, notional, venue_counts.tolist(), hhi, strict=True)
    return list(map(SymbolMeasure._make, rows))


def _symbol_hhi(shares: Ints, symbol: Ints, venue: Ints, count: int, totals: list[int]) -> list[float | None]:
    """Per symbol Σ share² over venues, added from the smallest volume up, so that the order of the rows does not matter."""
    order = np.lexsort((venue, symbol))
    first = np.flatnonzero(np.concatenate(([True], (np.diff(symbol[order]) != 0) | (np.diff(venue[order]) != 0)))[: len(order)])
    volume = np.add.reduceat(shares[order], first) if len(first) else shares[:0]
    owner = symbol[order][first]
    order = np.lexsort((volume, owner))
    total = np.array(totals, dtype=np.float64)[owner[order]]
    share = np.divide(volume[order], total, out=np.zeros(len(order)), where=total > 0)
    hhi = np.bincount(owner[order], weights=share * share, minlength=count)
    return [value if whole else None for value, whole in zip(hhi.tolist(), totals, strict=True)]


def _sums(facts: Facts, group: Ints, count: int) -> tuple[list[int], list[int], list[int | None]]:
    notional: list[int | None] = [None] * count
    if facts.notional is not None:
        notional = list(_total(facts.notional, group, count))
    return _total(facts.shares, group, count), _total(facts.trades, group, count), notional


def _total(values: Ints, group: Ints, count: int) -> list[int]:
    """Exact sums per group: the low and high 26 bits are added apart, each exactly in a double."""
    low = np.bincount(group, weights=values & 0x3FFFFFF, minlength=count)
    high = np.bincount(group, weights=values >> 26, minlength=count)
    return [int(h) * (1 << 26) + int(lo) for h, lo in zip(high.tolist(), low.tolist(), strict=True)]
