"""Workers beside a run that holds the lock: only what is of one week waits, and nothing is done twice."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from support.desk import FRIDAYS, WEEK, Desk
from support.fenced_notes import fenced
from support.gates import DEADLINE
from support.work_asked import NOW, at

from market_spine.app import calc, ingest, normalize
from market_spine.app.context import Run
from market_spine.core import manifest
from market_spine.core.locks import run_lock
from market_spine.db import Database
from market_spine.errors import DatabaseLocked
from market_spine.outcome import Outcome, Status
from market_spine.partition import OTC, TIERS, Partition, week_lock
from market_spine.work import lease, queue
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item, Lease, Request, State
from market_spine.work.worker import Settings, Worker

PARTITION = Partition(WEEK, OTC)
OTHER_WEEK = WEEK - timedelta(weeks=1)
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)


def counted(db: Database) -> dict[str, int]:
    """The rows of every table."""
    return {table: db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in db.tables()}


def ingesting(run: Run, desk: Desk) -> Callable[[], Outcome]:
    decision = ingest.decide(run, desk.source(), PARTITION)
    return lambda: ingest.carry_out(run, decision)


def normalizing(run: Run, desk: Desk) -> Callable[[], Outcome]:
    desk.run(weeks=[WEEK], tiers=[OTC], only="ingest")
    (capture,) = normalize.pending(run, PARTITION)
    return lambda: normalize.normalize(run, capture)


def measuring(run: Run, desk: Desk) -> Callable[[], Outcome]:
    for stage in ("ingest", "normalize"):
        desk.run(weeks=[WEEK], tiers=[OTC], only=stage)
    (capture,) = calc.pending(run, PARTITION)
    return lambda: calc.measure(run, capture)


@pytest.mark.parametrize("begin", [ingesting, normalizing, measuring])
def test_what_somebody_else_has_done_since_we_looked_is_not_done_again(
    db: Database, tmp_path: Path, begin: Callable[[Run, Desk], Callable[[], Outcome]]
) -> None:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    carry_on = begin(desk.context(), desk)
    desk.run()
    before = manifest.week_rows(WEEK, db), counted(db)["core_events"]
    assert carry_on().status is Status.SKIPPED
    assert (manifest.week_rows(WEEK, db), counted(db)["core_events"]) == before


def test_a_week_that_somebody_else_has_made_since_we_looked_is_not_made_again(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    for tier in TIERS:
        for stage in ("ingest", "normalize"):
            desk.run(tiers=[tier], only=stage)
        for capture in calc.pending(desk.context(), Partition(WEEK, tier)):
            calc.measure(desk.context(), capture)
    look, looks = calc._look_at_week, itertools.count()

    def looked(run: Run, week: date) -> object:
        result = look(run, week)
        if next(looks) == 0:
            desk.run()
        return result

    monkeypatch.setattr(calc, "_look_at_week", looked)
    assert calc.measure_week(desk.context(), WEEK).status is Status.SKIPPED


def test_another_content_that_came_since_we_looked_keeps_its_number(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    desk.publish(WEEK, OTC)
    ours = ingest.decide(desk.context(), desk.source(), PARTITION)
    desk.publish(WEEK, OTC, [("AAPL", "UBSA", "UBS ATS", 7, 1)])
    desk.run(tiers=[OTC])
    assert ingest.carry_out(desk.context(), ours).status is Status.DONE
    rows = [row for row in manifest.week_rows(WEEK, db) if row.stage == manifest.RAW]
    assert [row.metadata["ingest_no"] for row in rows] == [2]


@on_postgresql
@pytest.mark.parametrize(
    ("week", "waits"),
    [
        pytest.param(WEEK, True, id="the same week"),
        pytest.param(OTHER_WEEK, False, id="another week"),
        pytest.param(None, True, id="every week"),
    ],
)
def test_a_run_waits_for_an_item_of_its_week_only(db: Database, week: date | None, waits: bool) -> None:
    item, other = ItemTransaction(db, serial=week_lock(WEEK)), db.reopen()
    other.execute("SET lock_timeout = '50ms'")
    try:
        with run_lock(other, "a run"), item.committing(lambda: None):
            item.begin()
            other.serial = week_lock(week) if week else ""
            try:
                with other.transaction():
                    waited = False
            except DatabaseLocked:
                waited = True
    finally:
        other.close()
    assert waited is waits


@on_postgresql
def test_the_heartbeat_of_a_run_does_not_wait_for_an_item(db: Database) -> None:
    item, other = fenced(db), db.reopen()
    try:
        with run_lock(other, "a run"), item.committing(lambda: None):
            item.begin()
            other.execute("SET lock_timeout = '50ms'")
            beaten = other.execute("UPDATE core_locks SET heartbeat_at = heartbeat_at WHERE name = 'run'")
            assert beaten.rowcount == 1
    finally:
        other.close()


@on_postgresql
def test_a_living_item_that_thinks_for_longer_than_its_lease_is_not_terminated(
    target: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats, enough, beat = itertools.count(1), threading.Event(), lease.beat

    def counting(*given: object) -> bool:
        if next(beats) == 8:  # at five a lease: longer than one
            enough.set()
        return beat(*given)  # type: ignore[arg-type]

    def thinking(transaction: ItemTransaction, _item: Item, _now: datetime) -> Sequence[Outcome]:
        transaction.begin()
        assert enough.wait(DEADLINE)
        transaction.execute("SELECT 1")
        return []

    monkeypatch.setattr(lease, "beat", counting)
    (one,) = queue.enqueue(db, [Request("ingest_week", WEEK, OTC)], db.now())
    Worker(target, thinking, Settings(once=True, lease=Lease(timedelta(seconds=3)))).run()
    done = queue.find(db, one.item.id)
    assert (done.state, done.attempt_count) == (State.COMPLETE, 1)


@on_postgresql
def test_who_reclaims_an_item_ends_the_transaction_of_its_silent_worker(db: Database) -> None:
    (one,) = queue.enqueue(db, [Request("ingest_week", WEEK, OTC)], NOW)
    silent = db.reopen()
    silent.name_session(lease.session_of("host:1:aa"))
    claimed = lease.claim(silent, one.item.id, "host:1:aa", NOW)
    assert claimed is not None
    transaction = ItemTransaction(silent, serial=week_lock(WEEK))
    transaction.begin()
    lease.complete(silent, claimed, NOW)  # and is stopped before it commits
    db.execute(f"SET lock_timeout = '{DEADLINE:.0f}s'")
    (reclaimed,) = lease.sweep(db, lease.Watch(Lease(), patience=0), at(31), 0)
    assert (reclaimed.id, reclaimed.state) == (one.item.id, State.PENDING)
    silent.close()


@on_postgresql
def test_a_worker_does_not_end_its_own_sessions_for_an_item_it_does_not_know_of(db: Database) -> None:
    (one,) = queue.enqueue(db, [Request("ingest_week", WEEK, OTC)], NOW)
    mine = db.reopen()
    mine.name_session(lease.session_of("host:1:aa"))
    assert lease.claim(mine, one.item.id, "host:1:aa", NOW) is not None  # and a server that crashed forgot that it was settled
    (reclaimed,) = lease.sweep(db, lease.Watch(Lease(), patience=0), at(31), 0, "host:1:aa")
    assert (reclaimed.id, reclaimed.state) == (one.item.id, State.PENDING)
    assert mine.execute("SELECT 1").fetchone() == (1,)
    mine.close()


def test_items_are_claimed_by_priority_then_by_the_day_they_are_desired(db: Database) -> None:
    requests = [
        Request("ingest_week", WEEK - timedelta(weeks=n), OTC, desired_at=at(-(n * 7 % 10)), priority=n % 3) for n in range(30)
    ]
    for request in requests:
        queue.enqueue(db, [request], NOW)
    claimed = [lease.claim_next(db, "host:1:aa", NOW) for _ in requests]
    order = [(-item.priority, item.desired_at) for item in claimed if item is not None]
    assert len(order) == len(requests)
    assert order == sorted(order)


def test_a_list_is_worked_off_tier_after_tier(db: Database) -> None:
    weeks = [WEEK - timedelta(weeks=n) for n in range(3)]
    queue.enqueue(db, [Request("ingest_week", week, tier) for week in weeks for tier in TIERS], NOW)
    claimed = [lease.claim_next(db, "host:1:aa", NOW) for _ in range(9)]
    assert [item.tier for item in claimed if item is not None] == sorted(TIERS * 3)


@on_postgresql
def test_two_claims_at_once_take_two_items(db: Database) -> None:
    queue.enqueue(db, [Request("ingest_week", WEEK, tier) for tier in TIERS], NOW)
    other = db.reopen()
    try:
        with db.transaction():
            first = lease.claim_next(db, "host:1:aa", NOW)
            second = lease.claim_next(other, "host:2:bb", NOW)
    finally:
        other.close()
    assert first is not None
    assert second is not None
    assert first.id != second.id


@on_postgresql
def test_whoever_makes_an_item_due_notifies_the_workers(db: Database) -> None:
    waiting = db.reopen()
    try:
        assert waiting.notified("market_spine_work", 0)  # it begins to listen
        (one,) = queue.enqueue(db, [Request("ingest_week", FRIDAYS[0] - timedelta(weeks=6), OTC)], NOW)
        assert waiting.notified("market_spine_work", DEADLINE)
        queue.cancel(db, [one.item.id], NOW)
        queue.retry(db, [one.item.id], NOW)
        assert waiting.notified("market_spine_work", DEADLINE)
    finally:
        waiting.close()
