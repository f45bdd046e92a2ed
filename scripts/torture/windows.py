"""Random histories of a tier: captured, restated, replayed, held, released, withdrawn, undone, pruned, gaps and killed runs.

After each step, what was stored is unchanged, what was answered on every earlier day still is, the log adds up to the tables,
and what was made step by step equals what is made from nothing, byte for byte.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from stand_ins.postgres_server import Databases, PostgresServer, required_binaries

from market_spine import clock
from market_spine.app import windows
from market_spine.app.context import Limits, Run
from market_spine.app.plan import Plan
from market_spine.app.scheduler import run_schedule
from market_spine.app.source.files import FileSource, stem
from market_spine.core import events, replay
from market_spine.core import windows as tables
from market_spine.db import Database, connect
from market_spine.db.migrations import prepare
from market_spine.errors import NotFound
from market_spine.operate import hold, prune, rollback
from market_spine.partition import OTC, Partition
from market_spine.query import answer
from market_spine.query.answer import Question
from market_spine.query.views import VIEWS

LENGTHS = (2, 3)
WEEKS = tuple(date(2025, 11, 28) + timedelta(weeks=n) for n in range(5))
ROLLING = tuple(view for view in VIEWS.values() if view.of_window)
TABLES = ("", "_input", "_tier", "_venue", "_progress")
HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|totalWeeklyShareQuantity|"
    "totalWeeklyTradeCount|lastUpdateDate"
)
Printed = dict[str, list[tuple[Any, ...]]]
_weeks, _contents = st.sampled_from(WEEKS), st.integers(0, 3)


class Killed(BaseException):
    """The process ends here."""


class Windows(RuleBasedStateMachine):
    """A store of its own and a folder; each step is on the next day."""

    store: Callable[[], contextlib.AbstractContextManager[str]]

    def __init__(self) -> None:
        super().__init__()
        self._exits = contextlib.ExitStack()
        self.folder = Path(self._exits.enter_context(tempfile.TemporaryDirectory()))
        target = self._exits.enter_context(type(self).store())
        self.db: Database = self._exits.enter_context(contextlib.closing(connect(target)))
        self.day = date(2026, 2, 2)
        tables.follow(self.db, 0, LENGTHS)
        self.stored: dict[int, Any] = {}
        self.printed: dict[date, Printed] = {}

    def teardown(self) -> None:
        """The whole history at the end."""
        try:
            self._next()
            self._run()  # completes what a killed run left
            for day, printed in self.printed.items():
                now = shown(self.db, day)
                assert {view: now[view] for view in printed} == printed, day
            assert replay.differences(self.db, replay.replay(events.lines(self.db))) == []
            before = shown(self.db)
            assert latest(self.db) == {view: {row for row in rows if row[0] is not None} for view, rows in before.items()}
            for table in TABLES:
                self.db.execute(f"DELETE FROM finra_otc_transparency_window{table}")
            tables.follow(self.db, 0, LENGTHS)
            windows.follow(self.context(), WEEKS[0])
            assert shown(self.db) == before
        finally:
            self._exits.close()

    @rule(week=_weeks, content=_contents)
    def capture(self, week: date, content: int) -> None:
        """A new week, a restatement, or nothing new; a week that is never captured is a gap."""
        self._next()
        self._publish(week, content)
        self._run()

    @rule(week=_weeks, first=_contents, second=_contents)
    def replay(self, week: date, first: int, second: int) -> None:
        """Two contents on one day: the second replaces the rows of the first."""
        self.capture(week, first)
        self.stored = {}
        self._publish(week, second)
        self._run()

    @rule(week=_weeks, content=_contents, survive=st.integers(0, 3))
    def kill(self, week: date, content: int, survive: int) -> None:
        """A run that is killed before its windows are made, or while they are."""
        self._next()
        self._publish(week, content)
        with killed_after(survive), contextlib.suppress(Killed):
            self._run()
        self.db.rollback()

    @rule(week=_weeks)
    def withdraw(self, week: date) -> None:
        """The current capture of a week is withdrawn."""
        self._next()
        with contextlib.suppress(NotFound):
            rollback.roll_back(self.context(), week, (OTC,), "why")

    @rule(week=_weeks)
    def undo(self, week: date) -> None:
        """The withdrawal is undone."""
        self._next()
        with contextlib.suppress(NotFound):
            rollback.undo(self.context(), week, (OTC,), "why not")

    @rule(week=_weeks)
    def hold(self, week: date) -> None:
        """The current capture of a week is held: the one before it is current again."""
        self._next()
        with contextlib.suppress(NotFound):
            hold.hold(self.context(), week, OTC, "why")

    @rule(week=_weeks)
    def release(self, week: date) -> None:
        """What is held of a week is current again."""
        self._next()
        with contextlib.suppress(NotFound):
            hold.release(self.context(), week, OTC, "why not")

    @rule()
    def prune(self) -> None:
        """Whatever is not needed is pruned. What was answered of symbols is no longer."""
        self._next()
        if prune.prune(self.context(), 3, "space"):
            for printed in self.printed.values():
                printed.pop("rolling_symbol", None)

    @invariant()
    def nothing_stored_has_changed(self) -> None:
        """A row once made stays as it is; what was answered today is kept for the end."""
        now = stored(self.db)
        assert {key: now.get(key) for key in self.stored} == self.stored
        self.stored = now
        self.printed[self.day] = shown(self.db)

    def context(self) -> Run:
        return Run(self.db, self.day, clock.moment_of(self.day), "run", limits=Limits(min_kept_ratio=0, accept_shrink=True))

    def _next(self) -> None:
        self.day += timedelta(days=1)

    def _publish(self, week: date, content: int) -> None:
        shares = [100 + 31 * content * n + week.day for n in range(3 - content % 2)]
        rows = [f"OTC|S{n}|Name {n}|V{n}|MP0{n}|{each}|{n + 1}|2026-01-15" for n, each in enumerate(shares)]
        path = self.folder / f"{stem(Partition(week, OTC))}.psv"
        path.write_text("\n".join([HEADER, *rows]) + "\n", "utf-8")

    def _run(self) -> None:
        source = FileSource(str(self.folder), max_bytes=1 << 20)
        run_schedule(self.context(), source, Plan(WEEKS, (OTC,)), lambda outcome: None)


@contextlib.contextmanager
def killed_after(survive: int) -> Iterator[None]:
    """The process is killed when it computes this many windows more."""
    real, left = windows._compute, [survive]

    def compute(*arguments: Any) -> None:
        if not left[0]:
            raise Killed
        left[0] -= 1
        real(*arguments)

    with mock.patch.object(windows, "_compute", compute):
        yield


def shown(db: Database, day: date | None = None) -> Printed:
    """Every rolling view, as of a day."""
    return {view.name: list(answer.answer(db, Question(view, as_of=day))) for view in ROLLING}


def latest(db: Database) -> dict[str, set[tuple[Any, ...]]]:
    """The rows of the `_latest` views."""
    return {
        view.name: set(
            map(tuple, db.execute(f"SELECT {view.column_names} FROM finra_otc_transparency_{view.name}_latest").fetchall())
        )
        for view in ROLLING
    }


def stored(db: Database) -> dict[int, Any]:
    """All that is stored of every window, by its key."""
    rows: dict[int, Any] = {}
    for table in TABLES[:-1]:
        for key, *facts in db.execute(f"SELECT * FROM finra_otc_transparency_window{table} ORDER BY 1, 2"):
            rows.setdefault(key, []).append(facts)
    return rows


@contextlib.contextmanager
def files() -> Iterator[Callable[[], contextlib.AbstractContextManager[str]]]:
    """Makes SQLite stores, each a copy of an empty one."""
    with tempfile.TemporaryDirectory(prefix="windows_") as folder:
        template, path = Path(folder) / "template.db", Path(folder) / "store.db"
        with contextlib.closing(connect(str(template))) as db:
            prepare(db)

        @contextlib.contextmanager
        def store() -> Iterator[str]:
            for ending in ("-wal", "-shm"):
                Path(f"{path}{ending}").unlink(missing_ok=True)
            shutil.copyfile(template, path)
            yield str(path)

        yield store


@contextlib.contextmanager
def databases() -> Iterator[Callable[[], contextlib.AbstractContextManager[str]]]:
    """Makes PostgreSQL databases, each a copy of an empty one, on a server of their own."""
    with PostgresServer(required_binaries()) as server, contextlib.closing(Databases(server.url)) as made:
        template = made.create()
        with contextlib.closing(connect(template)) as db:
            prepare(db)

        @contextlib.contextmanager
        def store() -> Iterator[str]:
            url = made.create(template)
            yield url
            made.drop(url)

        yield store


STORES = {"sqlite": files, "postgresql": databases}


def play(engine: str, sequences: int, start: int, steps: int = 12, shrinks: bool = True) -> None:
    """Plays random sequences, each in a store of its own. Raises what was wrong, in the shortest sequence if it `shrinks`."""
    with STORES[engine]() as store:
        machine = type("Machine", (Windows,), {"store": staticmethod(store)})
        limits = settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        )
        run_state_machine_as_test(seed(start)(machine), settings=limits)
