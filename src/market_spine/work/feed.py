"""Where a worker's items come from: each thread claims the item that is due first, on a connection of its own.

A thread that finds nothing waits to be woken: on PostgreSQL by a notification of whoever makes an item due (core/waiting.py), and
on both engines by looking again after a while, since time makes items due, too.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from market_spine import clock
from market_spine.db import Database
from market_spine.errors import DatabaseLocked, DatabaseLost
from market_spine.work import lease
from market_spine.work.item import Item

if TYPE_CHECKING:
    from market_spine.work.worker import Worker

log = logging.getLogger("market_spine.work")

_POLL, _IDLE_POLL = 0.02, 0.25  # seconds between two looks on SQLite, shortly after work and when idle
_BUSY_SECONDS = 5.0
_NOTIFIED_POLL = 1.0  # on PostgreSQL


class Wakeup:
    """Wakes the threads that wait. None is missed: who waits names the last one seen before looking for work."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        return self._count

    def wake(self) -> None:
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait(self, seen: int, seconds: float) -> None:
        """Returns when there was one after `seen`, or after these seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._count != seen, seconds)


class Feed:
    """The threads of a worker that claim items and execute them."""

    def __init__(self, worker: Worker) -> None:
        self.wakeup = Wakeup()
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
        """From another thread: no more items; those in hand end first."""
        self.wakeup.wake()

    def _guarded(self) -> None:
        try:
            with contextlib.closing(self._open()) as db:
                self._loop(db)
        except Exception as error:
            self._failure = error
            self._worker.stopping.set()
            self.stop()

    def _open(self) -> Database:
        """A connection; the worker has already reported an outage that begins here."""
        duty = _duty()
        while True:
            try:
                return self._worker.open()
            except DatabaseLost as error:
                if self._worker.stopping.wait(self._worker.troubles.failed(duty, error)):
                    raise

    def _loop(self, db: Database) -> None:
        """Works until the worker stops, or nothing is left for one that ends; such a worker waits for a lost database only."""
        worker, busy_at, duty = self._worker, clock.ticks(), _duty()
        while not worker.stopping.is_set():
            seen = self.wakeup.count
            try:
                db.reconnect()
                worked = self._work(db)
                worker.troubles.recovered(duty)  # not after the wait below, which says nothing of the database
                if worked:
                    busy_at = clock.ticks()
                if worker.settings.once if worked else worker.settings.ends:
                    return
                if not worked:
                    self.wakeup.wait(seen, _pause(db.engine, clock.ticks() - busy_at))
            except Exception as error:
                if worker.settings.ends and not isinstance(error, DatabaseLost):
                    raise
                db.leave_session()  # one that began while the database was read-only would stay so
                worker.stopping.wait(worker.troubles.failed(duty, error))

    def _work(self, db: Database) -> bool:
        """Executes the item that is due first; False when there is none."""
        item = self._claim(db)
        if item is not None:
            self._worker.work_on(db, item)
        return item is not None

    def _claim(self, db: Database) -> Item | None:
        """Reads before it writes, so that an idle worker locks nothing."""
        try:
            while lease.is_due(db, now := db.now()):
                if (item := lease.claim_next(db, self._worker.name, now)) is not None or db.engine == "postgresql":
                    return item  # on PostgreSQL, others may be claiming all that is due
        except DatabaseLocked as error:
            log.info("%s", error.message, extra={"event": "database_locked"})
        return None


def _pause(engine: str, idle_seconds: float) -> float:
    """Seconds until the next look for work that nobody announced."""
    if engine == "postgresql":
        return _NOTIFIED_POLL
    return _POLL if idle_seconds < _BUSY_SECONDS else _IDLE_POLL


def _duty() -> str:
    return f"claiming ({threading.current_thread().name})"
