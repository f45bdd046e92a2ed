"""Columns of millionths: their sums, and the figures stored in the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from market_spine.parse.columns import EXACT_FRACTIONS, MICRO, UNKNOWN, millionths

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT_AS_FLOAT = 1 << 53
_SAFE_SUM = float(1 << 62)  # half of what 64 bits hold, since a sum of floats is only approximate


def summable(values: NDArray[np.int64]) -> NDArray[Any]:
    """Values of which any can be added without overflow: unchanged where their sum fits 64 bits, which is nearly always, else
    as Python integers. None is negative but UNKNOWN."""
    return values if values.sum(dtype=np.float64) < _SAFE_SUM else values.astype(object)


def total(values: NDArray[np.int64]) -> int:
    """The exact sum, however large."""
    return int(summable(values).sum())


def as_stored(micro: NDArray[np.int64]) -> NDArray[np.int64]:
    """Millionths as a table returns them: fractions beyond EXACT_FRACTIONS become those of the nearest float. Measures are taken
    from these, so that rows read back from a table give the same measures."""
    if micro.max(initial=0) < EXACT_FRACTIONS * MICRO:
        return micro
    rounded = micro.copy()
    for row in np.flatnonzero((micro >= EXACT_FRACTIONS * MICRO) & (micro % MICRO != 0)).tolist():
        rounded[row] = millionths(int(micro[row]) / MICRO)
    return rounded


def figures(micro: NDArray[Any]) -> NDArray[Any]:
    """Millionths as figures: integers where all are whole, else objects, ints where whole and the nearest floats where not."""
    whole = micro // MICRO
    fractions = np.flatnonzero(micro != whole * MICRO).tolist()
    if not fractions:
        return whole.astype(np.int64, copy=False)
    values = whole.astype(object)
    for row in fractions:
        values[row] = int(micro[row]) / MICRO
    return values


def money(micro: NDArray[Any]) -> NDArray[np.float64]:
    """Millionths as the nearest floats, NaN where unknown."""
    values: NDArray[np.float64] = (micro / MICRO).astype(np.float64, copy=False)
    # More than 53 bits were rounded to a float before they were divided: Python's integers divide exactly.
    for row in np.flatnonzero(micro > _EXACT_AS_FLOAT).tolist():
        values[row] = int(micro[row]) / MICRO
    values[micro == UNKNOWN] = np.nan
    return values
