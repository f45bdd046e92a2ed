"""A view, now or as of a date: the same rows, in the same order, as were returned then."""

from __future__ import annotations

import csv
import io
import json
from collections import namedtuple
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import repeat
from typing import Any, NamedTuple

from market_spine.db import Database
from market_spine.errors import Pruned, Superseded, UsageError
from market_spine.partition import TIERS
from market_spine.query import readiness, windows
from market_spine.query.as_of import Known, current_captures, current_weeks, end_of
from market_spine.query.readiness import READINESS
from market_spine.query.views import View

Row = tuple[Any, ...]


@cache
def _row_type(columns: tuple[str, ...]) -> type[tuple[Any, ...]]:
    return namedtuple("Row", columns)


def named(columns: tuple[str, ...], rows: Iterable[Row]) -> Iterator[Row]:
    """The rows as named tuples, in a third of the time that _make takes."""
    return map(tuple.__new__, repeat(_row_type(columns)), rows)


@dataclass(frozen=True, slots=True)
class Question:
    """A query of a view; None does not filter. `as_of` is a day in New York, seen at its end."""

    view: View
    weeks: tuple[date, ...] | None = None
    tiers: tuple[str, ...] = TIERS
    symbol: str | None = None
    as_of: date | None = None
    length: int | None = None  # of windows
    ready_for: str = readiness.TRADING  # of judgements

    @property
    def before(self) -> str | None:
        """The end of the day, as times are stored; None for now."""
        return None if self.as_of is None else end_of(self.as_of)


class Position(NamedTuple):
    """Where in the answer to a question a page begins: the group of rows, by the capture or result they are of ('': the first),
    and how many rows of it come before."""

    capture_id: str
    row: int


class Page(NamedTuple):
    """Rows, and where the next page begins; None for the last one."""

    rows: list[Row]
    following: Position | None


Group = tuple[str, Iterable[Row]]


def answer(db: Database, question: Question) -> Generator[Row, None, None]:
    """The rows, by week and tier; to be closed before the database is. Partitions whose rows were pruned are left out (see
    `left_out`).

    Raises UsageError for a symbol of a view without symbols, a length of a view without windows or one that is not kept, Pruned
    where every requested row was pruned.
    """
    groups = _groups(db, question)  # outside the generator, so that it raises at once
    return (row for _, rows in groups for row in rows)


def page(db: Database, question: Question, begin: Position, limit: int) -> Page:
    """At most `limit` rows from a position on; what comes before its group is not read.

    Raises as `answer`, and Superseded when another capture or result has taken the place of the one it names.
    """
    rows: list[Row] = []
    is_first = not begin.capture_id
    reached, skip = is_first, begin.row
    for capture_id, group in _groups(db, question):
        reached = reached or capture_id == begin.capture_id
        if not reached:
            continue
        at = 0
        for at, row in enumerate(group, 1):
            if at <= skip:
                continue
            if len(rows) == limit:
                return Page(rows, Position(capture_id, at - 1))
            rows.append(row)
        skip = max(skip - at, 0) if is_first else 0
    if not reached:
        raise Superseded(f"{begin.capture_id} is no longer current", hint="begin with the first page again")
    return Page(rows, None)


def _groups(db: Database, question: Question) -> Iterator[Group]:
    """The answer in its order, in groups of rows each of which is read only when it is looked into."""
    view, before = question.view, question.before
    if question.length is not None and not view.of_window:
        raise UsageError(f"the rows of {view.name} are of one week", hint="leave --length out, or query rolling_hhi")
    if question.symbol is not None and view.of_symbol is None:
        raise UsageError(f"the rows of {view.name} have no symbol", hint="leave --symbol out, or query symbol_summary")
    if view is READINESS:
        return iter([("", readiness.answer(db, question.weeks, question.tiers, before))])
    if view.of_window:
        selected = windows.select(db, question.weeks, question.tiers, question.length, before)
        return iter([("", windows.read(db, view, selected, question.symbol))])
    captures = current_captures(db, before, question.weeks, TIERS if view.of_week else question.tiers)
    if view.of_week:
        return _of_weeks(db, question, captures, before)
    return _of_captures(db, view, _left(captures, view, before), question)


