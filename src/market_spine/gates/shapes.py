"""The gates that look at how a content is spread: a venue, a stretch of the alphabet or a class of rows that is gone or grew.

Their limits are rules, not learnt: in five years of real weeks no ATS of a hundredth of the volume ever fell below two fifths of
its median.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from market_spine.gates.figures import ATS, Figures, Letters, Shape
from market_spine.gates.mixes import CLASSES, Mix
from market_spine.gates.past import SHAPES, Past
from market_spine.gates.verdict import Kind, Result, Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GONE = 0.25  # of the usual figure: below it something is missing
_VENUE = 0.01  # of the volume of its class: smaller venues come and go
_JUMP_WARN, _JUMP_HOLD = 3.0, 5.0  # times the usual share
_NEW = 0.02
_CLASS = 0.05
_STRETCH, _STRETCH_ROWS = 0.01, 50  # a stretch of the alphabet that is looked at: of the rows, and at least this number
_PAIRS = 1 << 16  # of bytes
_LOWER = 10  # symbols with small letters
_INCOMPLETE = "Likely an incomplete download."


def judge(figures: Figures, shape: Shape, past: Past, venue_mixes: Sequence[Mix]) -> list[Result]:
    """The result of each of these gates."""
    shapes = past.shapes
    return [
        _stretches(shape, shapes),
        _classes(figures, past),
        _lower_case(figures, past),
        _notional(figures, past),
        *(_venues_gone(mix) for mix in venue_mixes),
        *(_venues_grown(mix) for mix in venue_mixes),
        _one_symbol(figures, shape, past),
    ]


def _result(gate: str, verdict: Verdict = Verdict.PASS, explanation: str = "", cause: str = "", **facts: float) -> Result:
    return Result(gate, Kind.LEARNT, verdict, explanation, cause, **facts)  # type: ignore[arg-type]


def _stretches(shape: Shape, shapes: Sequence[Shape]) -> Result:
    """Whether the symbols of a stretch of the alphabet are gone: what a cut file or a lost page leaves out."""
    lost = _lost(*_by_pair(shape.letters, [s.letters for s in shapes]))
    if not lost:
        return _result("symbol_range", n=len(shapes))
    was, left = sum(group.usual for group in lost), sum(group.now for group in lost)
    words = (
        f"{left:,.0f} rows of symbols from {_text(lost[0].first)}… to {_text(lost[-1].last)}…, where {was:,.0f} are usual "
        f"(median of the {len(shapes)} weeks before)"
    )
    return _result("symbol_range", Verdict.HOLD, words, _INCOMPLETE, y=left, expected=was, n=len(shapes))


class _ByPair(NamedTuple):
    """Of each pair of characters that earlier weeks have, ascending: their median rows, a multiple of a half, and those now."""

    pairs: NDArray[np.int64]
    usual: NDArray[np.float64]
    now: NDArray[np.int64]


def _by_pair(letters: Letters, before: Sequence[Letters]) -> _ByPair:
    is_known = np.zeros(_PAIRS, np.bool_)
    for week in before:
        is_known[week.pairs] = True
    pairs = np.flatnonzero(is_known)
    index_of = np.empty(_PAIRS, np.int64)
    index_of[pairs] = np.arange(len(pairs))
    now, weeks = np.zeros(len(pairs), np.int64), np.zeros((len(before), len(pairs)), np.int64)
    for row, week in zip(weeks, before, strict=True):
        row[index_of[week.pairs]] = week.rows
    known = is_known[letters.pairs]
    now[index_of[letters.pairs[known]]] = letters.rows[known]
    weeks.sort(axis=0)
    half = len(weeks) // 2
    return _ByPair(pairs, (weeks[half] + weeks[half - 1 + len(weeks) % 2]) / 2, now)


class _Stretch(NamedTuple):
    """A stretch of the alphabet: its first and last two characters, its usual rows, and those it has now."""

    first: int
    last: int
    usual: float
    now: float


def _lost(pairs: NDArray[np.int64], usual: NDArray[np.float64], now: NDArray[np.int64]) -> list[_Stretch]:
    """Of the stretches of the alphabet with a hundredth of the usual rows each, and enough that a few symbols make none, those
    that are gone."""
    up_to, present = np.cumsum(usual), np.append(0, np.cumsum(now))
    rows = up_to.tolist()
    least = math.ceil(2 * max(_STRETCH_ROWS, _STRETCH * float(usual.sum()))) / 2  # of halves, as the rows, no sum is rounded
    ends, before = [-1], 0.0
    while (end := bisect_left(rows, before + least)) < len(rows):
        ends.append(end)
        before = rows[end]
    last = np.array(ends)
    was, here = np.diff(np.append(0.0, up_to)[last + 1]), np.diff(present[last + 1])
    return [
        _Stretch(int(pairs[ends[at] + 1]), int(pairs[ends[at + 1]]), float(was[at]), int(here[at]))
        for at in np.flatnonzero(here < _GONE * was).tolist()
    ]


def _text(pair: int) -> str:
    return bytes((pair >> 8, pair & 255)).rstrip(b"\0").decode("latin-1")


def _classes(figures: Figures, past: Past) -> Result:
    """Whether all rows of ATSs, or all others, are gone."""
    before = [_part_of_ats(week.figures) for week in past.weeks[-SHAPES:]]
    was, now = median(before), _part_of_ats(figures)
    for says, usual, left in (("ATS", was, now), ("non-ATS", 1 - was, 1 - now)):
        if usual >= _CLASS and left < _GONE * usual:
            words = f"{says} rows have {left:.1%} of the shares, where {usual:.1%} are usual"
            return _result("class_missing", Verdict.HOLD, words, _INCOMPLETE, y=left, expected=usual, n=len(before))
    return _result("class_missing", n=len(before))


def _part_of_ats(figures: Figures) -> float:
    return figures.ats_shares / figures.shares if figures.shares else 0.0


def _lower_case(figures: Figures, past: Past) -> Result:
    """Whether symbols were folded to one case, which makes different securities the same."""
    counts = [week.figures.lower_case_symbols for week in past.weeks[-SHAPES:]]
    was, now, n = median(counts), figures.lower_case_symbols, len(counts)
    if was >= _LOWER and now < _GONE * was:
        words = f"{now} symbols have small letters, where {was:,.0f} are usual"
        return _result("case_folded", Verdict.HOLD, words, "Likely folded to capitals.", y=now, expected=was, n=n)
    if now > max(_LOWER, figures.symbols / 2, 4 * was):
        words = f"{now:,} of {figures.symbols:,} symbols have small letters, where {was:,.0f} are usual"
        return _result("case_folded", Verdict.HOLD, words, "Likely folded to small letters.", y=now, expected=was, n=n)
    return _result("case_folded", y=now, expected=was, n=n)


def _notional(figures: Figures, past: Past) -> Result:
    """Whether the notional is gone from rows that usually have it."""
    blank = [week.figures.blank_notional_rows / week.figures.rows for week in past.weeks[-SHAPES:] if week.figures.rows]
    was, now = median(blank), figures.blank_notional_rows / figures.rows if figures.rows else 0.0
    if was < 0.1 and now > 0.5:
        words = f"{now:.1%} of the rows have no notional, where {was:.1%} are usual"
        return _result("notional_missing", Verdict.HOLD, words, "Likely another layout.", y=now, expected=was, n=len(blank))
    return _result("notional_missing", y=now, expected=was, n=len(blank))


def _venues_gone(mix: Mix) -> Result:
    """Whether a venue of a hundredth of the volume is gone and no new one took its place."""
    name = "venue_missing" if mix.kind == ATS else "firm_missing"
    if not mix.own or not mix.weeks:
        return _result(name)
    lately = {v: max(week.get(v, 0.0) for week in mix.weeks[-2:]) for v in mix.usual}  # what was gone before is not gone anew
    large = [v for v, was in mix.usual.items() if was >= _VENUE and v not in mix.renamed.values()]
    gone = [v for v in large if mix.own.get(v, 0.0) < _GONE * min(mix.usual[v], lately[v])]
    if not gone:
        renaming = "; ".join(f"{_name(old)} seems to have become {_name(new)}" for new, old in mix.renamed.items() if lately[old])
        return _result(name, Verdict.WARN if renaming else Verdict.PASS, renaming, n=len(mix.weeks))
    worst = max(gone, key=lambda v: mix.usual[v])
    verdict = Verdict.HOLD if mix.kind == ATS else Verdict.WARN
    y, expected = mix.own.get(worst, 0.0), mix.usual[worst]
    return _result(name, verdict, _about(worst, mix), _INCOMPLETE, y=y, expected=expected, n=len(mix.weeks))


def _venues_grown(mix: Mix) -> Result:
    """Whether a venue has many times its usual share, or a new one much at once."""
    name = "venue_jump" if mix.kind == ATS else "firm_jump"
    if not mix.own or not mix.weeks:
        return _result(name)
    usual = mix.usual
    grown = {v: now / was for v, now in mix.own.items() if (was := usual.get(v, 0.0)) >= _VENUE and now >= _JUMP_WARN * was}
    known = {v for week in mix.weeks for v in week}
    new = [v for v, now in mix.own.items() if now > _NEW and v not in known and v not in mix.renamed]
    if not grown and not new:
        return _result(name, n=len(mix.weeks))
    worst = max(grown, key=grown.__getitem__) if grown else max(new, key=mix.own.__getitem__)
    verdict = Verdict.HOLD if mix.kind == ATS and grown.get(worst, 0.0) >= _JUMP_HOLD else Verdict.WARN
    y, expected = mix.own[worst], usual.get(worst, 0.0)
    return _result(name, verdict, _about(worst, mix), y=y, expected=expected, n=len(mix.weeks))


def _about(venue: str, mix: Mix) -> str:
    """`UBSA has 0.1 % of the ATS shares; it had 11.8 % (11.2-12.6) in the 8 weeks before`."""
    before = [week.get(venue, 0.0) for week in mix.weeks]
    return (
        f"{_name(venue)} has {100 * mix.own.get(venue, 0.0):.1f} % of the {CLASSES[mix.kind]} shares; it had "
        f"{100 * median(before):.1f} % ({100 * min(before):.1f}-{100 * max(before):.1f}) in the {len(before)} weeks before"
    )


def _name(venue: str) -> str:
    return venue.partition(":")[2]


def _one_symbol(figures: Figures, shape: Shape, past: Past) -> Result:
    """Whether one symbol explains more than half of a large change of the tier."""
    shares = [week.figures.shares for week in past.weeks[-SHAPES:]]
    change, shapes = figures.shares - median(shares), past.shapes
    if not shape.top or change < 0.25 * median(shares):
        return _result("single_symbol", n=len(shapes))
    usual = {symbol: median([s.top.get(symbol, 0.0) for s in shapes]) for symbol in shape.top}
    symbol, gained = max(((s, now - usual[s]) for s, now in shape.top.items()), key=lambda each: each[1])
    if gained <= change / 2:
        return _result("single_symbol", n=len(shapes))
    words = f"{symbol} has {shape.top[symbol]:,.0f} shares, {gained / change:.0%} of what the tier has more than usual"
    return _result("single_symbol", Verdict.WARN, words, y=shape.top[symbol], expected=usual[symbol], n=len(shapes))
