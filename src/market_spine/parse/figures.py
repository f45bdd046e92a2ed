"""Columns of millionths as the figures that the tables hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from market_spine.parse.columns import MICRO

if TYPE_CHECKING:
    from numpy.typing import NDArray


def figures(micro: NDArray[np.int64]) -> list[int | float]:
    """Millionths as figures: ints where whole, else the nearest floats."""
    whole = micro // MICRO
    values: list[int | float] = whole.tolist()
    for row in np.flatnonzero(micro != whole * MICRO).tolist():
        values[row] = int(micro[row]) / MICRO
    return values


def money(micro: NDArray[np.int64]) -> list[float]:
    """Millionths as floats."""
    values: list[float] = (micro / MICRO).tolist()
    return values