class Shown(NamedTuple):
    """The captures whose rows are the answer, by week and tier, and those left out because they were pruned since."""

    captures: list[Known]
    pruned: list[Known]


def captures_of(db: Database, question: Question) -> Shown:
    """Of a question about captures. Raises Pruned where every requested row was pruned."""
    captures = current_captures(db, question.before, question.weeks, question.tiers)
    shown = _shown(captures, question.view, question.before)
    return Shown(_left(captures, question.view, question.before), [capture for capture in shown if capture.pruned_at])


def _left(captures: list[Known], view: View, before: str | None) -> list[Known]:
    """Those whose rows are kept. Raises Pruned where there are none because they were pruned."""
    left = [capture for capture in _shown(captures, view, before) if not capture.pruned_at]
    return left or readable(captures, view, before)


def left_out(db: Database, question: Question) -> list[Known]:
    """The captures that were current as of the question's day and were pruned since: `answer` leaves their partitions out."""
    if question.as_of is None or question.view.of_week or question.view.of_window or question.view is READINESS:
        return []
    captures = current_captures(db, question.before, question.weeks, question.tiers)
    return [capture for capture in _shown(captures, question.view, question.before) if capture.pruned_at]


def _of_weeks(db: Database, question: Question, captures: list[Known], before: str | None) -> Iterator[Group]:
    view, tiers = question.view, question.tiers
    tier_at = view.columns.index("tier") if "tier" in view.columns else None
    made = _results(db, view) if question.weeks is None else None  # one statement, however many weeks there are
    for week in current_weeks(db, captures, before):
        rows: Iterable[Row] = made.get(week.capture_id, ()) if made is not None else _read(db, view.of_capture, week.capture_id)
        yield week.capture_id, (tuple(row) for row in rows if tier_at is None or row[tier_at] in tiers)


def _results(db: Database, view: View) -> dict[str, list[Row]]:
    """The rows of every week-level result, by its id."""
    capture_at, made = view.columns.index("capture_id"), dict[str, list[Row]]()
    for row in _read(db, view.every):
        made.setdefault(row[capture_at], []).append(row)
    return made


def _read(db: Database, statement: str, *parameters: str) -> Iterator[Row]:
    """The rows, once the first one is asked for."""
    yield from db.execute(statement, parameters)


def readable(captures: list[Known], view: View, before: str | None) -> list[Known]:
    """The captures whose rows are to be shown. Raises Pruned when one of them was pruned."""
    shown = _shown(captures, view, before)
    gone = next((capture for capture in shown if capture.pruned_at), None)
    if gone is not None:
        raise Pruned(
            f"the rows of {gone.capture_id}, current on that day, were pruned on {str(gone.pruned_at)[:10]}",
            hint=f"spine captures {gone.week} {gone.tier}",
        )
    return shown


def _shown(captures: list[Known], view: View, before: str | None) -> list[Known]:
    """Those that had rows in the view then: a capture that was not measured by that time had none in a measured view."""
    return [c for c in captures if not view.measured or (c.measured_at is not None and c.measured_at < (before or "9"))]


def _of_captures(db: Database, view: View, captures: list[Known], question: Question) -> Iterator[Group]:
    if question.symbol is None:
        for capture in captures:
            yield capture.capture_id, _read(db, view.of_capture, capture.capture_id)
    elif question.weeks is not None:
        for capture in captures:
            yield capture.capture_id, _read(db, str(view.of_symbol), capture.capture_id, question.symbol)
    else:
        current = {capture.capture_id for capture in captures}
        capture_at = view.columns.index("capture_id")
        history = map(tuple, _read(db, str(view.history), question.symbol))
        yield question.symbol, (row for row in history if row[capture_at] in current)


def as_csv(view: View, rows: Iterable[Row]) -> Iterator[str]:
    """A header line, then a line per row; an empty field for NULL."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(view.columns)
    for row in rows:
        writer.writerow(row)
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def as_nl(view: View, rows: Iterable[Row]) -> Iterator[str]:
    """A JSON object per line."""
    for row in rows:
        yield json.dumps(dict(zip(view.columns, row, strict=True))) + "\n"
