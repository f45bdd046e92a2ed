"""The feed on PostgreSQL: Procrastinate's worker delivers item ids; the ledger decides whether there is anything to do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from market_spine.db.postgres import Postgres
from market_spine.db.postgres_session import is_loss
from market_spine.errors import ConfigurationError, DatabaseLost, MarketSpineError
from market_spine.work import lease, outbox
from market_spine.work.outbox import QUEUE, TASK

if TYPE_CHECKING:
    from procrastinate import App

    from market_spine.work.worker import Worker

log = logging.getLogger("market_spine.work")

_DUTY = "delivery"
_POLL = 1.0  # seconds between two polls for items that became due; new items are announced at once
_STEADY_SECONDS = 5.0  # an engine that runs this long has recovered


async def fetch_by_priority_index(connection: Any) -> None:
    """Makes the query for the next job use the priority index. While PostgreSQL has no statistics of a backlog that was just
    enqueued, it sorts all of it for every job: 4 to 14 ms at 2,000 jobs instead of half a millisecond."""
    await connection.execute("SET enable_sort = off")
    await connection.commit()


class ProcrastinateFeed:
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
        self._connections: queue.LifoQueue[Postgres] = queue.LifoQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None

    def run(self) -> None:
        """Runs until it is stopped or idle, across outages of the server too."""
        try:
            asyncio.run(self._run())
        finally:
            while not self._connections.empty():
                self._connections.get().close()

    def stop(self) -> None:
        """From another thread: no more deliveries; those in progress end first."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has already ended
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._running is not None:
            self._running.cancel()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(self._count + 2))
        while not self._worker.stopping.is_set():
            try:
                await self._serve(await asyncio.to_thread(self._session_statements))
            except Exception as error:
                await asyncio.to_thread(self._worker.stopping.wait, self._worker.troubles.failed(_DUTY, _as_ours(error)))
            else:
                if self._worker.settings.once or (self._worker.settings.drain and not await asyncio.to_thread(self._is_due)):
                    return

    def _session_statements(self) -> Any:
        """The statements that configure a session. Without a database this fails at once, the engine only after 30 s."""
        with self._connection() as db:
            outbox.prepare(db)
            return db.session_statements

    async def _serve(self, session_statements: Any) -> None:
        """Runs the engine's worker once: until it is cancelled, fails, or is idle and must not wait."""
        app = self._app(session_statements)
        async with app.open_async():
            self._running = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE], name=self._worker.name, concurrency=self._count, wait=not self._worker.settings.ends,
                    install_signal_handlers=False, fetch_job_polling_interval=_POLL, delete_jobs="always",
                )
            )
            steady = asyncio.get_running_loop().call_later(_STEADY_SECONDS, self._worker.troubles.recovered, _DUTY)
            if self._worker.stopping.is_set():
                self._running.cancel()
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await self._running
            finally:
                steady.cancel()
        if not self._worker.settings.ends and not self._worker.stopping.is_set():  # the engine logs why and returns
            raise DatabaseLost("the delivery engine's connection was lost")

    def _app(self, session_statements: Any) -> App:
        async def configure(connection: Any) -> None:
            await connection.execute(session_statements)
            await fetch_by_priority_index(connection)

        connector = self._procrastinate.PsycopgConnector(
            conninfo=self._worker.target, min_size=1, max_size=3, timeout=10, configure=configure,
            kwargs={"application_name": "market-spine-delivery", "client_encoding": "utf8"},
        )
        app = self._procrastinate.App(connector=connector)
        app.task(name=TASK)(self._deliver)
        return app

    def _deliver(self, item_id: int) -> None:
        """One delivery, in a thread. Never raises: the ledger has the result, and a lost delivery is announced again."""
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
            log.debug("%s", error.message, extra={"event": "delivery_failed", "work_item": item_id})
        except Exception as error:
            facts = {"event": "delivery_failed", "work_item": item_id}
            log.exception("delivery of item %s failed: %s", item_id, error, extra=facts)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Postgres]:
        try:
            db: Any = self._connections.get_nowait()
        except queue.Empty:
            db = self._worker.open()
        try:
            db.reconnect()
            yield db
        finally:
            self._connections.put(db)

    def _is_due(self) -> bool:
        try:
            with self._connection() as db:
                return lease.is_due(db, db.now())
        except DatabaseLost:
            return True


def _as_ours(error: Exception) -> Exception:
    """The engine's error for an unavailable database as DatabaseLost."""
    if isinstance(error, MarketSpineError) or not is_loss(error):
        return error
    message = " ".join(str(error.__cause__ or error).split())
    return DatabaseLost(f"the delivery engine's connection was lost: {message}")
