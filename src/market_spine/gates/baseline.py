"""What a series of earlier weeks lets expect of the next one, and how unusual a value is. Pure and exact: the same series gives
the same floats.

The centre is the median of the last eight weeks of the present level, the usual deviation the median deviation of the last 52
from the eight weeks before each. Medians, because a faulty week that was accepted must move neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np

WINDOW, YEAR = 8, 52
_FROM = 3  # weeks from which on a deviation is taken
_SHIFT = 3  # weeks in a row on one side that make a new level
_NORMAL = 1.4826  # the median deviation times this is the standard one of normal figures


class Baseline(NamedTuple):
    """`centre` and `sigma` of the next value; the deviations that `sigma` is made of; and the weeks the centre is made of."""

    centre: float
    sigma: float
    residuals: tuple[float, ...]
    weeks: tuple[float, ...]

    def z(self, y: float) -> float:
        """How many usual deviations the value is away."""
        return abs(y - self.centre) / self.sigma

    def p(self, y: float) -> float:
        """The share of the earlier weeks that were as far away, this one among them; it needs no distribution."""
        far = abs(y - self.centre)
        return (1 + sum(abs(e) >= far for e in self.residuals)) / (len(self.residuals) + 1)


def baseline(
    ys: Sequence[float], level: int, floor: float, c_w: float, middle: Sequence[float] | None = None
) -> Baseline | None:
    """Of a series, oldest first, whose present level begins at index `level`; None where that has no week yet. `middle` is what
    `middles` returns for it, computed here where it is not given."""
    if level >= len(ys):
        return None
    residuals = _residuals(ys, level, middles([ys])[0] if middle is None else middle)
    sigma = _sigma(residuals, floor)
    level = max(level, _shift(residuals, len(ys), c_w * sigma))
    weeks = tuple(ys[max(level, len(ys) - WINDOW) :])
    return Baseline(median(weeks), sigma, tuple(residuals[-YEAR:]), weeks)


def middles(table: Sequence[Sequence[float]]) -> list[list[float]]:
    """Of each series, the median of the eight weeks before each week from the ninth on. Series of one length at once: these
    medians are most of what a judgement computes."""
    made: list[list[float]] = [[] for _ in table]
    for length in {len(ys) for ys in table if len(ys) > WINDOW}:
        alike = [number for number, ys in enumerate(table) if len(ys) == length]
        weeks = np.array([table[number][:-1] for number in alike])
        ordered = np.sort(np.lib.stride_tricks.sliding_window_view(weeks, WINDOW, axis=1), axis=2)
        medians = (ordered[:, :, WINDOW // 2 - 1] + ordered[:, :, WINDOW // 2]) / 2
        for number, of_series in zip(alike, medians.tolist(), strict=True):
            made[number] = of_series
    return made


def _residuals(ys: Sequence[float], level: int, middle: Sequence[float]) -> list[float]:
    """The deviation of each of the last weeks from the median of the eight before it, of its own level; none for the first week
    of a level."""
    deviations = []
    for at in range(max(_FROM, len(ys) - YEAR), len(ys)):
        if at == level and level:
            continue
        is_short = at < WINDOW or level < at < level + WINDOW
        deviations.append(ys[at] - (median(ys[level if at > level else 0 : at]) if is_short else middle[at - WINDOW]))
    return deviations


def _sigma(residuals: Sequence[float], floor: float) -> float:
    """The usual deviation; wider where it rests on few weeks."""
    if not residuals:
        return floor * _FROM
    centre = median(residuals)
    spread = _NORMAL * median([abs(e - centre) for e in residuals])
    return max(floor, spread) * (1 + _FROM / len(residuals))


def _shift(residuals: Sequence[float], count: int, limit: float) -> int:
    """Where a new level began by itself: the first of the last three weeks in a row that were beyond the limit on one side; 0
    where there was none of late."""
    start = count - len(residuals)
    for at in range(len(residuals) - _SHIFT, max(-1, len(residuals) - WINDOW - 1), -1):
        of_three = residuals[at : at + _SHIFT]
        if min(of_three) > limit or max(of_three) < -limit:
            while at and residuals[at - 1] * of_three[0] > 0 and abs(residuals[at - 1]) > limit:
                at -= 1
            return start + at
    return 0
