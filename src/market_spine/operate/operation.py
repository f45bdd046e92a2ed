"""The one frame for everything that runs and changes what is stored: the weekly run and the commands of an operator."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple, Protocol

from market_spine import clock, exit_rule
from market_spine.app.context import Expectations, Limits, Run
from market_spine.app.report import entry
from market_spine.core import executions
from market_spine.core.checkpoint import checkpoint
from market_spine.core.locks import LEASE_SECONDS, run_lock
from market_spine.core.past import store_before
from market_spine.core.store import Mode, open_for_dry_run, open_store
from market_spine.core.timeline import PRESENT, Permits
from market_spine.db import Connection, Database, writing
from market_spine.outcome import Outcome
from market_spine.partition import Partition
from market_spine.query import as_of

_LOCK_WAIT_SECONDS = 3.0


class Task(NamedTuple):
    """What is to run: where, as which pipeline, on which day, and with what; `arguments` are what core_executions keeps."""

    target: str
    pipeline: str
    run_date: date
    now: datetime
    arguments: Mapping[str, object]
    limits: Limits = Limits()
    expected: Expectations = Expectations()
    force: bool = False
    permits: Permits = PRESENT
    mode: Mode = Mode.EXISTING
    lock_wait: float = _LOCK_WAIT_SECONDS
    lock_lease: float = LEASE_SECONDS

    @property
    def recorded(self) -> Mapping[str, object]:
        """The arguments, with the day that archived files were loaded under: a retry loads them under the same."""
        return {**self.arguments, "as_observed_on": str(self.run_date)} if self.permits.past else self.arguments


@dataclass(slots=True)
class Operation:
    """A running task and its results: the outcomes, and whatever else decides its exit code."""

    run: Run
    outcomes: list[Outcome] = field(default_factory=list)
    asked: Collection[Partition] | None = None  # the partitions to work on; None: those with an outcome
    code: int | None = None  # the exit code, where it does not follow from the outcomes
    report: Mapping[str, object] | None = None  # what core_executions keeps instead of the outcomes alone
    summary: str = ""
    checkpoint: str = ""  # how far the log of events goes at its end

    @property
    def exit_code(self) -> int:
        """The exit code of the process, also stored in core_executions."""
        return exit_rule.of_outcomes(self.outcomes, self.asked) if self.code is None else self.code

    def document(self) -> dict[str, object]:
        """The outcomes as a weekly run's JSON document has them."""
        return {"partitions": [entry(outcome) for outcome in self.outcomes]}


class Observer(Protocol):
    """Is called before and after an operation, while its database is open."""

    def began(self, run: Run) -> None: ...

    def ended(self, db: Database, exit_code: int, summary: str) -> None: ...


@contextlib.contextmanager
def operation(task: Task, observer: Observer | None = None) -> Iterator[Operation]:
    """What every change to the store is wrapped in:

    1. open the database; it is created only where the task says so;
    2. take the run lock: from here on each transaction is fenced by it;
    3. notify the observer that the operation began;
    4. check that its day may be acted on, and write its row in core_executions;
    5. run the body, which adds its outcomes to the operation;
    6. write how it ended, with the exit code of the process;
    7. release the lock;
    8. notify the observer how it ended, and close the database.

    When the body raises, 6 writes the error with its exit code, and 8 is left to the caller. Raises RunLocked when another run
    keeps the lock for too long, PastDay and FutureDay.
    """
    with open_store(task.target, task.mode, task.now) as db:
        done = Operation(run_of(task, db))
        run = done.run
        db.execution_id = run.execution_id
        with run_lock(db, run.execution_id, wait_seconds=task.lock_wait, lease_seconds=task.lock_lease):
            if observer is not None:
                observer.began(run)
            ledger = (run.execution_id, task.pipeline, task.run_date, task.recorded)
            with executions.recorded(db, *ledger, clock.exact_now, task.permits):
                yield done
            executions.end(db, run.execution_id, done.exit_code, clock.exact_now(), outcomes=done.report or done.document())
            made = checkpoint(db)
            done.checkpoint = made.line if made else ""
        if observer is not None:
            observer.ended(db, done.exit_code, f"{done.summary}\nCheckpoint: {done.checkpoint}".strip())


@contextlib.contextmanager
def foreseen(task: Task) -> Iterator[Operation]:
    """A dry run of the phases: the same body on a snapshot, in which each phase foresees what it would write."""
    with open_for_dry_run(task.target) as db:
        yield Operation(run_of(task, db, dry=True))


@contextlib.contextmanager
def undone(task: Task) -> Iterator[Operation]:
    """A dry run of what only changes what is stored: the same body, under the lock, rolled back at its end."""
    with open_store(task.target, task.mode, task.now) as db:
        done = Operation(run_of(task, db))
        with run_lock(db, done.run.execution_id, wait_seconds=task.lock_wait), contextlib.suppress(_Undone), db.transaction():
            yield done
            raise _Undone


class _Undone(Exception):
    """Ends the transaction of a dry run."""


def run_of(task: Task, db: Database, *, dry: bool = False) -> Run:
    """The run that is passed to the phases; a run that acts on a past day evaluates readiness by the present."""
    return Run(
        db, task.run_date, task.now, executions.new_execution_id(clock.utc_now()), limits=task.limits, force=task.force,
        expected=task.expected, as_observed=task.permits.past, present=clock.utc_now() if task.permits.past else None, dry=dry,
    )


@contextlib.contextmanager
def changing(target: str, now: datetime) -> Iterator[Database]:
    """The database with its lock, for a change outside a run. Raises RunLocked when a run keeps the lock for too long."""
    owner = executions.new_execution_id(clock.utc_now())
    with open_store(target, Mode.EXISTING, now) as db, run_lock(db, owner, wait_seconds=_LOCK_WAIT_SECONDS):
        yield db


@contextlib.contextmanager
def looking(target: str, run_date: date, now: datetime, expected: Expectations | None = None) -> Iterator[Run]:
    """A read-only run on a snapshot, without a row in core_executions. Raises ConfigurationError where no database exists."""
    with open_store(target, Mode.READ_ONLY) as db:
        yield Run(db, run_date, now, "", expected=expected or Expectations())


@contextlib.contextmanager
def looking_back(target: str, day: date, expected: Expectations | None = None) -> Iterator[Run]:
    """A run that only looks at the store as it was known at the end of a day in New York. Raises NotFound before the log."""
    with open_store(target, Mode.READ_ONLY) as db, store_before(db, as_of.end_of(day)) as past:
        yield Run(past, day, clock.moment_of(day), "", expected=expected or Expectations())


def record_action(
    connection: Connection,
    action: str,
    target: str,
    reason: str,
    now: datetime,
    details: Mapping[str, object] | None = None,
    *,
    actor: str | None = None,
) -> None:
    """Records who changed what and why in core_operator_actions; `actor` defaults to the user of this process."""
    with writing(connection):
        connection.execute(
            "INSERT INTO core_operator_actions (at, actor, action, target, reason, details_json) VALUES (?, ?, ?, ?, ?, ?)",
            (clock.stamp(now), actor or executions.actor(), action, target, reason, json.dumps(details) if details else None),
        )
