"""The venue mix of a content and of the weeks before it: the share of each venue in the volume of its class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from market_spine.gates.figures import ATS, FIRM, Shape
from market_spine.gates.learnt import level_of
from market_spine.gates.past import SHAPES, Past
from market_spine.partition import Partition

CLASSES = {ATS: "ATS", FIRM: "non-ATS"}
_RENAMED, _LIKE_SIZE = 0.003, math.log(1.6)  # of the volume of a class; how far apart two names of a venue are
_LEAST_ATS = 0.01  # of the shares: below it the mix of ATSs says nothing
_SHIFT = 3  # weeks that may be a new level of the mix


class Mix(NamedTuple):
    """Of one class: the mix of the content, those of the last weeks (oldest first), the usual one, what was renamed (by new name,
    the old one), and how far the content is from the usual mix of the present level; None without history or volume."""

    kind: str
    own: Mapping[str, float]
    weeks: Sequence[Mapping[str, float]]
    usual: Mapping[str, float]
    renamed: Mapping[str, str]
    distance: float | None


def mixes(shape: Shape, past: Past, partition: Partition) -> list[Mix]:
    """The mix of each class."""
    last = list(past.weeks)[-SHAPES:]
    level = level_of(last, past.levels, "venue_mix", partition.week_ending)
    return [_mix(shape, [w.shape for w in last if w.shape], [w.shape for w in last[level:] if w.shape], kind) for kind in CLASSES]


def _mix(shape: Shape, weeks: Sequence[Shape], of_level: Sequence[Shape], kind: str) -> Mix:
    own = _shares(shape, kind)
    before = [mix for week in weeks if (mix := _shares(week, kind))]
    usual = usual_mix(before) if own else {}
    distance_now, lately = None, before[len(before) - len(of_level) :] if of_level else []
    if own and lately:
        level = _since_shift(lately)
        centre = usual if len(level) == len(before) else usual_mix(level)
        names = renames(own, centre)
        distance_now = distance({names.get(name, name): value for name, value in own.items()}, centre)
    return Mix(kind, own, before, usual, renames(own, usual), distance_now)


def _shares(shape: Shape, kind: str) -> dict[str, float]:
    """The share of each venue in the volume of its class; empty where the class is a hundredth of the tier or less."""
    of_class = {name: value for name, value in shape.venues.items() if name.startswith(kind)}
    whole, everything = sum(of_class.values()), sum(shape.venues.values())
    return {name: value / whole for name, value in of_class.items()} if whole > _LEAST_ATS * everything else {}


def distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The part of the volume that is elsewhere in the other mix: half the sum of the differences of the shares."""
    return sum(abs(one.get(name, 0.0) - other.get(name, 0.0)) for name in sorted(one.keys() | other.keys())) / 2


def usual_mix(before: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median share of each venue; a venue that is absent from most weeks has none."""
    usual: dict[str, float] = {}
    half = len(before) // 2
    for name in sorted({name for mix in before for name in mix}):
        values = sorted([mix.get(name, 0.0) for mix in before])
        usual[name] = values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
    return usual


def _since_shift(before: Sequence[Mapping[str, float]]) -> Sequence[Mapping[str, float]]:
    """The weeks of the present level: the last three, where these are nearer to each other than to what came before."""
    if len(before) < 2 * _SHIFT:
        return before
    earlier, lately = usual_mix(before[:-_SHIFT]), usual_mix(before[-_SHIFT:])
    apart = distance(earlier, lately)
    return before[-_SHIFT:] if all(3 * distance(mix, lately) < apart for mix in before[-_SHIFT:]) else before


def renames(own: Mapping[str, float], usual: Mapping[str, float]) -> dict[str, str]:
    """By new name, the old one: of the venues that are gone and those that are new, the pairs nearest in size."""
    gone = sorted(name for name, share in usual.items() if share >= _RENAMED and name not in own)
    new = sorted(name for name, share in own.items() if share >= _RENAMED and not usual.get(name))
    by_size = sorted((abs(math.log(own[name] / usual[old])), name, old) for old in gone for name in new)
    pairs: dict[str, str] = {}
    for apart, name, old in by_size:
        if apart <= _LIKE_SIZE and name not in pairs and old not in pairs.values():
            pairs[name] = old
    return pairs
