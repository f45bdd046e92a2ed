"""What a question selects, in parts that stand or fall together, and on what each of them rests: now, as of a day, or release by
release.

A release of a measure is what a query returned at the end of the days from `known_from` up to, not including, `known_to`: these
are days on which we held its captures (observed). Only rows of `normalized` have days that FINRA declares; see vintages.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from itertools import chain, groupby, zip_longest
from operator import itemgetter
from typing import NamedTuple

from market_spine.db import Database
from market_spine.partition import weeks_of
from market_spine.query import blocks, readiness, windows
from market_spine.query.answer import Question, Row, captures_of, named
from market_spine.query.as_of import Known, Spell, day_of, spells
from market_spine.query.readiness import READINESS
from market_spine.query.views import VERSIONS, View
from market_spine.query.vintages import first_releases, read_vintages

Partition = tuple[str, str]  # week and tier
RELEASED = ("known_from", "known_to")


class Part(NamedTuple):
    """The rows of a capture or a window, read when they are looked into; the partitions and captures (keys) they rest on.
    `whole` is the capture of which they are all rows."""

    partitions: tuple[Partition, ...]
    captures: tuple[int, ...]
    rows: Iterable[Row]
    whole: Known | None = None


class Selection(NamedTuple):
    """The parts by week and tier, the columns of their rows, and the captures that were left out because they were pruned."""

    columns: tuple[str, ...]
    parts: list[Part]
    pruned: list[Known]


def select(db: Database, question: Question) -> Selection:
    """What the question selects now, or as of its day. Raises as answer.answer."""
    view = question.view
    if view is READINESS:
        rows = readiness.answer(db, question.weeks, question.tiers, question.before, question.ready_for)
        return Selection((*view.columns, readiness.LAG), [Part((), (), map(readiness.with_lag, rows))], [])
    if view.of_window:
        selected = windows.select(db, question.weeks, question.tiers, question.length, question.before)
        return Selection(view.columns, [_of_window(db, question, window) for window in selected], [])
    captures, pruned = captures_of(db, question)
    if question.symbol is None or question.weeks is not None:
        return Selection(view.columns, [_of_capture(db, question, capture) for capture in captures], pruned)
    return Selection(view.columns, _history(db, question, captures), pruned)


def _of_capture(db: Database, question: Question, capture: Known) -> Part:
    whole = capture if question.symbol is None else None
    return Part(((capture.week, capture.tier),), (capture.capture_key,), _rows(db, question, capture), whole)


def rows_of(db: Database, question: Question, columns: tuple[str, ...], parts: Sequence[Part]) -> Collection[Row]:
    """The rows of these parts, as named tuples; of whole captures of `normalized` as they are stored, until somebody iterates.

    Named part by part: beside a list of all plain tuples it takes a sixth longer.
    """
    whole = [part.whole for part in parts if part.whole]
    if question.view.name == "normalized" and parts and len(whole) == len(parts):
        return blocks.read(db, whole)
    return list(chain.from_iterable(named(columns, part.rows) for part in parts))


def _rows(db: Database, question: Question, capture: Known) -> Iterator[Row]:
    if question.symbol is None:
        yield from db.execute(question.view.of_capture, (capture.capture_id,)).fetchall()
    else:
        yield from db.execute(str(question.view.of_symbol), (capture.capture_id, question.symbol)).fetchall()


def _history(db: Database, question: Question, captures: Iterable[Known]) -> list[Part]:
    """Of one symbol in every week, in one statement."""
    current, capture_at = {c.capture_id: c for c in captures}, question.view.columns.index("capture_id")
    history = [tuple(row) for row in db.execute(str(question.view.history), (question.symbol,)) if row[capture_at] in current]
    parts = groupby(history, key=lambda row: str(row[capture_at]))
    return [
        Part(((c.week, c.tier),), (c.capture_key,), list(rows)) for capture_id, rows in parts for c in (current[capture_id],)
    ]


def _of_window(db: Database, question: Question, window: windows.Window) -> Part:
    """A window without figures rests on nothing: its row says why."""
    weeks = weeks_of(date.fromisoformat(window.week), window.length) if window.stored else ()
    partitions = tuple((str(week), window.tier) for week in weeks)
    return Part(partitions, window.captures, windows.read(db, question.view, [window], question.symbol))


def select_releases(db: Database, question: Question, *, first: bool) -> Selection:
    """Every release of what the question is about, or only the first of each row, capture or window."""
    view = question.view
    if view is READINESS:
        columns = (*view.columns, readiness.LAG, *RELEASED)
        judgements = readiness.releases(db, question.weeks, question.tiers, question.ready_for)
        rows = (list(of_subject)[: 1 if first else None] for _, of_subject in groupby(judgements, key=itemgetter(0, 1)))
        return Selection(columns, [Part((), (), chain.from_iterable(rows))], [])
    columns = VERSIONS.columns if view.name == "normalized" else (*view.columns, *RELEASED)
    if view.of_window:
        return Selection(columns, list(_of_windows(db, question, first)), [])
    parts, pruned = list[Part](), list[Known]()
    for (week, tier), of_partition in spells(db, question.weeks, question.tiers).items():
        gone = {spell.capture for spell in of_partition if spell.capture and spell.capture.pruned_at}
        pruned += sorted(gone, key=lambda capture: capture.run_date)
        if view.name == "normalized":
            keys = tuple({spell.capture.capture_key for spell in of_partition if spell.capture and spell.capture not in gone})
            parts.append(Part(((week, tier),), keys, _versions(db, question, of_partition, first)))
            continue
        held = list(_held(view, of_partition))[: 1 if first else None]
        parts += [_dated(_of_capture(db, question, each.capture), each) for each in held if each.capture not in gone]
    return Selection(columns, parts, pruned)


def _versions(db: Database, question: Question, of_partition: Sequence[Spell], first: bool) -> Iterator[Row]:
    """Of the rows of a partition."""
    week, tier = next((spell.capture.week, spell.capture.tier) for spell in of_partition if spell.capture)
    vintages = read_vintages(db, week, tier, of_partition, question.symbol)
    yield from (version.values for version in (first_releases(vintages).versions if first else vintages.versions))


class _Held(NamedTuple):
    """A capture that was the one to show from one day to another."""

    capture: Known
    known_from: str
    known_to: str | None


def _held(view: View, of_partition: Sequence[Spell]) -> Iterator[_Held]:
    """When each capture of a partition was shown; measures count from the day on which they were made."""
    for spell, following in zip_longest(of_partition, of_partition[1:]):
        capture, since, until = spell.capture, spell.day, following.day if following else None
        if capture is None or (view.measured and capture.measured_at is None):
            continue
        if view.measured:
            since = max(since, day_of(str(capture.measured_at)))
        if until is None or since < until:
            yield _Held(capture, since, until)


def _of_windows(db: Database, question: Question, first: bool) -> Iterator[Part]:
    released = windows.releases(db, question.weeks, question.tiers, question.length)
    for _, of_window in groupby(released, key=lambda each: (each.window.week, each.window.tier, each.window.length)):
        yield from (_dated(_of_window(db, question, each.window), each) for each in list(of_window)[: 1 if first else None])


def _dated(part: Part, held: _Held | windows.Release) -> Part:
    """The part, each row with the days on which it was known."""
    return part._replace(rows=((*row, held.known_from, held.known_to) for row in part.rows))
