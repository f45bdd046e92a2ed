"""The distinct values of an array, without `numpy.ma`."""

from __future__ import annotations

import numpy as np
import pytest

from market_spine.gates.figures import distinct


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], []), ([7], [7]), ([3, 1, 2], [1, 2, 3]), ([2, 2, 1, 2, 1], [1, 2]), ([0, 4294967295, 0], [0, 4294967295])],
    ids=["none", "one", "each once", "repeated", "the ends of the range"],
)
def test_each_value_comes_once_and_in_order(values: list[int], expected: list[int]) -> None:
    given = np.array(values, np.uint32)
    assert distinct(given).tolist() == expected
    assert given.tolist() == values, "the array itself is left as it is"
