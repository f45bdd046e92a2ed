"""A worker process of queue_torture: items whose one effect is a row, and a clock that is ahead."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from market_spine import clock
from market_spine.app.source.web import Client
from market_spine.outcome import Outcome
from market_spine.work import lease
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item, Lease
from market_spine.work.worker import Settings, Worker, start_log


@dataclass(slots=True)
class Effect:
    """Performs an item: a row that says who did it, written slowly enough to be interrupted anywhere."""

    worker: str
    milliseconds: float
    claimed_in: list[float]

    def __call__(self, db: ItemTransaction, item: Item, now: Any) -> Sequence[Outcome]:
        if item.params.file_url is not None:
            _fetch(db, item.params.file_url)
        long = self.milliseconds >= 1000  # then it only waits; an idle transaction would be ended by the server
        part = self.milliseconds / 1000 if long else random.uniform(0, self.milliseconds) / 1000
        clock.pause(part)
        with db.transaction():
            db.execute(
                "INSERT INTO torture_effect (item_id, execution_id, worker, at, claim_ms) VALUES (?, ?, ?, ?, ?)",
                (item.id, item.current_execution_id, self.worker, time.time(), self.claimed_in[-1] if self.claimed_in else None),
            )
            clock.pause(self.milliseconds / 1000 - part)
        return []


def _fetch(db: ItemTransaction, url: str) -> None:
    """Asks a source for nothing that is used; the request ends with the item."""
    client = Client()
    db.on_abandon(client.stop)
    with contextlib.closing(client):
        client.send("GET", url, max_bytes=1 << 20)


def timed(function: Callable[..., Item | None], into: list[float]) -> Callable[..., Item | None]:
    """The same function; how many milliseconds each successful call took is noted."""

    def call(*args: Any) -> Item | None:
        began = time.perf_counter()
        item = function(*args)
        if item is not None:
            into[:] = [(time.perf_counter() - began) * 1000]
        return item

    return call


def be_worker(target: str, lease_seconds: float, concurrency: int, milliseconds: float, clock_offset: float, name: str) -> None:
    """One worker process; `clock_offset` is how many seconds its own clock is ahead of the machine's."""
    true_now = clock.exact_now
    clock.exact_now = lambda: true_now() + timedelta(seconds=clock_offset)
    claimed_in: list[float] = []
    lease.claim, lease.claim_next = timed(lease.claim, claimed_in), timed(lease.claim_next, claimed_in)
    settings = Settings(concurrency=concurrency, lease=Lease(timedelta(seconds=lease_seconds)), grace=2, longest_minutes=0.5)
    worker = Worker(target, Effect(name, milliseconds, claimed_in), settings)
    start_log(worker, json_lines=True, verbose=False)
    worker.run()
