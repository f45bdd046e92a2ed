"""The feed on SQLite: each thread claims the item that is due first, on a connection of its own, and polls for more."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from market_spine import clock
from market_spine.db import Database
from market_spine.errors import DatabaseLocked
from market_spine.work import lease
from market_spine.work.item import Item

if TYPE_CHECKING:
    from market_spine.work.worker import Worker

log = logging.getLogger("market_spine.work")

_POLL, _IDLE_POLL = 0.02, 0.25  # seconds between two polls, shortly after work and when idle
_BUSY_SECONDS = 5.0


class SqliteFeed:
    """Claims items by polling."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._failure: Exception | None = None

    def run(self) -> None:
        """Runs the threads to their end. Raises the error with which one of them failed."""
        settings = self._worker.settings
        count = 1 if settings.once else settings.concurrency
        threads = [threading.Thread(target=self._guarded, name=f"runner-{n}", daemon=True) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Nothing to do: the threads check the worker's `stopping` themselves."""

    def _guarded(self) -> None:
        try:
            with contextlib.closing(self._worker.open()) as db:
                self._loop(db)
        except Exception as error:
            self._failure = error
            self._worker.stopping.set()

    def _loop(self, db: Database) -> None:
        """Works until the worker stops, or nothing is left for one that ends; only a worker that does not end retries."""
        worker, busy_at = self._worker, clock.ticks()
        duty = f"claiming ({threading.current_thread().name})"
        while not worker.stopping.is_set():
            try:
                if self._work(db):
                    busy_at = clock.ticks()
                    if worker.settings.once:
                        return
                elif worker.settings.ends:
                    return
                else:
                    worker.stopping.wait(_POLL if clock.ticks() - busy_at < _BUSY_SECONDS else _IDLE_POLL)
                worker.troubles.recovered(duty)
            except Exception as error:
                if worker.settings.ends:
                    raise
                worker.stopping.wait(worker.troubles.failed(duty, error))

    def _work(self, db: Database) -> bool:
        """Executes the item that is due first; False when there is none."""
        item = self._claim(db)
        if item is not None:
            self._worker.work_on(db, item)
        return item is not None

    def _claim(self, db: Database) -> Item | None:
        """Reads before it writes, so that an idle worker never holds the write lock."""
        try:
            while lease.is_due(db, now := db.now()):
                if (item := lease.claim_next(db, self._worker.name, now)) is not None:
                    return item
        except DatabaseLocked as error:
            log.info("%s", error.message, extra={"event": "database_locked"})
        return None
