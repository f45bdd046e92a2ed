"""The ledger on both engines: asking for work, claiming, settling, taking back."""

from __future__ import annotations

import dataclasses
from datetime import date, datetime, timedelta

import pytest
from support.work_asked import NOW, ask, at, put_in, request, take

from market_spine.db import Database
from market_spine.errors import NotFound
from market_spine.partition import TIERS
from market_spine.work import lease, queue
from market_spine.work.item import Answer, Item, Lease, Params, Request, State, Verdict, given_back
from market_spine.work.queue import Filter

DOMAIN = "finra.otc_transparency"


def test_the_values_name_the_columns_in_the_order_of_the_table(db: Database) -> None:
    cursor = db.execute("SELECT * FROM core_work_items")
    assert [column[0] for column in cursor.description] == [f.name for f in dataclasses.fields(Item)]  # type: ignore[attr-defined]


def test_a_new_item_is_pending_and_due_at_once(db: Database) -> None:
    (item,) = ask(db, request(params=Params(date(2026, 1, 9)), priority=4))
    assert (item.state, item.desired_at, item.priority, item.attempt_count, item.max_attempts) == (
        State.PENDING, "2026-01-09T12:00:00+00:00", 4, 0, 3,
    )
    assert item.params == Params(date(2026, 1, 9))
    assert queue.find(db, item.id) == item


AGAIN = [
    (State.PENDING, Answer.EXISTING, Answer.EXISTING),
    (State.RUNNING, Answer.EXISTING, Answer.EXISTING),
    (State.RETRY_WAIT, Answer.EXISTING, Answer.EXISTING),
    (State.COMPLETE, Answer.REPORTED, Answer.RESET),
    (State.FAILED, Answer.REPORTED, Answer.RESET),
    (State.CANCELLED, Answer.REPORTED, Answer.RESET),
]


@pytest.mark.parametrize(("state", "plain", "rerun"), AGAIN, ids=[a[0].value for a in AGAIN])
def test_asking_for_an_item_that_exists(db: Database, state: State, plain: Answer, rerun: Answer) -> None:
    (item,) = ask(db, request())
    put_in(db, item, state)
    before = queue.find(db, item.id)
    (answered,) = queue.enqueue(db, [request(priority=9)], at(60))
    assert (answered.answer, answered.item) == (plain, before)
    (answered,) = queue.enqueue(db, [request(priority=9, rerun=True)], at(60))
    assert answered.answer is rerun
    if rerun is Answer.EXISTING:
        assert queue.find(db, item.id) == before
    else:
        anew = queue.find(db, item.id)
        assert (anew.state, anew.attempt_count, anew.priority, anew.completed_at) == (State.PENDING, 0, 9, None)
        assert anew.desired_at == "2026-01-09T13:00:00+00:00"


def test_a_list_is_answered_in_its_order_and_an_item_twice_in_it_is_made_once(db: Database) -> None:
    answers = queue.enqueue(db, [request("OTC"), request("NMS_TIER_1"), request("OTC")], NOW)
    assert [a.item.tier for a in answers] == ["OTC", "NMS_TIER_1", "OTC"]
    assert sorted(a.answer.value for a in answers) == ["created", "created", "existing"]


def test_a_list_with_a_fault_in_the_middle_makes_nothing(db: Database) -> None:
    bad = request()
    object.__setattr__(bad, "max_attempts", 0)
    with pytest.raises(Exception, match=r"(?i)check"):
        queue.enqueue(db, [request("NMS_TIER_1"), bad], NOW)
    assert queue.listed(db, Filter()).total == 0


def test_the_claim_takes_what_is_due_by_priority_then_time(db: Database) -> None:
    items = ask(
        db, request("OTC", desired_at=at(-10)), request("NMS_TIER_1", desired_at=at(-20)),
        request("NMS_TIER_2", priority=1), request("OTC", "normalize_week", desired_at=at(1), priority=9),
    )
    taken = [lease.claim_next(db, "host:1:aa", NOW) for _ in range(4)]
    assert [item.id if item else None for item in taken] == [items[2].id, items[1].id, items[0].id, None]
    assert lease.claim_next(db, "host:1:aa", at(1)) is not None


