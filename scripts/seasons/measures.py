"""What each view must show of a content, worked out in plain Python from whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from seasons.finra import MICRO, Content, Line

Row = tuple[Any, ...]
DIGITS = 9  # of a fraction that is compared

OF_TIER = ("normalized", "venue_volume", "venue_share", "hhi", "symbol_summary", "symbol_venue_share")
OF_WEEK = ("weekly_totals", "tier_split")
UNMEASURED = ("normalized", "symbol_venue_share")  # views that need no CALC


class Shown(NamedTuple):
    """A capture as a view shows it."""

    capture_id: str
    week: str
    tier: str
    lines: Content
    captured_at: str


def figure(micros: int | None) -> int | float | None:
    """Millionths as the program writes them: whole where they are."""
    if micros is None:
        return None
    whole, rest = divmod(micros, MICRO)
    return round(micros / MICRO, DIGITS) if rest else whole


def rows(view: str, shown: Shown) -> list[Row]:
    """The view's rows of one capture, in the view's order."""
    head = (shown.capture_id, shown.week, shown.tier)
    if view == "normalized":
        return [(*head, *row, shown.captured_at, *dates) for row, dates in _normalized(shown.lines)]
    return [(*head, *row, shown.captured_at) for row in _OF_TIER[view](shown.lines)]


def week_rows(view: str, result_id: str, week: str, captured_at: str, tiers: Sequence[tuple[str, Content]]) -> list[Row]:
    """The view's rows of one week-level result."""
    return [(result_id, week, *row, captured_at) for row in _OF_WEEK[view](tiers)]


def _normalized(lines: Content) -> list[tuple[Row, Row]]:
    """The rows, each with its dates, which stand behind the capture's."""
    ordered = sorted(lines, key=lambda line: (line.symbol, line.name, line.tape, *_venue(line)))
    return [
        (
            (li.symbol, li.name, li.tape, *_named(li), figure(li.shares), li.trades, figure(li.notional)),
            (li.published and str(li.published), str(li.updated)),
        )
        for li in ordered
    ]


def _symbol_venue_share(lines: Content) -> list[Row]:
    total = {symbol: _sum(group, "shares") for symbol, group in _grouped(lines, lambda line: line.symbol)}
    ordered = sorted(lines, key=lambda line: (line.symbol, *_venue(line), -line.shares))
    return [(li.symbol, *_named(li), figure(li.shares), _part(li.shares, total[li.symbol])) for li in ordered]


def _venue_volume(lines: Content) -> list[Row]:
    return [
        (*_named(group[0]), figure(_sum(group, "shares")), _sum(group, "trades"), figure(_notional(group)), _symbols(group))
        for _, group in _grouped(lines, _venue)
    ]


def _venue_share(lines: Content) -> list[Row]:
    total = _sum(lines, "shares")
    venues = [(key, group, _sum(group, "shares")) for key, group in _grouped(lines, _venue)]
    ranked = sorted((1 + sum(other > shares for _, _, other in venues), key, group, shares) for key, group, shares in venues)
    return [(*_named(group[0]), figure(shares), _part(shares, total), rank) for rank, _, group, shares in ranked]


def _hhi(lines: Content) -> list[Row]:
    tier = ("TIER", "", _concentration(lines), _venues(lines), figure(_sum(lines, "shares")))
    return [
        tier,
        *(
            ("SYMBOL", symbol, _concentration(group), _venues(group), figure(_sum(group, "shares")))
            for symbol, group in _grouped(lines, lambda line: line.symbol)
        ),
    ]


def _symbol_summary(lines: Content) -> list[Row]:
    return [
        (
            symbol,
            figure(_sum(group, "shares")),
            figure(_ats(group)),
            _sum(group, "trades"),
            figure(_notional(group)),
            _venues(group),
            _concentration(group),
        )
        for symbol, group in _grouped(lines, lambda line: line.symbol)
    ]


def _weekly_totals(tiers: Sequence[tuple[str, Content]]) -> list[Row]:
    lines = [line for _, content in tiers for line in content]
    return [
        (
            figure(_sum(lines, "shares")),
            figure(_ats(lines)),
            _sum(lines, "trades"),
            figure(_notional(lines)),
            _symbols(lines),
            _venues(lines),
        )
    ]


def _tier_split(tiers: Sequence[tuple[str, Content]]) -> list[Row]:
    total = sum(_sum(content, "shares") for _, content in tiers)
    return [
        (tier, figure(shares := _sum(lines, "shares")), _sum(lines, "trades"), figure(_notional(lines)), _part(shares, total))
        for tier, lines in sorted(tiers)
    ]


def _venue(line: Line) -> tuple[str, str, int, str]:
    return line.venue_class, line.mpid, line.crd, line.venue


def _named(line: Line) -> Row:
    return line.venue_class, line.mpid, line.crd or None, line.venue


def _grouped(lines: Iterable[Line], key: Callable[[Line], Any]) -> list[tuple[Any, list[Line]]]:
    groups: dict[Any, list[Line]] = {}
    for line in lines:
        groups.setdefault(key(line), []).append(line)
    return sorted(groups.items())


def _sum(lines: Iterable[Line], name: str) -> int:
    return sum(getattr(line, name) for line in lines)


def _ats(lines: Iterable[Line]) -> int:
    return sum(line.shares for line in lines if line.venue_class == "ATS")


def _notional(lines: Iterable[Line]) -> int | None:
    known = [line.notional for line in lines]
    return None if None in known else sum(value or 0 for value in known)


def _symbols(lines: Iterable[Line]) -> int:
    return len({line.symbol for line in lines})


def _venues(lines: Iterable[Line]) -> int:
    return len({_venue(line) for line in lines})


def _part(part: int, total: int) -> float | None:
    return round(float(Fraction(part, total)), DIGITS) if total else None


def _concentration(lines: Iterable[Line]) -> float | None:
    lines = list(lines)
    total = _sum(lines, "shares")
    squares = sum(_sum(group, "shares") ** 2 for _, group in _grouped(lines, _venue))
    return round(float(Fraction(squares, total * total)), DIGITS) if total else None


_OF_TIER: dict[str, Callable[[Content], list[Row]]] = {
    "venue_volume": _venue_volume,
    "venue_share": _venue_share,
    "hhi": _hhi,
    "symbol_summary": _symbol_summary,
    "symbol_venue_share": _symbol_venue_share,
}
_OF_WEEK: dict[str, Callable[[Sequence[tuple[str, Content]]], list[Row]]] = {
    "weekly_totals": _weekly_totals,
    "tier_split": _tier_split,
}
