"""Items that never end by themselves: one that its source keeps waiting, and one whose thread notices nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta

import pytest
from stand_ins.dripping import Dripping, dripping
from support.gates import DEADLINE

from market_spine.app.source.url import UrlSource
from market_spine.app.source.web import Client, HttpLimits
from market_spine.db import Database
from market_spine.errors import WorkerStuck
from market_spine.outcome import Outcome
from market_spine.work import queue
from market_spine.work.execute import Perform, Pipelines
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item, Lease, Request, State
from market_spine.work.running import is_overdue
from market_spine.work.worker import Settings, Worker

WEEK = date(2025, 12, 5)
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


class Prompt(Lease):
    """Heartbeats at once, for a lease that never expires: they also end what is cancelled or overdue."""

    @property
    def beat(self) -> float:
        return 0.1


LEASE = Prompt(timedelta(seconds=DEADLINE))


@pytest.fixture
def dripper() -> Iterator[Dripping]:
    with dripping(BODY) as server:
        yield server


def fetching(server: Dripping) -> Pipelines:
    """Pipelines whose source keeps them waiting."""

    def open_source(_file_url: str | None) -> UrlSource:
        client = Client(HttpLimits(timeout=DEADLINE, whole=DEADLINE))
        return UrlSource(server.url + "{week_ending}", frozenset({"127.0.0.1"}), max_bytes=1 << 20, client=client)

    return Pipelines(open_source)


def ask(db: Database) -> Item:
    return queue.enqueue(db, [Request("ingest_week", WEEK, "OTC")], db.now())[0].item


def started(target: str, perform: Perform, **settings: float) -> tuple[Worker, threading.Thread]:
    """A worker in a thread of its own, for one item."""
    worker = Worker(target, perform, Settings(once=True, lease=LEASE, **settings))  # type: ignore[arg-type]
    thread = threading.Thread(target=worker.run)
    thread.start()
    return worker, thread


def ended(thread: threading.Thread) -> bool:
    thread.join(DEADLINE)
    return not thread.is_alive()


def test_an_item_that_its_source_keeps_waiting_has_a_longest_time(target: str, db: Database, dripper: Dripping) -> None:
    item = ask(db)
    Worker(target, fetching(dripper), Settings(once=True, lease=LEASE, longest_minutes=0)).run()
    late = queue.find(db, item.id)
    assert (late.state, late.attempt_count) == (State.RETRY_WAIT, 1)
    assert late.last_error == "it took more than 0 minutes"


def test_a_cancelled_item_that_its_source_keeps_waiting_frees_the_worker(target: str, db: Database, dripper: Dripping) -> None:
    item = ask(db)
    _, thread = started(target, fetching(dripper))
    assert dripper.asked.wait(DEADLINE)
    queue.cancel(db, [item.id], db.now(), "a mistake", "tester")
    assert ended(thread)
    assert queue.find(db, item.id).state is State.CANCELLED


def test_a_worker_that_is_stopped_returns_an_item_that_its_source_keeps_waiting(
    target: str, db: Database, dripper: Dripping
) -> None:
    item = ask(db)
    worker, thread = started(target, fetching(dripper), grace=0)
    assert dripper.asked.wait(DEADLINE)
    worker.stop()
    assert ended(thread)
    returned = queue.find(db, item.id)
    assert (returned.state, returned.attempt_count) == (State.PENDING, 0)


@pytest.fixture
def deaf() -> Iterator[tuple[Callable[[ItemTransaction, Item, datetime], Sequence[Outcome]], threading.Event]]:
    """A pipeline that notices nothing until the test ends, and the event that it has begun."""
    began, over = threading.Event(), threading.Event()

    def perform(_db: ItemTransaction, _item: Item, _now: datetime) -> Sequence[Outcome]:
        began.set()
        over.wait(DEADLINE)
        return []

    yield perform, began
    over.set()


def test_an_item_that_notices_nothing_ends_the_worker_with_an_error(
    target: str, db: Database, deaf: tuple[Perform, threading.Event]
) -> None:
    item = ask(db)
    worker = Worker(target, deaf[0], Settings(lease=LEASE, longest_minutes=0, unwind=0))
    with pytest.raises(WorkerStuck, match="ingest_week 2025-12-05 / OTC does not stop"):
        worker.run()
    assert queue.find(db, item.id).state is State.RETRY_WAIT


def test_a_worker_that_is_stopped_returns_an_item_that_notices_nothing(
    target: str, db: Database, deaf: tuple[Perform, threading.Event]
) -> None:
    item = ask(db)
    worker, thread = started(target, deaf[0], grace=0, unwind=0)
    assert deaf[1].wait(DEADLINE)
    worker.stop()
    assert ended(thread)
    returned = queue.find(db, item.id)
    assert (returned.state, returned.attempt_count) == (State.PENDING, 0)


@pytest.mark.parametrize(
    ("now", "minutes", "overdue"),
    [
        pytest.param(160.0, 1.0, True, id="just then"),
        pytest.param(159.9, 1.0, False, id="just before"),
        pytest.param(100.0, 0.0, True, id="none at all"),
    ],
)
def test_when_an_item_has_had_its_time(now: float, minutes: float, overdue: bool) -> None:
    assert is_overdue(now, 100.0, minutes) is overdue
