"""PostgreSQL's feed: Procrastinate's worker brings item ids; the ledger decides whether there is anything to do for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from market_spine.db import Database
from market_spine.errors import ConfigurationError, DatabaseLost
from market_spine.work import lease
from market_spine.work.delivery import QUEUE, TASK

if TYPE_CHECKING:
    from procrastinate import App

    from market_spine.work.worker import Worker

log = logging.getLogger("market_spine.work")

_POLL = 1.0  # seconds between two looks for what became due by its time alone; new work is announced at once
_AWAY_SECONDS = 1.0


async def straight_to_the_next(connection: Any) -> None:
    """Has the next job found along the index of priorities. While PostgreSQL has no statistics of a backlog that was just
    enqueued it sorts all of it for every single job: 4 to 14 ms at 2,000 jobs instead of half a millisecond."""
    await connection.execute("SET enable_sort = off")
    await connection.commit()


class DeliveredFeed:
    """Runs Procrastinate's worker in an event loop of this thread, and the items in threads beside it."""

    def __init__(self, worker: Worker) -> None:
        try:
            import procrastinate
        except ImportError as error:
            raise ConfigurationError(
                "a worker on PostgreSQL needs procrastinate, which is not installed", hint="pip install 'market-spine[postgres]'"
            ) from error
        self._procrastinate = procrastinate
        self._worker = worker
        self._count = 1 if worker.settings.once else worker.settings.concurrency
        self._connections: queue.LifoQueue[Database] = queue.LifoQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Runs to the end, through the server's absences."""
        asyncio.run(self._run())
        while not self._connections.empty():
            self._connections.get().close()

    def stop(self) -> None:
        """From another thread: no more deliveries; those under way end first."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has ended already
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(self._count + 2))
        while not self._worker.stopping.is_set():
            try:
                await self._serve()
            except (self._procrastinate.exceptions.ConnectorException, OSError) as error:
                said = " ".join(str(error.__cause__ or error).split())
                log.info("the database is away: %s", said, extra={"event": "database_away"})
                await asyncio.sleep(_AWAY_SECONDS)
            else:
                if self._worker.settings.once or (self._worker.settings.drain and not await asyncio.to_thread(self._is_due)):
                    return

    async def _serve(self) -> None:
        """One life of the engine's worker: until it is cancelled, fails, or has caught up and is not to wait."""
        app = self._app()
        async with app.open_async():
            self._running = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE], name=self._worker.name, concurrency=self._count, wait=not self._worker.settings.ends,
                    install_signal_handlers=False, fetch_job_polling_interval=_POLL, delete_jobs="always",
                )
            )  # fmt: skip
            if self._worker.stopping.is_set():
                self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    def _app(self) -> App:
        connector = self._procrastinate.PsycopgConnector(
            conninfo=self._worker.target, min_size=1, max_size=3, timeout=10, configure=straight_to_the_next,
            kwargs={"application_name": "market-spine-delivery"},
        )  # fmt: skip
        app = self._procrastinate.App(connector=connector)
        app.task(name=TASK)(self._deliver)
        return app

    def _deliver(self, item_id: int) -> None:
        """One delivery, in a thread. Never raises: the ledger knows how it went, and a lost one is announced again."""
        try:
            with self._connection() as db:
                item = lease.claim(db, item_id, self._worker.name, db.now())
                if item is None:
                    log.debug("nothing to do for item %s", item_id, extra={"event": "delivery_idle", "work_item": item_id})
                    return
                self._worker.work_on(db, item)
                if self._worker.settings.once:
                    self.stop()
        except DatabaseLost as error:
            log.info("%s", error.message, extra={"event": "database_away"})
        except Exception as error:
            log.exception("delivery of item %s failed: %s", item_id, error, extra={"event": "delivery_failed"})

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Database]:
        try:
            db: Any = self._connections.get_nowait()
            db.reconnect()
        except queue.Empty:
            db = self._worker.open()
        try:
            yield db
        finally:
            self._connections.put(db)

    def _is_due(self) -> bool:
        try:
            with self._connection() as db:
                return lease.is_due(db, db.now())
        except DatabaseLost:
            return True
