"""What the rolling views must show of the captures that are current, worked out with fractions; and what they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from market_spine.query.answer import Question, answer
from market_spine.query.views import VIEWS
from market_spine.query.windows import NOT_MADE
from seasons.finra import MICRO, Partition
from seasons.ledger import Picture, Showing

OF_WINDOW = ("rolling_venue_share", "rolling_hhi", "rolling_totals", "rolling_symbol")
LENGTHS = (6, 13)
_NEAR = 1e-8
Figures = dict[str, float | int | None]


class Windows:
    """Compares the rolling views with a picture; what a window must show is worked out once."""

    def __init__(self) -> None:
        self._expected: dict[tuple[Any, ...], dict[Any, Figures]] = {}
        self._interrupted: set[date | None] = set()  # days that ended with a run killed; None: this one
        self.compared = 0

    def end(self, today: date, *, interrupted: bool) -> None:
        """Notes whether the windows of today may be missing: the run that makes them was killed, and none completed it."""
        for day in (today, None):
            (self._interrupted.add if interrupted else self._interrupted.discard)(day)

    def faults(self, db: Any, view: str, picture: Picture, day: date | None, gone: set[str]) -> Iterator[str]:
        """Every window that has other figures than it must, or has none, or has some and must not."""
        shown: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for row in answer(db, Question(VIEWS[view], as_of=day)):
            named = dict(zip(VIEWS[view].columns, row, strict=True))
            shown.setdefault((named["week_ending"], named["tier"], named["length"]), []).append(named)
        for p in picture.captures:
            for length in LENGTHS:
                rows = shown.pop((str(p.week), p.tier, length), [])
                yield from self._faults(view, rows, _inputs(picture.captures, p, length), f"{view} {p} {length}", gone, day)
        if shown:
            yield f"{view}: windows of nothing {sorted(shown)[:3]}"

    def _faults(
        self, view: str, rows: list[dict[str, Any]], inputs: list[Showing] | None, what: str, gone: set[str], day: date | None
    ) -> Iterator[str]:
        without = len(rows) == 1 and rows[0]["inputs_hash"] is None
        lost = view == "rolling_symbol" and inputs is not None and any(i.shown.capture_id in gone for i in inputs)
        if inputs is None or lost:
            if not without:
                yield f"{what}: figures of weeks that are not there"
            return
        if without and rows[0]["reason"] == NOT_MADE and day in self._interrupted:
            return
        key = (view, *((i.shown.capture_id, i.number) for i in inputs))
        if key not in self._expected:
            self._expected[key] = _EXPECTED[view](inputs)
        expected = self._expected[key]
        have = {_key(view, row): row for row in rows}
        self.compared += len(rows)
        if have.keys() != expected.keys() or len(rows) != len(expected):
            yield f"{what}: rows of {sorted(map(str, have.keys() ^ expected.keys()))[:3]} ({rows[:1]})"
            return
        for name, figures in expected.items():
            odd = {
                column: (have[name][column], figure)
                for column, figure in figures.items()
                if not _near(have[name][column], figure)
            }
            if odd:
                yield f"{what} {name}: shown and expected {odd}"
                return


def _key(view: str, row: dict[str, Any]) -> tuple[Any, ...]:
    if view == "rolling_venue_share":
        return _firm(row["venue_class"], row["mpid"], row["firm_crd"], row["venue_name"])
    return (row["symbol"],) if view == "rolling_symbol" else ()


def _firm(kind: str, mpid: str, crd: int | None, name: str) -> tuple[Any, ...]:
    """A venue by its MPID or CRD number, else by its name."""
    return kind, mpid, crd or None, "" if mpid or crd else name


def _inputs(captures: Mapping[Partition, Showing], last: Partition, length: int) -> list[Showing] | None:
    weeks = [captures.get(Partition(last.week - timedelta(weeks=back), last.tier)) for back in reversed(range(length))]
    return None if any(w is None or not w.measured for w in weeks) else [w for w in weeks if w]


def _near(shown: Any, expected: Any) -> bool:
    return shown is expected or (
        shown is not None and expected is not None and abs(shown - expected) <= _NEAR * max(1, abs(expected))
    )


def _by(inputs: list[Showing], name: str) -> list[dict[Any, int]]:
    """Each week's shares, by firm or by symbol."""
    weeks = []
    for showing in inputs:
        shares: dict[Any, int] = {}
        lines: Any = showing.shown.lines if name == "symbol" or showing.shown.firms is None else showing.shown.firms
        for line in lines:
            key = (line.symbol,) if name == "symbol" else _firm(line.venue_class, line.mpid, line.crd, line.venue)
            shares[key] = shares.get(key, 0) + line.shares
        weeks.append(shares)
    return weeks


def _shares(inputs: list[Showing], name: str) -> dict[Any, Figures]:
    weeks, length = _by(inputs, name), len(inputs)
    totals = [sum(week.values()) for week in weeks]
    figures: dict[Any, Figures] = {}
    for key in {key for week in weeks for key in week}:
        parts = [Fraction(week.get(key, 0), total) for week, total in zip(weeks, totals, strict=True)]
        shares = sum(week.get(key, 0) for week in weeks)
        slope = 6 * sum((2 * i - length + 1) * part for i, part in enumerate(parts)) / (length * (length**2 - 1))
        figures[key] = {
            "total_shares": shares / MICRO,
            "share_pooled": shares / sum(totals),
            "share_mean": float(sum(parts) / length),
            "slope": float(slope),
            "active_weeks": sum(key in week for week in weeks),
        }
    return figures


def _venues(inputs: list[Showing]) -> dict[Any, Figures]:
    figures = _shares(inputs, "venue")
    volumes = [each["total_shares"] or 0 for each in figures.values()]
    return {key: each | {"rank": 1 + sum(v > (each["total_shares"] or 0) for v in volumes)} for key, each in figures.items()}


def _hhi(inputs: list[Showing]) -> dict[Any, Figures]:
    weeks = _by(inputs, "venue")
    pooled: dict[Any, int] = {}
    for week in weeks:
        for key, shares in week.items():
            pooled[key] = pooled.get(key, 0) + shares
    each = [_squares(week) for week in weeks]
    return {(): {"hhi": float(_squares(pooled)), "hhi_mean": float(sum(each) / len(each)), "venue_count": len(pooled)}}


def _squares(volumes: Mapping[Any, int]) -> Fraction:
    return Fraction(sum(volume**2 for volume in volumes.values()), sum(volumes.values()) ** 2)


def _totals(inputs: list[Showing]) -> dict[Any, Figures]:
    lines = [line for showing in inputs for line in showing.shown.lines]
    shares, trades = sum(line.shares for line in lines), sum(line.trades for line in lines)
    ats = sum(line.shares for line in lines if line.venue_class == "ATS")
    size = float(Fraction(shares, trades * MICRO))
    return {
        (): {"total_shares": shares / MICRO, "total_trades": trades, "ats_fraction": ats / shares, "average_trade_size": size}
    }


def _symbols(inputs: list[Showing]) -> dict[Any, Figures]:
    return _shares(inputs, "symbol")


_EXPECTED = {
    "rolling_venue_share": _venues,
    "rolling_hhi": _hhi,
    "rolling_totals": _totals,
    "rolling_symbol": _symbols,
}
