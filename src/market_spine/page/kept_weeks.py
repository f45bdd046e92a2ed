"""The weeks as a server judged them last: after an event only the weeks that it is about are judged again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from market_spine.app import coverage
from market_spine.app.context import Expectations, Run
from market_spine.core import events, executions
from market_spine.core.events import Kind
from market_spine.core.executions import Asked
from market_spine.operate import evidence, status_grid
from market_spine.operate.status_grid import WeekStatus

_MOST_EVENTS = 2_000  # after more than these, everything is read again
_REPAIRS = frozenset({"doctor --fix", "rebuild"})  # these write back what was lost, without an event


class _Basis(NamedTuple):
    """What every week depends on: the day, what is expected, the first weeks, and where data is fetched from."""

    day: date
    expected: Expectations
    first_weeks: Mapping[str, date]
    asked: Asked


class _Moment(NamedTuple):
    """How far the log of events went."""

    size: int
    last_leaf: str


@dataclass(frozen=True, slots=True)
class _Judged:
    """The weeks at a moment."""

    basis: _Basis
    moment: _Moment
    weeks: Mapping[date, WeekStatus]


class _News(NamedTuple):
    """What has happened since: to which weeks, as text, and how far the log goes by now."""

    moment: _Moment
    weeks: frozenset[str]


class KeptWeeks:
    """Of one store, for all requests. A new value replaces the one before, so no request waits for another."""

    def __init__(self) -> None:
        self._judged: _Judged | None = None

    def read(self, run: Run) -> list[WeekStatus]:
        """Every week from the first that is kept to the run's day, newest first, as status_grid.read would judge it."""
        basis = _Basis(run.run_date, run.expected, coverage.known_weeks(run.db), executions.last_source(run.db))
        asked, before = status_grid.kept_weeks(run.run_date, basis.first_weeks), self._judged
        news = _news(run, before.moment) if before and before.basis == basis else None
        if before and news:
            again = [week for week in asked if str(week) in news.weeks or week not in before.weeks]
            judged = _Judged(basis, news.moment, {**before.weeks, **_judge(run, again, basis)})
        else:
            head = events.head(run.db)
            judged = _Judged(basis, _Moment(head.size, head.last_leaf), _judge(run, asked, basis))
        self._judged = judged
        return [judged.weeks[week] for week in asked]


def _news(run: Run, since: _Moment) -> _News | None:
    """None where everything has to be judged again: after a repair, after very many events, and where the log does not go on
    from there, because this is another store or an older reader."""
    lines = list(events.lines(run.db, since.size - 1, since.size + _MOST_EVENTS))
    if not lines or lines[0].leaf.hex() != since.last_leaf or len(lines) > _MOST_EVENTS:
        return None
    entries = [json.loads(line.line) for line in lines[1:]]
    if any(entry["kind"] == Kind.RUN_FINISHED and entry["body"]["pipeline"] in _REPAIRS for entry in entries):
        return None
    return _News(_Moment(lines[-1].seq, lines[-1].leaf.hex()), frozenset(entry["subject"][:10] for entry in entries))


def _judge(run: Run, weeks: Sequence[date], basis: _Basis) -> dict[date, WeekStatus]:
    if not weeks:
        return {}
    stored = evidence.read(run.db, min(weeks), max(weeks), basis.first_weeks, basis.asked)
    return dict(zip(weeks, status_grid.grid(run, weeks, stored), strict=True))
