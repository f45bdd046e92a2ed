"""Columns of millionths as the figures that the tables hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from market_spine.parse.columns import MICRO

if TYPE_CHECKING:
    from numpy.typing import NDArray


def figures(micro: NDArray[np.int64]) -> NDArray[Any]:
    """Millionths as figures: integers where all are whole, else objects, ints where whole and the nearest floats where not."""
    whole = micro // MICRO
    fractions = np.flatnonzero(micro != whole * MICRO).tolist()
    if not fractions:
        return whole
    values = whole.astype(object)
    for row in fractions:
        values[row] = int(micro[row]) / MICRO
    return values


def money(micro: NDArray[np.int64]) -> NDArray[np.float64]:
    """Millionths as floats."""
    return micro / MICRO
