"""Any view, now or as it was known on a date: the same rows, in the same order, as were shown then."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from market_spine.ask.known import Known, current_captures, current_weeks, end_of
from market_spine.ask.views import View
from market_spine.db import Database
from market_spine.errors import Pruned, UsageError
from market_spine.partition import TIERS

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a view; None is no limit. `as_of` is a day in New York, seen at its end."""

    view: View
    weeks: tuple[date, ...] | None = None
    tiers: tuple[str, ...] = TIERS
    symbol: str | None = None
    as_of: date | None = None


def answer(db: Database, question: Question) -> Generator[Row, None, None]:
    """The rows, by week and tier; to be closed before the database is.

    Raises UsageError for a symbol where there is none, Pruned where the rows are gone.
    """
    view, before = question.view, None if question.as_of is None else end_of(question.as_of)
    if question.symbol is not None and view.of_symbol is None:
        raise UsageError(f"the rows of {view.name} have no symbol", hint="leave --symbol out, or ask symbol_summary")
    captures = current_captures(db, before, question.weeks, TIERS if view.of_week else question.tiers)
    if view.of_week:
        return _of_weeks(db, view, captures, question.tiers, before)
    return _of_captures(db, view, readable(captures, view, before), question)


def _of_weeks(
    db: Database, view: View, captures: list[Known], tiers: Sequence[str], before: str | None
) -> Generator[Row, None, None]:
    tier = view.columns.index("tier") if "tier" in view.columns else None
    for week in current_weeks(db, captures, before):
        for row in db.execute(view.of_capture, (week.capture_id,)):
            if tier is None or row[tier] in tiers:
                yield tuple(row)


def readable(captures: list[Known], view: View, before: str | None) -> list[Known]:
    """The captures whose rows are to be shown; those not measured by then had none in a measured view."""
    limit = before or "9"
    shown = [c for c in captures if not view.measured or (c.measured_at is not None and c.measured_at < limit)]
    gone = next((capture for capture in shown if capture.pruned_at), None)
    if gone is not None:
        raise Pruned(
            f"the rows of {gone.capture_id}, current on that day, were pruned on {str(gone.pruned_at)[:10]}",
            hint="see core_tombstones; ask another --week or --tier, or a week-level view, which prune keeps",
        )
    return shown


def _of_captures(db: Database, view: View, captures: list[Known], question: Question) -> Generator[Row, None, None]:
    if question.symbol is None:
        for capture in captures:
            yield from db.execute(view.of_capture, (capture.capture_id,))
    elif question.weeks is not None:
        for capture in captures:
            yield from db.execute(str(view.of_symbol), (capture.capture_id, question.symbol))
    else:
        current = {capture.capture_id for capture in captures}
        for row in db.execute(str(view.history), (question.symbol,)):
            if row[0] in current:
                yield tuple(row)


def as_csv(view: View, rows: Iterable[Row]) -> Iterator[str]:
    """A header line and a line a row; nothing for NULL."""
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
    """A JSON object a line."""
    for row in rows:
        yield json.dumps(dict(zip(view.columns, row, strict=True))) + "\n"