def test_a_claim_says_who_has_the_item_and_counts_the_attempt(db: Database) -> None:
    (item,) = ask(db, request())
    claimed = take(db, item, at(3))
    assert (claimed.state, claimed.attempt_count, claimed.locked_by) == (State.RUNNING, 1, "host:1:aa")
    assert claimed.locked_at == "2026-01-09T12:03:00+00:00"
    run = db.execute("SELECT execution_id, pipeline, finished_at FROM core_executions").fetchone()
    assert run == (claimed.current_execution_id, "ingest_week", None)


@pytest.mark.parametrize("state", [s for s in State if s is not State.PENDING], ids=lambda s: s.value)
def test_an_item_that_is_not_pending_cannot_be_claimed(db: Database, state: State) -> None:
    (item,) = ask(db, request())
    put_in(db, item, state)
    assert lease.claim(db, item.id, "host:2:bb", NOW) is None
    assert lease.claim_next(db, "host:2:bb", NOW) is None


def test_a_waiting_item_is_claimed_when_its_time_has_come(db: Database) -> None:
    (item,) = ask(db, request())
    put_in(db, item, State.RETRY_WAIT)
    assert lease.claim(db, item.id, "host:2:bb", at(4.9)) is None
    assert not lease.is_due(db, at(4.9))
    assert lease.is_due(db, at(5))
    claimed = lease.claim(db, item.id, "host:2:bb", at(5))
    assert claimed is not None
    assert (claimed.attempt_count, claimed.next_attempt_at, claimed.last_error) == (2, None, "HTTP 503")


SETTLED = [
    ("a failure", Verdict(State.RETRY_WAIT, "HTTP 503", at(5)), (State.RETRY_WAIT, 1, "HTTP 503"), 75),
    ("the last failure", Verdict(State.FAILED, "HTTP 503"), (State.FAILED, 1, "HTTP 503"), 1),
    ("a wait", Verdict(State.RETRY_WAIT, "waits: RAW", at(5), counts=False), (State.RETRY_WAIT, 0, "waits: RAW"), 75),
    ("given back", given_back(), (State.PENDING, 0, None), 143),
]


@pytest.mark.parametrize(("verdict", "expected", "exit_code"), [s[1:] for s in SETTLED], ids=[s[0] for s in SETTLED])
def test_an_item_is_settled_with(db: Database, verdict: Verdict, expected: tuple[object, ...], exit_code: int) -> None:
    (item,) = ask(db, request())
    lease.settle(db, take(db, item), verdict, at(1))
    settled = queue.find(db, item.id)
    assert (settled.state, settled.attempt_count, settled.last_error) == expected
    assert (settled.current_execution_id, settled.locked_by, settled.locked_at) == (None, None, None)
    assert db.execute("SELECT exit_code FROM core_executions").fetchone() == (exit_code,)


def test_only_the_holder_may_beat_complete_or_settle(db: Database) -> None:
    (item,) = ask(db, request())
    frozen = take(db, item)
    taken_back(db, frozen)
    other = take(db, item, at(40))
    assert not lease.beat(db, frozen, at(41))
    with pytest.raises(lease.LeaseLost):
        lease.complete(db, frozen, at(41))
    with pytest.raises(lease.LeaseLost):
        lease.settle(db, frozen, Verdict(State.FAILED, "?"), at(41))
    assert queue.find(db, item.id) == other
    assert lease.beat(db, other, at(41))
    lease.complete(db, other, at(42))
    assert queue.find(db, item.id).state is State.COMPLETE


def taken_back(db: Database, item: Item) -> list[Item]:
    return lease.sweep(db, lease.Watch(Lease(), patience=0), at(31), 0)


def test_a_silent_workers_item_is_taken_back_and_its_attempt_counts(db: Database) -> None:
    (item,) = ask(db, request())
    (back,) = taken_back(db, take(db, item))
    assert (back.state, back.attempt_count) == (State.PENDING, 1)
    assert back.last_error == "worker host:1:aa went silent, last heartbeat 2026-01-09T12:00:00+00:00"


