"""Every view, now and as of every past day, row for row against the ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from market_spine.db import Database
from market_spine.errors import Pruned
from market_spine.query.answer import Question, answer
from market_spine.query.views import VIEWS
from seasons import measures
from seasons.finra import TIERS, Partition
from seasons.ledger import Ledger, Picture, Showing
from seasons.windows import OF_WINDOW, Windows

_NEAR = 1e-9
_OF_CAPTURES = tuple(view for view in VIEWS if view not in OF_WINDOW)


class Memo:
    """A database of which nothing changes meanwhile: each statement is carried out once, its rows made comparable once."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._kept: dict[tuple[str, tuple[Any, ...]], list[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> _Rows:
        key = (sql, tuple(parameters))
        if key not in self._kept:
            self._kept[key] = [_comparable(row) for row in self._db.execute(sql, parameters).fetchall()]
        return _Rows(self._kept[key])

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        yield


class _Rows(list[Any]):
    """The rows of a statement, read like a cursor's."""

    def fetchall(self) -> list[Any]:
        return self

    def fetchone(self) -> Any:
        return self[0] if self else None


def _comparable(row: Any) -> tuple[Any, ...]:
    return tuple(_plain(value) if isinstance(value, (float, Decimal)) else value for value in row)


def _plain(value: float | Decimal) -> int | float:
    number = float(value)
    return int(number) if isinstance(value, Decimal) and value == int(value) else round(number, measures.DIGITS)


class Answers:
    """Compares a store with a ledger. What a content must show is worked out once."""

    def __init__(self) -> None:
        self._expected: dict[tuple[Any, ...], list[measures.Row]] = {}
        self.compared = 0
        self._windows = Windows()

    def day_ends(self, today: date, *, interrupted: bool) -> None:
        """Notes how the day ended, also one on which no command was given."""
        self._windows.end(today, interrupted=interrupted)

    def differences(
        self, db: Database, ledger: Ledger, today: date, days: Sequence[date], *, interrupted: bool = False
    ) -> list[str]:
        """All views now, as of today and as of these past days."""
        self.day_ends(today, interrupted=interrupted)
        memo, now = Memo(db), ledger.picture()
        found = [f"now: {fault}" for view in _OF_CAPTURES for fault in self._latest(memo, view, now)]
        gone = {c.capture_id for c in ledger.captures.values() if c.pruned}
        for day, picture in [*((day, ledger.history[day]) for day in days), (today, now), (None, now)]:
            found += [f"as of {day}: {fault}" for view in _OF_CAPTURES for fault in self._as_of(memo, view, picture, day, gone)]
            found += [f"as of {day}: {f}" for view in OF_WINDOW for f in self._windows.faults(memo, view, picture, day, gone)]
        return found

    def _latest(self, db: Memo, view: str, now: Picture) -> Iterator[str]:
        columns = ", ".join(VIEWS[view].columns)
        rows = db.execute(f"SELECT {columns} FROM finra_otc_transparency_{view}_latest")
        yield from self._compare(f"{view}_latest", sorted(rows, key=str), sorted(self._all(view, now, set()), key=str))

    def _as_of(self, db: Memo, view: str, picture: Picture, day: date | None, gone: set[str]) -> Iterator[str]:
        """Asks for everything; where rows were pruned, for the other weeks together and for the pruned ones alone."""
        lost = {p for p, showing in picture.captures.items() if showing.shown.capture_id in gone}
        if view in measures.OF_WEEK or not lost:
            yield from self._ask(db, view, picture, day, None, TIERS, set())
            return
        weeks = tuple(sorted({p.week for p in picture.captures} - {p.week for p in lost}))
        if weeks:
            yield from self._ask(db, view, picture, day, weeks, TIERS, lost)
        for week in sorted({p.week for p in lost}):
            for tier in TIERS:
                yield from self._ask(db, view, picture, day, (week,), (tier,), lost)

    def _ask(
        self,
        db: Memo,
        view: str,
        picture: Picture,
        day: date | None,
        weeks: tuple[date, ...] | None,
        tiers: tuple[str, ...],
        lost: set[Partition],
    ) -> Iterator[str]:
        asked = Question(VIEWS[view], weeks=weeks, tiers=tiers, as_of=day)
        of = {p: s for p, s in picture.captures.items() if p.tier in tiers and (weeks is None or p.week in weeks)}
        pruned = any(p in lost for p in of)
        try:
            rows = list(answer(db, asked))  # type: ignore[arg-type]
        except Pruned as error:
            if not pruned:
                yield f"{view}: {error.message}"
            return
        if any(self._in(view, picture.captures[p]) for p in lost & of.keys()):
            yield f"{view} of {weeks} {tiers}: rows that were pruned are answered"
            return
        yield from self._compare(view, rows, self._all(view, Picture(of, picture.weeks), lost))

    def _all(self, view: str, picture: Picture, lost: set[Partition]) -> list[measures.Row]:
        if view in measures.OF_WEEK:
            return [row for week in sorted(picture.weeks) for row in measures.week_rows(view, *picture.weeks[week])]
        return [row for p in sorted(picture.captures) if p not in lost for row in self._rows(view, picture.captures[p])]

    def _rows(self, view: str, showing: Showing) -> list[measures.Row]:
        key = (view, showing.shown.capture_id, showing.number, showing.shown.captured_at, showing.measured)
        if key not in self._expected:
            self._expected[key] = measures.rows(view, showing.shown) if self._in(view, showing) else []
        return self._expected[key]

    @staticmethod
    def _in(view: str, showing: Showing) -> bool:
        return showing.measured or view in measures.UNMEASURED

    def _compare(self, view: str, rows: Sequence[Any], expected: list[measures.Row]) -> Iterator[str]:
        self.compared += max(len(rows), len(expected))
        if rows == expected or (len(rows) == len(expected) and all(map(_near, rows, expected))):
            return
        have, want = _first_odd(rows, expected)
        yield f"{view}: {len(rows)} rows, {len(expected)} expected; shown {have}, expected {want}"


def _near(row: Sequence[Any], expected: Sequence[Any]) -> bool:
    return len(row) == len(expected) and all(
        a == b or (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= _NEAR * max(1.0, abs(b)))
        for a, b in zip(row, expected, strict=True)
    )


def _first_odd(rows: Sequence[Any], expected: Sequence[Any]) -> tuple[Any, Any]:
    known, wanted = set(map(tuple, expected)), set(map(tuple, rows))
    return next((row for row in rows if tuple(row) not in known), None), next((r for r in expected if r not in wanted), None)


def readiness(ready: Mapping[str, bool], ledger: Ledger, *, interrupted: bool) -> list[str]:
    """The readiness table against the ledger; after a run that was interrupted a week may not have been judged again yet, but
    none is called ready that is not."""
    weeks = sorted({str(p.week) for p in ledger.partitions()} | set(ready))
    results = ledger.picture().weeks
    expected = {week: ledger.is_ready(week, results) for week in weeks}
    return [
        f"READINESS: {week} is {'' if ready.get(week) else 'not '}ready"
        for week in weeks
        if bool(ready.get(week)) != expected[week] and not (interrupted and expected[week])
    ]
