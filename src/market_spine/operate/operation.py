"""What an operator's command that changes something is wrapped in: the store, an execution row, and an action with its reason."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime

from market_spine import clock, executions
from market_spine.app.report import entry
from market_spine.app.run import Expectations, Limits, Run
from market_spine.db import Connection, Database, writing
from market_spine.lock import run_lock
from market_spine.outcome import Outcome, Status
from market_spine.store import open_store, reading
from market_spine.timeline import PRESENT, Permits

_LOCK_WAIT_SECONDS = 3.0


@contextlib.contextmanager
def changing(target: str, now: datetime) -> Iterator[Database]:
    """The database for a change that is no run, with the lock. Raises RunLocked when a run keeps it for long."""
    owner = executions.new_execution_id(clock.utc_now())
    with open_store(target, now) as db, run_lock(db, owner, wait_seconds=_LOCK_WAIT_SECONDS):
        yield db


@contextlib.contextmanager
def looking(target: str, run_date: date, now: datetime, expected: Expectations | None = None) -> Iterator[Run]:
    """A run that only looks: on one moment of the database, without a row of its own. Raises ConfigurationError without one."""
    with reading(target) as db:
        yield Run(db, run_date, now, "", expected=expected or Expectations())


@contextlib.contextmanager
def execution(
    target: str,
    pipeline: str,
    run_date: date,
    now: datetime,
    arguments: Mapping[str, object],
    *,
    limits: Limits | None = None,
    expected: Expectations | None = None,
    force: bool = False,
    create: bool = False,
    permits: Permits = PRESENT,
    ends_with: Callable[[], int] | None = None,
) -> Iterator[tuple[Run, list[Outcome]]]:
    """A run on that database with the lock and its row in core_executions; the outcomes put into the list are what the row keeps.

    `ends_with` is the exit code of a command with a rule of its own. Raises RunLocked when another run keeps the lock for long.
    """
    with open_store(target, now, create=create) as db:
        run = Run(
            db, run_date, now, executions.new_execution_id(clock.utc_now()), limits=limits or Limits(), force=force,
            expected=expected or Expectations(), as_observed=permits.past, present=clock.utc_now() if permits.past else None,
        )  # fmt: skip
        outcomes: list[Outcome] = []
        with run_lock(db, run.execution_id, wait_seconds=_LOCK_WAIT_SECONDS):
            ledger = (run.execution_id, pipeline, run_date, arguments)
            with executions.recorded(db, *ledger, clock.exact_now, permits):
                yield run, outcomes
            code = ends_with() if ends_with else exit_code(outcomes)
            executions.end(db, run.execution_id, code, clock.exact_now(), outcomes=document(outcomes))


def document(outcomes: list[Outcome]) -> dict[str, object]:
    """The outcomes as a weekly run's JSON document has them."""
    return {"partitions": [entry(outcome) for outcome in outcomes]}


def exit_code(outcomes: list[Outcome]) -> int:
    """1 when anything failed."""
    return int(any(outcome.status is Status.FAILED for outcome in outcomes))


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
    """Who changed what, and why, in core_operator_actions; without `actor` it is whoever runs this process."""
    with writing(connection):
        connection.execute(
            "INSERT INTO core_operator_actions (at, actor, action, target, reason, details_json) VALUES (?, ?, ?, ?, ?, ?)",
            (clock.stamp(now), actor or executions.actor(), action, target, reason, json.dumps(details) if details else None),
        )
