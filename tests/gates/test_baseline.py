"""What a history lets expect, and when a value is far from it."""

from __future__ import annotations

import math

import pytest

from market_spine.gates.baseline import baseline
from market_spine.gates.fit import upper_bound
from market_spine.gates.learnt import decide
from market_spine.gates.mixes import renames
from market_spine.gates.profile import BUILT_IN, Thresholds, read_profile
from market_spine.gates.verdict import Verdict

AT = Thresholds(c_w=4, c_h=6, delta_w=0.1, delta_h=0.2, beta=0, floor=0.02)
STEADY = [10 + 0.01 * (n % 3) for n in range(60)]


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (10.01, Verdict.PASS),
        (10.10, Verdict.PASS),
        (10.12, Verdict.WARN),
        (9.90, Verdict.WARN),
        (10.20, Verdict.WARN),
        (10.22, Verdict.HOLD),
        (9.70, Verdict.HOLD),
    ],
    ids=["usual", "just under both", "unusual and far", "downwards", "too near to hold", "held", "held downwards"],
)
def test_a_value_must_be_both_unusual_and_far(y: float, expected: Verdict) -> None:
    base = baseline(STEADY, 0, AT.floor, AT.c_w)
    assert base is not None and decide(y, base, AT) is expected


@pytest.mark.parametrize("number", [1, 2, 4], ids=["one faulty", "two", "every second of the last eight"])
def test_faulty_weeks_that_were_accepted_move_neither_centre_nor_spread_far(number: int) -> None:
    poisoned = [y + (2.3 if n % 8 < number and n % 2 == 0 else 0) for n, y in enumerate(STEADY)]
    base = baseline(poisoned, 0, AT.floor, AT.c_w)
    assert base is not None and abs(base.centre - 10) < 0.05
    assert decide(base.centre + 2.3, base, AT) is (Verdict.HOLD)


def test_three_weeks_on_one_side_are_a_new_level_and_two_are_not() -> None:
    two = baseline([*STEADY, 11, 11], 0, AT.floor, AT.c_w)
    three = baseline([*STEADY, 11, 11, 11], 0, AT.floor, AT.c_w)
    assert two is not None and round(two.centre) == 10
    assert three is not None and three.centre == 11


def test_an_accepted_level_counts_from_its_first_week() -> None:
    base = baseline([*STEADY, 11.0], len(STEADY), AT.floor, AT.c_w)
    assert base is not None and base.centre == 11
    assert baseline(STEADY, len(STEADY), AT.floor, AT.c_w) is None, "there is no week of that level yet"


def test_the_share_of_earlier_weeks_needs_no_distribution() -> None:
    base = baseline(STEADY, 0, AT.floor, AT.c_w)
    assert base is not None and base.p(12) == 1 / 53 and base.p(base.centre) == 1


@pytest.mark.parametrize(
    ("hits", "trials", "expected"), [(0, 368, 0.0081), (0, 6000, 0.0005), (9, 368, 0.0421), (3, 3, 1.0)], ids=str
)
def test_the_bound_of_a_rate(hits: int, trials: int, expected: float) -> None:
    assert math.isclose(upper_bound(hits, trials), expected, abs_tol=0.0005)


@pytest.mark.parametrize(
    ("own", "pairs"),
    [
        ({"A": 0.5, "C": 0.5}, {"C": "B"}),
        ({"A": 0.9, "C": 0.1}, {}),
        ({"A": 0.5, "B": 0.4, "C": 0.1}, {}),
        ({"A": 1.0}, {}),
    ],
    ids=["of its size", "much smaller", "the old one is there", "nothing new"],
)
def test_a_venue_was_renamed_only_where_a_new_one_has_its_size(own: dict[str, float], pairs: dict[str, str]) -> None:
    assert renames(own, {"A": 0.5, "B": 0.5}) == pairs


def test_a_profile_is_read_as_it_was_stored_and_named_by_its_content() -> None:
    again = read_profile(BUILT_IN.text(), BUILT_IN.source)
    assert again == BUILT_IN and again.profile_id == BUILT_IN.profile_id and "Infinity" not in BUILT_IN.text()
