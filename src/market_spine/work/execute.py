"""Runs one claimed item and settles it: its new state is committed together with what it wrote."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import partial

from market_spine import clock
from market_spine.app.context import Limits, Run
from market_spine.app.source import Source
from market_spine.calendar import publication
from market_spine.core import manifest
from market_spine.core.timeline import check_day
from market_spine.db import Database
from market_spine.errors import (
    DatabaseError,
    DatabaseLocked,
    DatabaseLost,
    Interrupted,
    MarketSpineError,
    PartitionError,
    PrerequisiteMissing,
    TimeUp,
)
from market_spine.outcome import Outcome, Status
from market_spine.partition import Partition
from market_spine.work import lease
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import RETRY_AFTER, Item, State, Verdict, after_failure, after_loss, after_waiting, given_back

log = logging.getLogger("market_spine.work")

# Runs an item's pipeline on the given database, and returns the outcomes. `now` is the time of the claim.
Perform = Callable[[ItemTransaction, Item, datetime], Sequence[Outcome]]


@dataclass(frozen=True, slots=True)
class Pipelines:
    """Runs an item's pipeline. `open_source` is called only for a pipeline that needs one: with the address that the item
    names, or None."""

    open_source: Callable[[str | None], Source]
    limits: Limits = field(default_factory=Limits)

    def __call__(self, db: ItemTransaction, item: Item, now: datetime) -> Sequence[Outcome]:
        from market_spine.app import pipelines

        params = item.params
        run_date = params.run_date or clock.market_date(now)
        moment = clock.moment_of(run_date) if params.run_date else now
        check_day(db.database, run_date, clock.market_date(now))
        run = Run(db.database, run_date, moment, str(item.current_execution_id), limits=self.limits, force=params.force)
        source = self.open_source(params.file_url) if pipelines.needs_source(item.pipeline) else None
        if source is not None:
            db.on_abandon(source.stop)
        if pipelines.find(item.pipeline).reads_rows:
            db.begin()  # what it reads must still be true when it writes; the others fetch or read a file first, without a lock
        try:
            return pipelines.run_pipeline(item.pipeline, run, source, item.week_ending, item.tier)
        finally:
            if source is not None:
                source.close()


def execute(
    db: Database, transaction: ItemTransaction, item: Item, perform: Perform, retry_after: timedelta = RETRY_AFTER
) -> State | None:
    """Executes an item this worker has claimed and returns its new state; None when another worker holds it by now.

    Raises DatabaseLost or DatabaseLocked when the new state could not be written: then the lease will expire.
    """
    settled: list[State] = []
    try:
        with transaction.committing(lambda: settled.append(_settle(db, item, done, retry_after))):
            done = _perform(transaction, item, perform)
        return settled[0]
    except lease.LeaseLost:
        return _lost(item)
    except (Exception, Interrupted) as error:
        return settle_error(db, item, transaction.abandoned or error, retry_after)


def _perform(transaction: ItemTransaction, item: Item, perform: Perform) -> Sequence[Outcome] | PrerequisiteMissing:
    """The outcomes, or the missing prerequisite. That is checked a second time with the transaction open, so that its
    completion cannot be missed: either it is seen here, or it finds this item waiting and wakes it."""
    now = datetime.fromisoformat(str(item.locked_at))
    with contextlib.suppress(PrerequisiteMissing):
        return perform(transaction, item, now)
    transaction.begin()
    try:
        return perform(transaction, item, now)
    except PrerequisiteMissing as missing:
        return missing


def _settle(db: Database, item: Item, done: Sequence[Outcome] | PrerequisiteMissing, retry_after: timedelta) -> State:
    """Inside the item's transaction: COMPLETE, or the state that follows from its outcomes."""
    now = db.now()
    verdict = judge(item, done, now, retry_after)
    if verdict is None:
        lease.complete(db, item, now)
        log.info("%s: done", item.where, extra=_facts("work_complete", item))
        return State.COMPLETE
    lease.settle(db, item, verdict, now)
    _log_verdict(item, verdict)
    return verdict.state


