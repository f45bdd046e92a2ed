"""The rolling backtest: every week of a history is judged by the weeks before it, and thresholds are chosen by what they would
have found. Pure: it judges figures, and stores nothing.

A gate's limits are the least with which it warned of at most two weeks a year and held none of the accepted ones, within the
ranges of profile.py: a faulty past can make a gate neither blind nor mad.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from statistics import median
from typing import NamedTuple

from market_spine.gates.baseline import baseline
from market_spine.gates.figures import Seen
from market_spine.gates.judge import judge
from market_spine.gates.learnt import FULL_WEEK, GATES, Gate, level_of
from market_spine.gates.past import SHAPES, Limits, Other, Past, Week
from market_spine.gates.profile import BUILT_IN, HOLD_RANGE, MIN_WEEKS, WARN_RANGE, Profile, Thresholds
from market_spine.gates.verdict import Judgement, Verdict
from market_spine.partition import Partition

WARNINGS_A_YEAR = 2.0
_YEAR = 52
_PRIOR_WEEKS = 8.0  # the prior of a gate's dependence on sessions counts as much as this many short weeks
_HISTORY = 60


class Judged(NamedTuple):
    """A week of the backtest."""

    partition: Partition
    judgement: Judgement


class Count(NamedTuple):
    """Weeks of a tier, and of those the warned and the held ones; `upper` bounds the true rate of each at 95 %."""

    weeks: int
    warned: int
    held: int

    @property
    def upper(self) -> tuple[float, float]:
        return upper_bound(self.warned, self.weeks), upper_bound(self.held, self.weeks)


def upper_bound(hits: int, trials: int) -> float:
    """The 95 % upper bound of a rate (Clopper and Pearson); with no hit it is three in `trials`."""
    if not trials or hits >= trials:
        return 1.0
    low, high = hits / trials, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(hits, trials, middle) > 0.05 else (low, middle)
    return high


def _at_most(hits: int, trials: int, rate: float) -> float:
    """The chance of at most that number of hits."""
    logs = (
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        + k * math.log(rate) + (trials - k) * math.log1p(-rate)
        for k in range(hits + 1)
    )
    return sum(map(math.exp, logs))


def backtest(
    history: Sequence[Week], profile: Profile = BUILT_IN, levels: Sequence[date] = (), others: Sequence[Other] = (),
    fault: Callable[[Seen], Seen] | None = None,
) -> list[Judged]:
    """Judges each week of a tier, oldest first, by the accepted weeks before it; with `fault`, each week with that fault, while
    the history stays sound."""
    judged, weeks = [], list[Week]()
    for week in history:
        if week.shape is None:
            continue
        past = _past(weeks, week.partition, profile, levels, others)
        done = judge(Seen(week.figures, week.shape), week.partition, past, Limits())
        if fault is not None and len(weeks) >= MIN_WEEKS:
            judged.append(Judged(week.partition, judge(fault(done.seen), week.partition, past, Limits()).judgement))
        elif fault is None:
            judged.append(Judged(week.partition, done.judgement))
        weeks.append(week._replace(figures=done.seen.figures))
    return judged


def _past(
    weeks: Sequence[Week], partition: Partition, profile: Profile, levels: Sequence[date], others: Sequence[Other]
) -> Past:
    last = list(weeks[-_HISTORY:])
    own = [Other(w.partition, Seen(w.figures, w.shape)) for w in last[-SHAPES:] if w.shape is not None]
    near = [o for o in others if abs((o.partition.week_ending - partition.week_ending).days) <= 14 and o.partition != partition]
    kept = [w if at >= len(last) - SHAPES else w._replace(shape=None) for at, w in enumerate(last)]
    foreign = [other for other in near if other.partition.tier != partition.tier]
    return Past(weeks=kept, others=[*own, *foreign], levels=levels, profile=profile)


def count(judged: Iterable[Judged]) -> Count:
    """How many weeks the learnt gates could judge, and what they found."""
    able = [j.judgement for j in judged if not any(r.gate == "insufficient_history" for r in j.judgement.results)]
    held = sum(j.is_held for j in able)
    return Count(len(able), sum(bool(j.of(Verdict.WARN)) and not j.is_held for j in able), held)


def fit(history: Sequence[Week], tier: str, levels: Sequence[date] = ()) -> dict[str, Thresholds]:
    """The thresholds of a tier, by `TIER/gate`, from its accepted weeks (oldest first, their distances set)."""
    return {f"{tier}/{gate.name}": _fit(gate, history, BUILT_IN.of(tier, gate.name), levels) for gate in GATES}


def _fit(gate: Gate, history: Sequence[Week], prior: Thresholds, levels: Sequence[date]) -> Thresholds:
    weeks = [week for week in history if gate.y(week.figures) is not None]
    at = prior._replace(beta=_beta(gate, weeks, prior.beta))
    scores = sorted((z for z, effect in _scores(gate, weeks, at, levels) if effect >= at.delta_w), reverse=True)
    allowed = int(WARNINGS_A_YEAR * max(len(weeks), _YEAR) / _YEAR)
    c_w = _within(scores[allowed] * 1.001 if len(scores) > allowed else 0.0, WARN_RANGE)
    if math.isinf(prior.c_h):
        return at._replace(c_w=max(c_w, prior.c_w) if len(weeks) < _YEAR else c_w)
    far = [z for z, effect in _scores(gate, weeks, at, levels) if effect >= at.delta_h]
    c_h = _within(max(far, default=0.0) * 1.001, HOLD_RANGE)
    least = len(weeks) < _YEAR  # less than a year shows too little to become stricter than the built-in limits
    return at._replace(c_w=max(c_w, prior.c_w) if least else c_w, c_h=max(c_h, prior.c_h) if least else c_h)


def _within(value: float, limits: tuple[float, float]) -> float:
    return round(min(max(value, limits[0]), limits[1]), 3)


def _scores(gate: Gate, weeks: Sequence[Week], at: Thresholds, levels: Sequence[date]) -> list[tuple[float, float]]:
    """z and effect of each week, by those before it."""
    scores = []
    ys = [(gate.y(w.figures) or 0.0) - at.beta * math.log(w.sessions / FULL_WEEK) for w in weeks]
    for number in range(MIN_WEEKS, len(weeks)):
        first = max(0, number - _HISTORY)
        before = weeks[first:number]
        level = level_of(before, levels, gate.name, weeks[number].partition.week_ending)
        base = baseline(ys[first:number], level, at.floor, at.c_w)
        if base is not None and not (gate.grows_only and ys[number] <= base.centre):
            scores.append((base.z(ys[number]), abs(ys[number] - base.centre)))
    return scores


def _beta(gate: Gate, weeks: Sequence[Week], prior: float) -> float:
    """How the figure follows the sessions of a short week: the median slope, drawn to the prior where short weeks are few."""
    if not prior:
        return 0.0
    plain = [gate.y(week.figures) or 0.0 for week in weeks]
    slopes = []
    for at in range(SHAPES, len(weeks)):
        short = math.log(weeks[at].sessions / FULL_WEEK)
        full = [plain[n] for n in range(at - SHAPES, at) if weeks[n].sessions == FULL_WEEK]
        if short and full:
            slopes.append((plain[at] - median(full)) / short)
    if not slopes:
        return prior
    slope = min(max(median(slopes), 0.0), 1.5)
    return round((len(slopes) * slope + _PRIOR_WEEKS * prior) / (len(slopes) + _PRIOR_WEEKS), 3)

