"""One item from its pipeline to its settlement, on both engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from support.work_asked import NOW, WEEK, ask, at, request, take

from market_spine.categories import Category
from market_spine.db import Database
from market_spine.errors import DatabaseLocked, DatabaseLost, Interrupted, PrerequisiteMissing, SourceError, UsageError
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import Partition
from market_spine.work import lease, queue
from market_spine.work.execute import execute, judge
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item, Lease, State

PARTITION = Partition(WEEK, "OTC")  # due on 2026-01-26


def outcome(status: Status, message: str = "HTTP 503") -> Outcome:
    return Outcome.of(Phase.INGEST, status, PARTITION, message)


JUDGED = [
    ("done", [Status.DONE], None),
    ("unchanged", [Status.SKIPPED], None),
    ("with rejects", [Status.WARNING], None),
    ("a week not ready yet", [Status.DONE, Status.NOT_READY], None),
    ("failed", [Status.FAILED], (State.RETRY_WAIT, at(5), True, "2025-12-26 / OTC: HTTP 503")),
    ("one of two failed", [Status.DONE, Status.FAILED], (State.RETRY_WAIT, at(5), True, "2025-12-26 / OTC: HTTP 503")),
    ("not published yet: on its day in New York", [Status.AWAITING],
     (State.RETRY_WAIT, datetime.fromisoformat("2026-01-26T00:00:00-05:00"), False, "waits: 2025-12-26 / OTC: HTTP 503")),
]


@pytest.mark.parametrize(("statuses", "expected"), [j[1:] for j in JUDGED], ids=[j[0] for j in JUDGED])
def test_outcomes_are_judged(db: Database, statuses: list[Status], expected: tuple[object, ...] | None) -> None:
    (item,) = ask(db, request())
    verdict = judge(take(db, item), [outcome(status) for status in statuses], NOW)
    assert (verdict and (verdict.state, verdict.not_before, verdict.counts, verdict.why)) == expected


def test_late_data_is_asked_for_again_soon(db: Database) -> None:
    (item,) = ask(db, request())
    late = datetime.fromisoformat("2026-01-27T12:00:00+00:00")
    item = replace(take(db, item), desired_at=late.isoformat())
    verdict = judge(item, [outcome(Status.LATE)], late)
    assert verdict is not None
    assert (verdict.not_before, verdict.counts) == (late + timedelta(minutes=5), False)


Act = Callable[[ItemTransaction], Sequence[Outcome]]


def run(db: Database, act: Act, item: Item | None = None) -> tuple[State | None, Item]:
    """Executes an item whose pipeline is `act`; answers its new state and the ledger's row."""
    db.execute("CREATE TABLE IF NOT EXISTS note (says TEXT)")
    if item is None:
        (asked,) = ask(db, request())
        item = take(db, asked)
    state = execute(db, ItemTransaction(db, serial="x"), item, lambda transaction, _item, _now: act(transaction))
    return state, queue.find(db, item.id)


def noting(then: Act) -> Act:
    def act(transaction: ItemTransaction) -> Sequence[Outcome]:
        with transaction.transaction():
            transaction.execute("INSERT INTO note VALUES ('written')")
        return then(transaction)

    return act


def notes(db: Database) -> int:
    (count,) = db.execute("SELECT COUNT(*) FROM note").fetchone()
    return int(count)


def test_a_good_item_is_complete_together_with_its_rows(db: Database) -> None:
    state, item = run(db, noting(lambda _: [outcome(Status.DONE)]))
    assert (state, item.state, notes(db)) == (State.COMPLETE, State.COMPLETE, 1)
    assert item.completed_at is not None
    assert db.execute("SELECT exit_code FROM core_executions").fetchone() == (0,)


def test_a_failed_outcome_keeps_what_was_recorded_of_it(db: Database) -> None:
    state, item = run(db, noting(lambda _: [outcome(Status.FAILED)]))
    assert (state, item.state, notes(db)) == (State.RETRY_WAIT, State.RETRY_WAIT, 1)
    assert item.last_error == "2025-12-26 / OTC: HTTP 503"


def fails_with(error: BaseException) -> Act:
    def act(_: ItemTransaction) -> Sequence[Outcome]:
        raise error

    return noting(act)


