"""What each view must show of a content, worked out in plain Python from whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from seasons.finra import MICRO, Content, Line

Row = tuple[Any, ...]
DIGITS = 9  # of a fraction that is compared

OF_TIER = ("normalized", "venue_volume", "venue_share", "hhi", "concentration", "symbol_summary", "symbol_venue_share")
OF_WEEK = ("weekly_totals", "tier_split")
UNMEASURED = ("normalized", "symbol_venue_share")  # views that need no CALC


class Firm(NamedTuple):
    """A firm's volume in all symbols of a tier, named or not; shares in millionths."""

    venue_class: str
    mpid: str
    crd: int
    venue: str
    shares: int


class Shown(NamedTuple):
    """A capture as a view shows it. `firms`: those of its firm totals, where the source gives them."""

    capture_id: str
    week: str
    tier: str
    lines: Content
    captured_at: str
    firms: tuple[Firm, ...] | None = None

    @property
    def basis(self) -> str:
        return "symbol_rows" if self.firms is None else "firm_total"


def figure(micros: int | None) -> int | float | None:
    """Millionths as the program writes them: whole where they are."""
    if micros is None:
        return None
    whole, rest = divmod(micros, MICRO)
    return round(micros / MICRO, DIGITS) if rest else whole


def rows(view: str, shown: Shown) -> list[Row]:
    """The view's rows of one capture, in the view's order."""
    head = (shown.capture_id, shown.week, shown.tier)
    if view in _BY_FIRM:
        return [(*head, *row, shown.captured_at, shown.basis, *bounds) for row, bounds in _BY_FIRM[view](shown)]
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


def _venue_share(shown: Shown) -> list[tuple[Row, Row]]:
    firms = _firms(shown)
    total = sum(firm.shares for firm in firms)
    ranked = sorted((1 + sum(other.shares > firm.shares for other in firms), firm) for firm in firms)
    return [((*_named(firm), figure(firm.shares), _part(firm.shares, total), rank), ()) for rank, firm in ranked]


def _hhi(shown: Shown) -> list[tuple[Row, Row]]:
    lines, firms = shown.lines, _firms(shown)
    tier = _squares([firm.shares for firm in firms])
    bounds = (None, None) if shown.firms is None else (tier, tier)
    hiding = _hiding(shown)
    return [
        (("TIER", "", tier, len(firms), figure(_sum(lines, "shares"))), bounds),
        *(
            (("SYMBOL", symbol, high, _venues(group), figure(_sum(group, "shares"))), (_least(group, hiding), high))
            for symbol, group in _grouped(lines, lambda line: line.symbol)
            for high in [_concentration(group)]
        ),
    ]


def _concentrated(shown: Shown) -> list[tuple[Row, Row]]:
    lines, firms = shown.lines, _firms(shown)
    by_class = [[firm.shares for firm in firms if firm.venue_class == kind] for kind in ("ATS", "OTC")]
    tier, total = _squares([firm.shares for firm in firms]), _sum(lines, "shares")
    shares = Fraction(total, MICRO)
    effective = round(float(1 / _exact([firm.shares for firm in firms])), DIGITS)
    size = round(float(shares / _sum(lines, "trades")), DIGITS)
    hidden = figure(sum(line.shares for line in lines if _is_de_minimis(line)))
    parts = (figure(total), _part(_ats(lines), total), tier, *map(_squares, by_class))
    return [((*parts, effective, size, hidden, len(firms)), ())]


def _firms(shown: Shown) -> list[Firm]:
    """The firms of a tier: by their totals, else its venues as the rows name them."""
    if shown.firms is not None:
        return list(shown.firms)
    return [Firm._make((*key, _sum(group, "shares"))) for key, group in _grouped(shown.lines, _venue)]


def _hiding(shown: Shown) -> int | None:
    """How many firms have volume that no row names; None where that is not known."""
    named = {key: _sum(group, "shares") for key, group in _grouped(shown.lines, _venue)}
    return None if shown.firms is None else sum(firm.shares > named.get(firm[:4], 0) for firm in shown.firms)


def _least(lines: Iterable[Line], hiding: int | None) -> float | None:
    """The HHI of a symbol if its De Minimis volume were spread over all firms that may have it."""
    groups = _grouped(lines, _venue)
    total = sum(_sum(group, "shares") for _, group in groups)
    least = Fraction(0)
    for _, group in groups:
        square = Fraction(_sum(group, "shares"), total) ** 2
        least += (square / hiding if hiding else 0) if _is_de_minimis(group[0]) else square
    return round(float(least), DIGITS)


def _is_de_minimis(line: Line) -> bool:
    return line.venue == "De Minimis Firms"


def _exact(volumes: Sequence[int]) -> Fraction:
    return Fraction(sum(volume**2 for volume in volumes), sum(volumes) ** 2)


def _squares(volumes: Sequence[int]) -> float | None:
    return round(float(_exact(volumes)), DIGITS) if sum(volumes) else None


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


def _named(line: Line | Firm) -> Row:
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


# Views that rest on firm totals where there are any: rows, and what stands after captured_at and basis.
_BY_FIRM: dict[str, Callable[[Shown], list[tuple[Row, Row]]]] = {
    "venue_share": _venue_share,
    "hhi": _hhi,
    "concentration": _concentrated,
}
_OF_TIER: dict[str, Callable[[Content], list[Row]]] = {
    "venue_volume": _venue_volume,
    "symbol_summary": _symbol_summary,
    "symbol_venue_share": _symbol_venue_share,
}
_OF_WEEK: dict[str, Callable[[Sequence[tuple[str, Content]]], list[Row]]] = {
    "weekly_totals": _weekly_totals,
    "tier_split": _tier_split,
}
