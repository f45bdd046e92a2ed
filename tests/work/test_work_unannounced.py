"""Work that nobody announces: the ledger alone says what is due, and all of it at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime

import pytest
from bench import finished
from support.gates import DEADLINE
from support.work_asked import NOW, WEEK

from market_spine import clock
from market_spine.db import Database
from market_spine.outcome import Outcome
from market_spine.work import lease, queue
from market_spine.work.feed import Wakeup
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item, Lease, Request, State
from market_spine.work.worker import Settings, Worker

MANY = 1_200  # a thousand came back at a time, once


def test_all_that_is_due_again_returns_in_one_sweep(db: Database) -> None:
    finished.fill(db, MANY)
    with db.transaction():
        db.execute(
            "UPDATE core_work_items SET state = 'RETRY_WAIT', completed_at = NULL, next_attempt_at = ?", (clock.stamp(NOW),)
        )
    assert lease.sweep(db, lease.Watch(Lease(), 0), NOW, 0) == []
    assert queue.counts(db)[State.PENDING] == MANY


def test_an_idle_worker_finds_what_nobody_announced(target: str, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    idle, done = threading.Event(), threading.Event()
    wait = Wakeup.wait

    def waited(wakeup: Wakeup, seen: int, seconds: float) -> None:
        idle.set()
        wait(wakeup, seen, seconds)

    def perform(_db: ItemTransaction, _item: Item, _now: datetime) -> Sequence[Outcome]:
        done.set()
        return []

    monkeypatch.setattr(Wakeup, "wait", waited)
    worker = Worker(target, perform, Settings())
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert idle.wait(DEADLINE)
        monkeypatch.setattr(type(db), "notify", lambda _db, channel: None)
        queue.enqueue(db, [Request("ingest_week", WEEK, "OTC")], db.now())
        assert done.wait(DEADLINE)
    finally:
        worker.stop()
        thread.join(DEADLINE)
    assert queue.counts(db)[State.COMPLETE] == 1
