"""The gates that compare one figure of a content with the history of its tier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from market_spine.calendar.exchange import sessions
from market_spine.gates.baseline import WINDOW, YEAR, Baseline, baseline, middles
from market_spine.gates.figures import Figures
from market_spine.gates.past import Past, Week
from market_spine.gates.profile import REGIMES, Thresholds
from market_spine.gates.verdict import Kind, Result, Verdict
from market_spine.partition import Partition

FULL_WEEK = 5.0



class Gate(NamedTuple):
    """A figure on a scale on which its usual deviations are alike, and back; `says` names it in a sentence."""

    name: str
    says: str
    y: Callable[[Figures], float | None]
    back: Callable[[float], float]
    shown: str = "{:,.0f}"
    grows_only: bool = False  # less than usual passes


def _log(value: float | None) -> float | None:
    return math.log(value) if value else None


def _logit(part: float | None, whole: float | None) -> float | None:
    if not whole or part is None:
        return None
    share = min(max(part / whole, 1e-4), 1 - 1e-4)
    return math.log(share / (1 - share))


def _share(y: float) -> float:
    return 100 / (1 + math.exp(-y))


def _same(y: float) -> float:
    return 100 * y


GATES: tuple[Gate, ...] = (
    Gate("rows", "rows", lambda f: _log(f.rows), math.exp),
    Gate("symbols", "symbols", lambda f: _log(f.symbols), math.exp),
    Gate("shares", "shares", lambda f: _log(f.shares), math.exp),
    Gate("trades", "trades", lambda f: _log(f.trades), math.exp),
    Gate("trade_size", "shares a trade", lambda f: _log(f.shares / f.trades if f.trades else None), math.exp, "{:,.1f}"),
    Gate("price", "dollars a share", lambda f: _log((f.notional or 0) / f.shares if f.shares else None), math.exp, "{:,.2f}"),
    Gate("venue_mix", "of the ATS volume moved to other venues", lambda f: f.mix, _same, "{:.1f} %", grows_only=True),
    Gate("firm_mix", "of the non-ATS volume moved to other firms", lambda f: f.firm_mix, _same, "{:.1f} %", grows_only=True),
    Gate("concentration", "HHI", lambda f: _log(f.hhi), math.exp, "{:.4f}"),
    Gate("ats_fraction", "of the shares by ATSs", lambda f: _part(f.ats_shares, f), _share, "{:.1f} %"),
    Gate("hidden_fraction", "of the shares by De Minimis Firms", lambda f: _part(f.hidden_shares, f), _share, "{:.1f} %"),
    Gate("ats_venues", "ATSs", lambda f: _log(f.ats_venues), math.exp),
    Gate("firm_venues", "other firms", lambda f: _log(f.firm_venues), math.exp),
    Gate("fractional_rows", "of the rows with fractions", lambda f: _logit(f.fractional_rows, f.rows), _share, "{:.1f} %"),
)


def _part(shares: float, figures: Figures) -> float | None:
    """The logit of a part of the shares; None where there is nothing of it, or nothing else."""
    return _logit(shares, figures.shares) if 0 < shares < figures.shares else None


def regime(partition: Partition) -> str:
    """The rules of FINRA that the week falls under: the newest that had begun."""
    return next((r.name for r in reversed(REGIMES) if partition.week_ending >= r.since), "before 2019-12")


def level_of(weeks: Sequence[Week], levels: Sequence[date], gate: str, until: date) -> int:
    """The index of the first week of the present level: since an operator accepted one, or FINRA changed its rules."""
    began = [*levels, *(r.since for r in REGIMES if gate in r.gates)]
    since = max((day for day in began if day <= until), default=date.min)
    return next((at for at, week in enumerate(weeks) if week.partition.week_ending >= since), len(weeks))


def judge(figures: Figures, partition: Partition, past: Past) -> list[Result]:
    """The result of every gate that this content and its history have a figure for."""
    before = [_Before(week, math.log(week.sessions / FULL_WEEK), _ys(week.figures)) for week in past.weeks]
    at = [past.profile.of(partition.tier, gate.name) for gate in GATES]
    histories = [_history(before, number, of_gate) for number, of_gate in enumerate(at)]
    medians = middles([history.ys for history in histories])
    results = [_judge(*facts, figures, partition, past) for facts in zip(GATES, at, histories, medians, strict=True)]
    return [result for result in results if result is not None]


class _Before(NamedTuple):
    """An earlier week: how short it was, as a logarithm, and what each gate looks at."""

    week: Week
    short: float
    ys: tuple[float | None, ...]


@lru_cache(maxsize=1024)
def _ys(figures: Figures) -> tuple[float | None, ...]:
    """What each gate looks at; a week is in the history of all weeks of the next year."""
    return tuple(gate.y(figures) for gate in GATES)


class _History(NamedTuple):
    """The weeks that a gate has a figure of, and these as if all weeks had five sessions."""

    weeks: Sequence[Week]
    ys: Sequence[float]


def _history(before: Sequence[_Before], gate: int, at: Thresholds) -> _History:
    kept = [(each, y) for each in before if (y := each.ys[gate]) is not None]
    begun = len(kept) - (YEAR + WINDOW)  # weeks that are too old for any deviation: only the index of a level counts them
    return _History(
        [each.week for each, _ in kept], [y - at.beta * each.short if n >= begun else 0.0 for n, (each, y) in enumerate(kept)]
    )


def _judge(
    gate: Gate, at: Thresholds, history: _History, medians: Sequence[float], figures: Figures, partition: Partition, past: Past
) -> Result | None:
    raw, adjusted = gate.y(figures), at.beta * math.log(sessions(partition.week_ending) / FULL_WEEK)
    level = level_of(history.weeks, past.levels, gate.name, partition.week_ending)
    base = baseline(history.ys, level, at.floor, at.c_w, medians)
    if raw is None or base is None or not base.residuals:
        return None
    y = raw - adjusted
    verdict = decide(y, base, at, grows_only=gate.grows_only)
    low, high = (max(at.c_w * base.sigma, at.delta_w) * side + base.centre + adjusted for side in (-1, 1))
    explanation = _sentence(gate, partition, raw, adjusted, base) if verdict is not Verdict.PASS else ""
    return Result(
        gate.name, Kind.LEARNT, verdict, explanation, y=gate.back(raw), expected=gate.back(base.centre + adjusted),
        low=gate.back(low), high=gate.back(high), z=base.z(y), p=base.p(y), n=len(base.residuals),
    )


def decide(y: float, base: Baseline, at: Thresholds, *, grows_only: bool = False) -> Verdict:
    """HOLD or WARN where the value is both unusual (z) and far (effect); a steady past alone makes no small change a fault."""
    z, effect = base.z(y), abs(y - base.centre)
    if grows_only and y <= base.centre:
        return Verdict.PASS
    if z >= at.c_h and effect >= at.delta_h:
        return Verdict.HOLD
    return Verdict.WARN if z >= at.c_w and effect >= at.delta_w else Verdict.PASS


def _sentence(gate: Gate, partition: Partition, raw: float, adjusted: float, base: Baseline) -> str:
    def shown(value: float) -> str:
        return gate.shown.format(gate.back(value))

    weeks = sorted(base.weeks)
    short = sessions(partition.week_ending)
    for_short = f", for a week of {short:g} sessions" if short < FULL_WEEK and adjusted else ""
    return (
        f"{shown(raw)} {gate.says}, where {shown(base.centre + adjusted)} are usual{for_short} "
        f"({shown(weeks[0] + adjusted)}-{shown(weeks[-1] + adjusted)} in the {len(weeks)} weeks before; "
        f"{base.z(raw - adjusted):.1f} times the usual deviation)"
    )