def judge(
    item: Item, done: Sequence[Outcome] | PrerequisiteMissing, now: datetime, retry_after: timedelta = RETRY_AFTER
) -> Verdict | None:
    """None when all went well; a failure is retried, and an item waits for what is not computed or published yet."""
    if isinstance(done, PrerequisiteMissing):
        return after_waiting(item, f"{done.message}; created by: {done.hint}", now, None, retry_after, done.stage)
    failed = [outcome for outcome in done if outcome.status is Status.FAILED]
    if failed:
        return after_failure(item, "; ".join(f"{o.where}: {o.message}" for o in failed), now, retry_after)
    absent = [outcome for outcome in done if outcome.status in (Status.AWAITING, Status.LATE)]
    if absent:
        why = "; ".join(f"{o.where}: {o.message}" for o in absent)
        return after_waiting(item, why, now, _due(absent), retry_after, manifest.RAW)
    return None


def _due(absent: Sequence[Outcome]) -> datetime | None:
    """Midnight in New York of the day on which the last of them is published."""
    days = [publication.due_date(Partition(o.week_ending, o.tier)) for o in absent if o.tier is not None]
    return datetime.combine(max(days), time(), clock.market_zone()) if days else None


def settle_error(
    db: Database, item: Item, error: Exception | Interrupted, retry_after: timedelta = RETRY_AFTER
) -> State | None:
    """Settles an item whose writes have been rolled back. Raises DatabaseLost, DatabaseLocked."""
    for last in (False, True):
        try:
            db.reconnect()
            now = db.now()
            verdict = _verdict(item, error, now, retry_after)
            lease.settle(db, item, verdict, now)
        except lease.LeaseLost:
            return _lost(item)
        except DatabaseError:  # when the item was abandoned, the interruption may come this late
            if last:
                raise
        else:
            _log_verdict(item, verdict, error)
            return verdict.state
    raise AssertionError("unreachable")


def _verdict(item: Item, error: Exception | Interrupted, now: datetime, retry_after: timedelta) -> Verdict:
    if isinstance(error, TimeUp):
        return after_failure(item, error.message, now, retry_after)
    if isinstance(error, (Interrupted, DatabaseLocked)):
        return given_back()
    if isinstance(error, DatabaseLost):
        return after_loss(item, error.message)
    return after_failure(item, _message(error), now, retry_after)


def _message(error: Exception | Interrupted) -> str:
    if isinstance(error, PartitionError):
        return f"{error.category}: {error.message}"
    return error.message if isinstance(error, MarketSpineError) else f"{type(error).__name__}: {error}"


def _log_verdict(item: Item, verdict: Verdict, error: Exception | Interrupted | None = None) -> None:
    unexpected = error is not None and not isinstance(error, (MarketSpineError, Interrupted))
    failed = verdict.counts and verdict.why is not None
    write = partial(log.log, logging.ERROR if verdict.state is State.FAILED else logging.WARNING if failed else logging.INFO)
    then = f", again at {verdict.not_before_stamp}" if verdict.not_before else ""
    write(
        "%s: %s%s%s", item.where, verdict.state.value, f" ({verdict.reason})" if verdict.reason else "", then,
        extra=_facts(f"work_{verdict.state.value.lower()}", item, error=verdict.reason), exc_info=error if unexpected else None,
    )


def _lost(item: Item) -> State | None:
    """Another worker holds the item now, or nobody does."""
    log.warning("%s: the lease was lost, rolled back", item.where, extra=_facts("work_lost", item))
    return None


def _facts(event: str, item: Item, **more: object) -> dict[str, object]:
    return {
        "event": event, "work_item": item.id, "pipeline": item.pipeline, "week": str(item.week_ending), "tier": item.tier,
        "execution_id": item.current_execution_id, "attempt": item.attempt_count, **more,
    }