RAISED = [
    ("a source that fails", SourceError(Category.SOURCE_UNAVAILABLE, "HTTP 503"), State.RETRY_WAIT, 1, "SOURCE_UNAVAILABLE: HTTP 503"),
    ("a setting", UsageError("there is no data folder x"), State.RETRY_WAIT, 1, "there is no data folder x"),
    ("a fault of the program", ZeroDivisionError("division by zero"), State.RETRY_WAIT, 1, "ZeroDivisionError: division by zero"),
    ("a lost database", DatabaseLost("the connection was lost"), State.PENDING, 1, "the connection was lost"),
    ("a locked database", DatabaseLocked("locked for 10 s"), State.PENDING, 0, None),
    ("a stop", Interrupted(15), State.PENDING, 0, None),
]


@pytest.mark.parametrize(("error", "state", "attempts", "told"), [r[1:] for r in RAISED], ids=[r[0] for r in RAISED])
def test_what_a_pipeline_raises_rolls_back_its_rows(
    db: Database, error: BaseException, state: State, attempts: int, told: str | None
) -> None:
    answered, item = run(db, fails_with(error))
    assert (answered, item.state, item.attempt_count, item.last_error) == (state, state, attempts, told)
    assert notes(db) == 0


def missing(_: ItemTransaction) -> Sequence[Outcome]:
    raise PrerequisiteMissing("prerequisite missing: RAW of X", hint="spine run ingest_week", stage="RAW")


def test_a_missing_prerequisite_is_waited_for_without_using_up_an_attempt(db: Database) -> None:
    state, item = run(db, missing)
    assert (state, item.state, item.attempt_count, item.waits_for) == (State.RETRY_WAIT, State.RETRY_WAIT, 0, "RAW")
    assert item.last_error == "waits: prerequisite missing: RAW of X; created by: spine run ingest_week"


def test_what_was_made_between_the_look_and_the_wait_is_found(db: Database) -> None:
    looks: list[str] = []

    def act(_: ItemTransaction) -> Sequence[Outcome]:
        looks.append("look")
        return missing(_) if len(looks) == 1 else [outcome(Status.DONE)]

    state, item = run(db, act)
    assert (state, item.state, len(looks)) == (State.COMPLETE, State.COMPLETE, 2)


def test_the_last_attempt_that_fails_is_final(db: Database) -> None:
    (item,) = ask(db, request(max_attempts=1))
    state, item = run(db, fails_with(ZeroDivisionError()), take(db, item))
    assert (state, item.state) == (State.FAILED, State.FAILED)


def test_a_worker_that_was_frozen_past_its_lease_writes_nothing(db: Database) -> None:
    (item,) = ask(db, request())
    frozen = take(db, item)
    lease.sweep(db, lease.Watch(Lease(), patience=0), at(31), 0)
    other = take(db, item, at(32))
    state, _ = run(db, noting(lambda _: [outcome(Status.DONE)]), frozen)
    assert (state, notes(db)) == (None, 0)
    state, item = run(db, noting(lambda _: [outcome(Status.DONE)]), other)
    assert (state, item.state, notes(db)) == (State.COMPLETE, State.COMPLETE, 1)


def test_a_worker_that_fails_after_it_lost_its_item_changes_nothing(db: Database) -> None:
    (item,) = ask(db, request())
    frozen = take(db, item)
    queue.cancel(db, [item.id], NOW)
    state, item = run(db, fails_with(ZeroDivisionError()), frozen)
    assert (state, item.state, item.last_error) == (None, State.CANCELLED, None)


def test_an_item_of_a_past_run_date_makes_that_days_captures(db: Database, tmp_path: object) -> None:
    from pathlib import Path

    from support.weekly_files import write_week

    from market_spine.app.source.files import FileSource
    from market_spine.work.execute import Pipelines
    from market_spine.work.item import Params

    folder = Path(str(tmp_path)) / "files"
    write_week(folder, "2025-12-26")
    (item,) = ask(db, request(params=Params(date(2026, 1, 2))))
    claimed = take(db, item)
    perform = Pipelines(lambda url: FileSource(str(folder), max_bytes=1 << 20))
    assert execute(db, ItemTransaction(db, serial="x"), claimed, perform) is State.COMPLETE
    found = db.execute("SELECT capture_id FROM finra_otc_transparency_capture").fetchall()
    assert [capture_id for (capture_id,) in found] == ["finra.otc_transparency:OTC:2025-12-26:20260102"]
