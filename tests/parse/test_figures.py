"""Figures between millionths and what a table holds: drawn at random around every limit the data dictionary names."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from market_spine.parse.columns import EXACT_FRACTIONS, MICRO, UNKNOWN, millionths, whole_or_fraction
from market_spine.parse.figures import as_stored, figures, money, summable, total

LARGEST = 9 * 10**12 * MICRO
ROWS = st.lists(st.integers(0, LARGEST) | st.integers(0, 9 * 10**12).map(lambda units: units * MICRO), min_size=1, max_size=30)


@given(st.integers(0, EXACT_FRACTIONS * MICRO - 1))
@example(EXACT_FRACTIONS * MICRO - 1)
def test_six_decimals_come_back_up_to_two_to_the_33(micro: int) -> None:
    assert millionths(whole_or_fraction(micro)) == micro


@given(st.integers(0, 33 * 10**12))
def test_whole_figures_come_back_at_any_size(units: int) -> None:
    assert whole_or_fraction(units * MICRO) == units
    assert millionths(units) == units * MICRO


@given(ROWS)
@example([8_589_934_592_000_001, 9_007_199_254_740_993, LARGEST - 1])
def test_what_is_measured_is_what_the_tables_hold(rows: list[int]) -> None:
    stored = as_stored(np.array(rows, dtype=np.int64))
    assert [millionths(value) for value in figures(stored).tolist()] == stored.tolist()
    assert [round(Fraction(value) * MICRO) for value in money(stored).tolist()] == stored.tolist()
    assert as_stored(stored).tolist() == stored.tolist()
    for before, after in zip(rows, stored.tolist(), strict=True):
        assert after == before or before % MICRO, "a whole figure is left alone"
        assert abs(after - before) <= 1000


@given(ROWS)
@example([5 * 10**18, 5 * 10**18])
def test_a_sum_is_exact_at_any_size(rows: list[int]) -> None:
    values = np.array(rows, dtype=np.int64)
    assert total(values) == sum(rows)
    assert np.add.reduceat(summable(values), [0]).tolist() == [sum(rows)]
    assert whole_or_fraction(sum(rows)) == figures(np.array([sum(rows)], dtype=object)).tolist()[0]


@given(st.lists(st.integers(0, 10**25), min_size=1, max_size=9))
def test_a_sum_of_money_is_the_nearest_float(sums: list[int]) -> None:
    values = money(np.array([*sums, UNKNOWN], dtype=object)).tolist()
    assert values[:-1] == [micro / MICRO for micro in sums]
    assert math.isnan(values[-1])
