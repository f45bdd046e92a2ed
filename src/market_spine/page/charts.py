"""Numbers to the shapes of a chart: lines with their gaps, a point for each week, and the ticks of both axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from market_spine.page.parts import Chart, Kind, Point, Series

WIDTH, HEIGHT = 760, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 12, 28
_MOST_POINTS = 156
_MOST_LABELS = 9
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


class Tick(NamedTuple):
    """A label of an axis, and where it stands."""

    at: float
    text: str


class Dot(NamedTuple):
    """A point, and what it says."""

    x: float
    y: float
    point: Point


class Line(NamedTuple):
    """A line in pieces between the weeks without a value; every value is a dot."""

    name: str
    pieces: Sequence[str]
    dots: Sequence[Dot]


class Drawing(NamedTuple):
    """A chart as shapes."""

    lines: Sequence[Line]
    weeks: Sequence[Tick]
    values: Sequence[Tick]
    radius: float


def draw(chart: Chart) -> Drawing | None:
    """The shapes of a chart; None where it has no value. Of more weeks than fit, the last are drawn."""
    weeks = sorted({point.week for line in chart.lines for point in line.points})[-_MOST_POINTS:]
    known = [p.value for line in chart.lines for p in line.points if p.value is not None and weeks and p.week >= weeks[0]]
    if not known:
        return None
    ticks = _ticks(min(known), max(known), from_zero=chart.kind is not Kind.DECIMAL)
    scale = _Scale(weeks[0], weeks[-1], ticks[0], ticks[-1])
    lines = [_line(line, scale) for line in chart.lines]
    values = [Tick(scale.y(value), short(value, chart.kind)) for value in ticks]
    return Drawing(lines, _labels(weeks, scale), values, 3.2 if len(weeks) <= 60 else 1.8)


class _Scale(NamedTuple):
    """From weeks and values to coordinates."""

    first: date
    last: date
    least: float
    largest: float

    def x(self, week: date) -> float:
        days = (self.last - self.first).days
        part = (week - self.first).days / days if days else 0.5
        return round(_LEFT + part * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        part = (value - self.least) / (self.largest - self.least)
        return round(HEIGHT - _BOTTOM - part * (HEIGHT - _TOP - _BOTTOM), 1)


def _line(line: Series, scale: _Scale) -> Line:
    points = [point for point in line.points if point.week >= scale.first]
    dots = [Dot(scale.x(p.week), scale.y(p.value), p) for p in points if p.value is not None]
    return Line(line.name, [_path(piece) for piece in _pieces(points, scale)], dots)


def _pieces(points: Sequence[Point], scale: _Scale) -> Iterator[list[tuple[float, float]]]:
    piece: list[tuple[float, float]] = []
    for point in points:
        if point.value is None:
            if piece:
                yield piece
            piece = []
        else:
            piece.append((scale.x(point.week), scale.y(point.value)))
    if piece:
        yield piece


def _path(piece: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in piece)


def _ticks(least: float, largest: float, *, from_zero: bool) -> list[float]:
    """Round values around all of them, four to seven."""
    least = min(least, 0.0) if from_zero else least
    if largest <= least:
        largest, least = largest + (abs(largest) or 1) / 10, least - (0 if from_zero else (abs(least) or 1) / 10)
    step = _round_step((largest - least) / 4)
    first, last = math.floor(least / step), math.ceil(largest / step)
    return [number * step for number in range(first, last + 1)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)


def _labels(weeks: Sequence[date], scale: _Scale) -> list[Tick]:
    """Weeks at even distances, the last one among them."""
    every = max(1, math.ceil(len(weeks) / _MOST_LABELS))
    return [Tick(scale.x(week), f"{week:%Y-%m-%d}" if every > 1 else f"{week:%m-%d}") for week in weeks[::-1][::every]]


def short(value: float, kind: Kind) -> str:
    """A value on an axis."""
    if kind is Kind.SHARE:
        return f"{value * 100:.4g} %"
    if kind is Kind.DECIMAL:
        return f"{value:.4g}"
    unit, letter = next(((unit, letter) for unit, letter in _UNITS if abs(value) >= unit), (1.0, ""))
    return f"{value / unit:.4g}{f' {letter}' if letter else ''}"
