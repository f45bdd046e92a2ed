"""A query of a store, and the four ways to run it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from market_spine import clock
from market_spine.core.checkpoint import checkpoint
from market_spine.core.store import Mode, open_store
from market_spine.db import Database
from market_spine.errors import NotFound, NotReady
from market_spine.partition import TIERS, parse_day
from market_spine.process import collector_paused
from market_spine.python.result import Readiness, Result
from market_spine.query import symbols
from market_spine.query.answer import Question
from market_spine.query.readiness import READINESS, blocking
from market_spine.query.releases import Part, Partition, Selection, rows_of, select, select_releases
from market_spine.query.sources import sources
from market_spine.query.vintages import OBSERVED

NotReadyRule = Literal["refuse", "omit", "include"]
_SHOWN = 3


@dataclass(frozen=True, slots=True, repr=False)
class Query:
    """A query, made by a method of `Store`. Four methods run it, each on one moment of the database, and return a `Result`.

    Raises, when it is run: `NotReady` for a week of a tier that is not ready, `Pruned` where every row that was asked for was
    pruned, `DatabaseError` for a database that cannot be read.
    """

    target: str
    question: Question
    text: str
    not_ready: NotReadyRule

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def latest(self) -> Result:
        """As known now.

        >>> store.hhi(tier="OTC").latest()
        <hhi(tier='OTC').latest(): 6 rows of 6 captures>
        """
        return self._run("latest()", self.question, lambda db: select(db, self.question))

    def as_of(self, day: date | str) -> Result:
        """As known at the end of a day in New York: the same rows, to the bit, as were returned then.

        A day counts by when the store held the figures. Whether a week was ready is judged as of that day, too.

        >>> store.hhi(tier="T1", week="2025-12-26").as_of("2026-01-09").rows()[0].total_shares
        252071851
        """
        question = replace(self.question, as_of=parse_day(day) if isinstance(day, str) else plain_day(day))
        return self._run(f"as_of('{question.as_of}')", question, lambda db: select(db, question))

    def first_release(self) -> Result:
        """As first known: of `volume`, each row as FINRA first published it; of a measure, that of the first capture.

        The columns `known_from` and `known_to` are added: dates, the second of which is the day from which it was no longer
        known, or None. Rows of `volume` have `held_from` and `basis`, too. Whether a week is ready is judged as of now.

        >>> result = store.volume("BF.A", week="2025-12-26", tier="T1").first_release()
        >>> [(row.total_shares, row.known_from, row.known_to) for row in result.rows() if row.mpid == "LQNA"]
        [(1821, '2026-01-12', '2026-01-28')]
        """
        return self._run("first_release()", self.question, lambda db: select_releases(db, self.question, first=True))

    def all_releases(self) -> Result:
        """Every release, with the days on which it was known: a row for each, with the columns of `first_release`.

        On any day D, those with `known_from <= D < known_to` are what was known: a backtest that selects them looks at nothing
        that came later.

        >>> [(row.known_from, row.known_to) for row in store.hhi(tier="T1", week="2025-12-26").all_releases().rows()]
        [('2026-01-09', '2026-01-30'), ('2026-01-30', None)]
        """
        return self._run("all_releases()", self.question, lambda db: select_releases(db, self.question, first=False))

    def _run(self, how: str, question: Question, selecting: Callable[[Database], Selection]) -> Result:
        seen_at = clock.stamp(clock.utc_now())  # the snapshot is taken after it, so it holds everything committed before
        with open_store(self.target, Mode.READ_ONLY) as db, collector_paused():
            selection = _traded(selecting(db)) if question.symbol else selecting(db)
            blocked = self._blocked(db, question, selection.parts)
            parts = [part for part in selection.parts if self.not_ready == "include" or not blocked.keys() & {*part.partitions}]
            rows = rows_of(db, question, selection.columns, parts)
            if not rows and question.symbol:
                _check_symbol(db, question.symbol)
            captures, mark = sources(db, (key for part in parts for key in part.captures)), checkpoint(db)
        partitions = sorted({*blocked, *(partition for part in parts for partition in part.partitions)})
        return Result(
            f"{self.text}.{how}", selection.columns, captures,
            readiness=tuple(Readiness(*each, each not in blocked, blocked.get(each)) for each in partitions),
            as_of=question.as_of, basis=_basis(selection.columns, rows), seen_at=seen_at, checkpoint=mark.line if mark else None,
            pruned=tuple(capture.capture_id for capture in selection.pruned), _rows=rows,
        )

    def _blocked(self, db: Database, question: Question, parts: Iterable[Part]) -> Mapping[Partition, str]:
        """What is not ready of what is asked for. Raises NotReady where that is to be refused."""
        if question.view is READINESS:
            return {}
        if self.not_ready == "include":
            with contextlib.suppress(NotFound):  # the log of events began later: then it is not known
                return blocking(db, _asked(question, parts), question.before)
            return {}
        blocked = blocking(db, _asked(question, parts), question.before)
        if blocked and self.not_ready == "refuse":
            named = [f"{week} / {tier} ({issues})" for (week, tier), issues in blocked.items()]
            more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
            raise NotReady(f"not ready: {', '.join(named[:_SHOWN])}{more}", hint='not_ready="omit", or not_ready="include"')
        return blocked


def plain_day(day: date) -> date:
    """The day of a date, or of a time (a datetime, a pandas Timestamp), which is one as well."""
    return date(day.year, day.month, day.day)


def _traded(selection: Selection) -> Selection:
    """Only the parts that have rows: of a symbol, the captures of its own tier."""
    parts = [part._replace(rows=list(part.rows)) for part in selection.parts]
    return selection._replace(parts=[part for part in parts if part.rows])


def _asked(question: Question, parts: Iterable[Part]) -> set[Partition]:
    """The partitions that the parts rest on; and of the weeks that are named, those that nothing is selected of."""
    selected = {partition for part in parts for partition in part.partitions}
    if question.weeks is None or question.view.of_window:
        return selected
    weeks = {str(week) for week in question.weeks} - ({week for week, _ in selected} if question.tiers == TIERS else set())
    return selected | {(week, tier) for week in weeks for tier in question.tiers}


def _check_symbol(db: Database, symbol: str) -> None:
    """Raises NotFound for a symbol that nothing is stored of, perhaps because it is written in another case."""
    if symbols.is_stored(db, symbol):
        return
    other = symbols.meant(db, symbol)
    if other:
        raise NotFound(f"there is no symbol {symbol!r}, and case matters", hint=f"symbol={other!r}")
    raise NotFound(f"nothing is stored of the symbol {symbol!r}", hint="store.hhi(every_symbol=True) has all symbols")


def _basis(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    """Which days the rows are dated by: those on which we held them, or, of releases of rows, those that FINRA declares."""
    if "held_from" not in columns:
        return OBSERVED
    at = columns.index("basis")
    return " and ".join(sorted({str(row[at]) for row in rows})) or OBSERVED
