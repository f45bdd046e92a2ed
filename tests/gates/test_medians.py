"""The medians of a judgement, taken all at once, are those of each window by itself."""

from __future__ import annotations

from random import Random
from statistics import median

import pytest

from market_spine.gates import shapes
from market_spine.gates.baseline import WINDOW, YEAR, baseline, middles
from market_spine.gates.shapes import Letters

np = pytest.importorskip("numpy")


def deviations(ys: list[float], level: int) -> list[float]:
    """As the page on the gates says it, week by week."""
    weeks = (at for at in range(max(3, len(ys) - YEAR), len(ys)) if at != level or not level)
    return [ys[at] - median(ys[max(level if at > level else 0, at - WINDOW) : at]) for at in weeks]


@pytest.mark.parametrize("length", [1, 3, 8, 9, 12, 30, 60, 70])
def test_deviations_are_those_from_the_eight_weeks_before(length: int) -> None:
    chance = Random(length)
    for _ in range(50):
        ys = [chance.gauss(0, 1) for _ in range(length)]
        level = chance.choice([0, chance.randrange(length)])
        base = baseline(ys, level, 0.1, 4)
        assert base is not None and list(base.residuals) == deviations(ys, level)


def test_series_of_any_length_are_taken_at_once() -> None:
    chance = Random(1)
    table = [[chance.random() for _ in range(length)] for length in (12, 0, 12, 8, 40)]
    assert middles(table) == [middles([ys])[0] for ys in table]
    assert middles(table)[0] == [median(table[0][at - WINDOW : at]) for at in range(WINDOW, 12)]


def lost(pairs: list[int], usual: list[float], now: list[int]) -> list[tuple[int, int, float, int]]:
    """Stretches with a hundredth of the rows, pair by pair; and of them those that are gone."""
    least, begun, found = max(50, 0.01 * sum(usual)), 0, []
    for at in range(len(pairs)):
        was, here = sum(usual[begun : at + 1]), sum(now[begun : at + 1])
        if was >= least:
            found += [(pairs[begun], pairs[at], was, here)] if here < 0.25 * was else []
            begun = at + 1
    return found


def test_stretches_of_the_alphabet_are_those_of_adding_pair_by_pair() -> None:
    chance, named = Random(3), 0
    for _ in range(200):
        pairs = sorted(chance.sample(range(1 << 15), chance.randint(1, 90)))
        weeks = [sorted(chance.sample(pairs, chance.randint(1, len(pairs)))) for _ in range(chance.randint(6, 8))]
        rows = [{pair: chance.randint(1, 200) for pair in week} for week in weeks]
        content = {pair: chance.randint(1, 60) for pair in chance.sample(range(1 << 15), 5) + pairs[::2]}
        letters = [Letters(np.array(sorted(one)), np.array([one[p] for p in sorted(one)])) for one in (*rows, content)]
        known = sorted(set().union(*weeks))
        usual = [median([week.get(pair, 0) for week in rows]) for pair in known]
        expected = lost(known, usual, [content.get(pair, 0) for pair in known])
        assert [tuple(each) for each in shapes._lost(*shapes._by_pair(letters[-1], letters[:-1]))] == expected
        named += len(expected)
    assert named > 100