def test_a_beating_workers_item_stays(db: Database) -> None:
    (item,) = ask(db, request())
    claimed = take(db, item)
    assert lease.beat(db, claimed, at(10))
    assert taken_back(db, claimed) == []
    assert queue.find(db, item.id).state is State.RUNNING


def test_the_last_attempt_of_a_silent_worker_is_final(db: Database) -> None:
    (item,) = ask(db, request(max_attempts=1))
    (back,) = taken_back(db, take(db, item))
    assert back.state is State.FAILED


def test_a_heartbeat_between_the_look_and_the_taking_keeps_the_item(db: Database) -> None:
    (item,) = ask(db, request())
    claimed = take(db, item)
    with db.transaction():
        assert lease.beat(db, claimed, at(30.5))
        assert lease._reclaim(db, claimed, at(31)) is None
    assert queue.find(db, item.id).state is State.RUNNING


def test_a_clock_that_is_ahead_takes_nobodys_item(db: Database) -> None:
    (item,) = ask(db, request())
    claimed = take(db, item)
    watch = lease.Watch(Lease(), patience=24)
    for minute in range(5):
        assert lease.beat(db, claimed, at(minute))
        assert lease.sweep(db, watch, at(minute + 120), minute * 20.0) == []
    assert lease.sweep(db, watch, at(125), 85.0) == []
    assert [i.id for i in lease.sweep(db, watch, at(125), 105.0)] == [item.id]


def test_the_sweep_makes_waiting_items_pending(db: Database) -> None:
    (item,) = ask(db, request())
    put_in(db, item, State.RETRY_WAIT)
    lease.sweep(db, lease.Watch(Lease(), 0), at(6), 0)
    assert queue.find(db, item.id).state is State.PENDING


RETRIED = [
    (State.PENDING, False), (State.RUNNING, False), (State.COMPLETE, False),
    (State.RETRY_WAIT, True), (State.FAILED, True), (State.CANCELLED, True),
]


@pytest.mark.parametrize(("state", "changes"), RETRIED, ids=[r[0].value for r in RETRIED])
def test_a_retry_makes_it_due_at_once_with_all_its_attempts(db: Database, state: State, changes: bool) -> None:
    (item,) = ask(db, request())
    put_in(db, item, state)
    before = queue.find(db, item.id)
    done = queue.retry(db, [item.id], at(60))
    after = queue.find(db, item.id)
    assert ([i.id for i in done.changed], [i.id for i in done.unchanged]) == (([item.id], []) if changes else ([], [item.id]))
    if changes:
        assert (after.state, after.attempt_count, after.desired_at) == (State.PENDING, 0, "2026-01-09T13:00:00+00:00")
    else:
        assert after == before


def test_a_domains_failed_items_can_be_retried_together(db: Database) -> None:
    items = ask(db, request("OTC"), request("NMS_TIER_1"), request("NMS_TIER_2"))
    for item in items[:2]:
        put_in(db, item, State.FAILED)
    assert queue.failed_of(db, DOMAIN) == sorted([items[0].id, items[1].id])
    assert queue.failed_of(db, "other") == []


CANCELLED = [(state, state not in (State.COMPLETE, State.CANCELLED)) for state in State]


@pytest.mark.parametrize(("state", "changes"), CANCELLED, ids=[c[0].value for c in CANCELLED])
def test_a_cancel_ends_whatever_is_not_over(db: Database, state: State, changes: bool) -> None:
    (item,) = ask(db, request())
    put_in(db, item, state)
    assert bool(queue.cancel(db, [item.id], NOW).changed) is changes
    assert queue.find(db, item.id).state is (State.CANCELLED if changes else state)


def test_a_worker_whose_item_was_cancelled_finds_it_no_longer_its_own(db: Database) -> None:
    (item,) = ask(db, request())
    claimed = take(db, item)
    queue.cancel(db, [item.id], NOW)
    assert not lease.beat(db, claimed, NOW)
    with pytest.raises(lease.LeaseLost):
        lease.complete(db, claimed, NOW)


@pytest.mark.parametrize("act", [queue.retry, queue.cancel], ids=["retry", "cancel"])
def test_an_unknown_id_is_refused_and_changes_nothing(db: Database, act: object) -> None:
    (item,) = ask(db, request())
    put_in(db, item, State.FAILED)
    with pytest.raises(NotFound, match="no work item 999"):
        act(db, [item.id, 999], NOW)  # type: ignore[operator]
    assert queue.find(db, item.id).state is State.FAILED


