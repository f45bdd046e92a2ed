"""What a worker's log and metrics say of outages: each once, and for as long as it lasted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

import pytest

from market_spine import clock
from market_spine.db import Database
from market_spine.errors import DatabaseLost
from market_spine.outcome import Outcome
from market_spine.work import lease
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item
from market_spine.work.trouble import Troubles
from market_spine.work.worker import Settings, Worker

LOST = DatabaseLost("the server is away")


def test_an_outage_lasted_since_its_first_failure(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "ticks", lambda: now)
    monkeypatch.setattr(logging.getLogger("market_spine"), "propagate", True)
    troubles = Troubles()
    troubles.failed("sweep", LOST)
    now = 160.0
    troubles.failed("heartbeat", LOST)  # it had nothing to do before
    now = 220.0
    troubles.recovered("sweep")
    troubles.recovered("heartbeat")
    assert caplog.messages[-1] == "the database is back after 120 s"


def no_item(_db: ItemTransaction, _item: Item, _now: datetime) -> Sequence[Outcome]:
    raise AssertionError("nothing is due")


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_thread_that_is_woken_after_an_outage_counts_it_once(
    target: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator has ended every session of a worker. Its sweep has another one first, and wakes the thread that claims."""
    worker = Worker(target, no_item, Settings())
    feed, waits = worker._feed, 0

    def wait(_seen: int, _seconds: float) -> None:
        nonlocal waits
        waits += 1
        if waits == 1:
            db.end_sessions(lease.session_of(worker.name))
            worker.troubles.failed("sweep", LOST)
            worker.troubles.recovered("sweep")
        else:
            worker.stopping.set()

    monkeypatch.setattr(feed.wakeup, "wait", wait)
    feed.run()
    assert (waits, worker.troubles.outages) == (2, 1)
