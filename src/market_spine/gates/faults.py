"""Faults done to the figures of a week: what a backtest asks the gates to find. scripts/gates.py does the same to the bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from market_spine.gates.figures import ATS, Seen


def _scaled(factor: float) -> Callable[[Seen], Seen]:
    def fault(seen: Seen) -> Seen:
        shape = seen.shape._replace(venues={name: value * factor for name, value in seen.shape.venues.items()})
        figures = replace(seen.figures, shares=seen.figures.shares * factor, ats_shares=seen.figures.ats_shares * factor)
        return Seen(figures, shape)

    return fault


def _cut(kept: float) -> Callable[[Seen], Seen]:
    """The first part of the alphabet, as of a file in the order of its symbols."""

    def fault(seen: Seen) -> Seen:
        letters = seen.shape.letters
        before = np.cumsum(letters.rows) - letters.rows
        rows = np.clip(int(seen.figures.rows * kept) - before, 0, letters.rows)
        part = replace(
            seen.figures, rows=int(seen.figures.rows * kept), symbols=int(seen.figures.symbols * kept),
            shares=seen.figures.shares * kept, ats_shares=seen.figures.ats_shares * kept, trades=int(seen.figures.trades * kept),
        )
        return Seen(part, seen.shape._replace(letters=letters._replace(rows=rows)))

    return fault


def _largest_venue_lost(seen: Seen) -> Seen:
    venues = {name: value for name, value in seen.shape.venues.items() if name.startswith(ATS)}
    lost = max(venues, key=venues.__getitem__, default=None)
    if lost is None:
        return seen
    left = {name: value for name, value in seen.shape.venues.items() if name != lost}
    gone = seen.shape.venues[lost]
    figures = replace(seen.figures, shares=seen.figures.shares - gone, ats_shares=seen.figures.ats_shares - gone)
    return Seen(figures, seen.shape._replace(venues=left))


def _folded(seen: Seen) -> Seen:
    return seen._replace(figures=replace(seen.figures, lower_case_symbols=0))


def _without_notional(seen: Seen) -> Seen:
    return seen._replace(figures=replace(seen.figures, notional=None, blank_notional_rows=seen.figures.rows))


FAULTS: Mapping[str, Callable[[Seen], Seen]] = {
    "cut at 50 %": _cut(0.5),
    "cut at 75 %": _cut(0.75),
    "cut at 90 %": _cut(0.9),
    "shares × 10": _scaled(10),
    "shares ÷ 1000": _scaled(0.001),
    "largest ATS lost": _largest_venue_lost,
    "case folded": _folded,
    "notional null": _without_notional,
}