def test_lists_are_narrowed_sorted_and_paged(db: Database) -> None:
    items = ask(
        db, request("OTC"), request("NMS_TIER_1", priority=5), request("NMS_TIER_2"), Request("ingest_week", date(2026, 1, 2), "OTC"),
    )
    put_in(db, items[2], State.FAILED)
    assert [i.id for i in queue.listed(db, Filter()).items] == [items[1].id, items[0].id, items[3].id]
    assert [i.id for i in queue.listed(db, Filter(states=(State.FAILED,))).items] == [items[2].id]
    assert queue.listed(db, Filter(weeks=("2026-01-02",))).total == 1
    assert queue.listed(db, Filter(pipeline="normalize_week")).total == 0
    assert queue.listed(db, Filter(domain="other")).total == 0
    page = queue.listed(db, Filter(), limit=1, offset=1)
    assert (page.total, [i.id for i in page.items]) == (3, [items[0].id])
    assert queue.listed(db, Filter(states=tuple(State)), newest=True).total == 4
    assert queue.counts(db)[State.FAILED] == 1


ILLEGAL = [
    ("running without a holder", "UPDATE core_work_items SET state = 'RUNNING'"),
    ("pending with a holder", "UPDATE core_work_items SET locked_by = 'x', locked_at = 'y'"),
    ("complete without a time", "UPDATE core_work_items SET state = 'COMPLETE'"),
    ("waiting without a time", "UPDATE core_work_items SET state = 'RETRY_WAIT'"),
    ("a time to wait for while pending", "UPDATE core_work_items SET next_attempt_at = 'x'"),
    ("an unknown state", "UPDATE core_work_items SET state = 'DONE'"),
    ("less than no attempts", "UPDATE core_work_items SET attempt_count = -1"),
]


@pytest.mark.parametrize("statement", [i[1] for i in ILLEGAL], ids=[i[0] for i in ILLEGAL])
def test_the_table_itself_refuses(db: Database, statement: str) -> None:
    ask(db, request())
    with pytest.raises(Exception, match=r"(?i)check"):
        db.execute(statement)


def test_many_claims_at_once_take_each_item_once(db: Database) -> None:
    from concurrent.futures import ThreadPoolExecutor

    weeks = [date(2025, 1, 3) + timedelta(weeks=n) for n in range(30)]
    items = ask(db, *(Request("ingest_week", week, "OTC") for week in weeks))

    def work(connection: Database) -> list[int]:
        taken = []
        for item in items:
            claimed = lease.claim(connection, item.id, "host:1:aa", NOW)
            taken += [claimed.id] if claimed else []
        connection.close()
        return taken

    connections = [db.reopen() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        taken = sorted(item_id for ids in pool.map(work, connections) for item_id in ids)
    assert taken == sorted(item.id for item in items)


@pytest.mark.parametrize("newest", [False, True], ids=["due first", "newest first"])
@pytest.mark.parametrize(
    "which",
    [
        pytest.param(Filter(), id="open"),
        pytest.param(Filter((State.PENDING,)), id="a state"),
        pytest.param(Filter((State.PENDING,), weeks=("2025-12-26",)), id="of a week"),
        pytest.param(Filter((State.PENDING,), pipeline="ingest_week"), id="of a pipeline"),
    ],
)
def test_every_way_to_list_has_the_same_order(db: Database, which: Filter, newest: bool) -> None:
    for n, (name, tier) in enumerate((name, tier) for name in ("ingest_week", "normalize_week") for tier in TIERS):
        ask(db, request(tier, name, priority=n % 3, desired_at=at(-n % 4)), now=at(n % 2))
    found = queue.listed(db, which, newest=newest)
    orders = [((-_seconds(item.updated_at),) if newest else ()) + (-item.priority, item.desired_at, item.id) for item in found.items]
    assert orders == sorted(orders)
    assert found.total == len(found.items) == (3 if which.pipeline else 6)
    assert queue.listed(db, which, newest=newest, limit=2, offset=1).items == found.items[1:3]


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
