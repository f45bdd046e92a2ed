"""A worker process: it executes items, sends heartbeats, reclaims the items of dead workers, and stops on a signal.

main thread   signals: the first gives current items `grace` seconds to end, then returns them; a Ctrl-C after it kills
feed          feed.py claims items, in `concurrency` threads
pulse         a heartbeat for every current item, on a connection of its own; it gives up those that run too long
sweeper       promotes and reclaims, on another, and wakes the feed when items became due
trouble.py    what all of them do when the database is unavailable or anything else fails
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType

from market_spine import __version__, clock
from market_spine import log as logs
from market_spine.core.waiting import WORK_DUE
from market_spine.db import Database, connect, migrations, redact
from market_spine.errors import DatabaseError, DatabaseLocked, Interrupted, WorkerStuck
from market_spine.partition import week_lock
from market_spine.process import hostname
from market_spine.work import lease, roster
from market_spine.work.execute import Perform, execute, settle_error
from market_spine.work.feed import Feed
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import RETRY_AFTER, Item, Lease, State
from market_spine.work.running import Execution, Running
from market_spine.work.trouble import GIVE_UP, Troubles

log = logging.getLogger("market_spine.work")

_SIGNAL_SECONDS = 0.5
_LISTEN_SECONDS = 0.5  # until it looks whether the worker has ended
_SHORTEST_IDLE_TRANSACTION = 60.0


def start_log(worker: Worker, *, json_lines: bool, verbose: bool) -> None:
    """Sends the worker's log to stderr; the first line names the worker."""
    handler = logs.set_up(quiet=False, verbose=verbose, json_lines=json_lines)
    logs.bind(handler, worker=worker.name)
    facts = {"event": "worker_started", "version": __version__, "database": redact(worker.target), "pid": os.getpid()}
    log.info("market-spine %s, worker %s on %s", __version__, worker.name, redact(worker.target), extra=facts)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a worker works. `once`: one item; `drain`: until nothing is due; with either it then ends."""

    concurrency: int = 1
    once: bool = False
    drain: bool = False
    lease: Lease = field(default_factory=Lease)
    retry_after: timedelta = RETRY_AFTER
    grace: float = 25.0
    longest_minutes: float = 60.0  # that an item may run
    unwind: float = 5.0  # seconds that an abandoned item has to notice it
    give_up: float = GIVE_UP

    @property
    def ends(self) -> bool:
        return self.once or self.drain

    @property
    def sweep_every(self) -> float:
        return min(max(self.lease.length.total_seconds() / 4, 0.5), 30.0)


class Worker:
    """A worker on the database `target`."""

    def __init__(self, target: str, perform: Perform, settings: Settings) -> None:
        self.target, self.settings = target, settings
        self.name = f"{hostname()}:{os.getpid()}:{secrets.token_hex(2)}"
        self.stopping = threading.Event()
        self.troubles = Troubles(settings.give_up)
        self._finished = threading.Event()
        self._perform = perform
        self._running = Running()
        self._feed = Feed(self)
        self._failure: BaseException | None = None

    def open(self) -> Database:
        """A connection for this worker. Whoever reclaims its items ends its sessions, should it be suspended in a transaction;
        should nobody do so, the server does when no item may run for as long."""
        idle = max(self.settings.longest_minutes * 60, _SHORTEST_IDLE_TRANSACTION)
        db = connect(self.target, create=False, settings={"idle_in_transaction_session_timeout": f"{idle:.0f}s"})
        try:
            db.name_session(lease.session_of(self.name))
        except BaseException:
            db.close()
            raise
        return db

    def run(self) -> int:
        """Works until it is stopped, or nothing is left for a worker that ends; returns the number of items executed.

        Raises SchemaTooNew and SchemaTooOld before it claims anything.
        """
        with contextlib.closing(self.open()) as db:
            migrations.check_schema(db)
            if self.settings.ends:
                self._sweep(db, lease.Watch(self.settings.lease, patience=0))
        duties = {"feed": self._feed.run, "heartbeat": self._pulse, "sweep": self._sweeper}
        threads = [threading.Thread(target=self._guarded, args=(name, act), name=name) for name, act in duties.items()]
        with self._signals():
            for thread in threads:
                thread.daemon = True
                thread.start()
            # A signal may reach any thread, after a SIGCONT mostly another one: then it does not end this one's wait.
            while not self._finished.wait(_SIGNAL_SECONDS):
                pass
        for thread in threads:
            thread.join(5)
        if self._failure is not None:
            raise self._failure
        return self._running.done

    def _guarded(self, name: str, act: Callable[[], None]) -> None:
        """An error that ends a duty ends the worker: without heartbeats, its items would be reclaimed while it works on them."""
        try:
            act()
            if name == "feed":
                self._finished.set()
        except BaseException as error:
            self._failure = self._failure or error
            self.stopping.set()
            self._feed.stop()
            with contextlib.suppress(Exception):
                self._abandon_all()
            self._finished.set()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, _frame: FrameType | None) -> None:
            if not self.stopping.is_set():
                self.stop()
            elif number == signal.SIGINT:  # further SIGTERMs are ignored: supervisors often send two
                os._exit(128 + number)

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Claims no more items; current ones have `grace` seconds to end, then they are returned to the queue."""
        self.stopping.set()  # before the line is logged: a SIGINT that follows it must find the flag set
        log.info("stopping", extra={"event": "worker_stopping", "running": len(self._running)})
        self._feed.stop()
        timer = threading.Timer(self.settings.grace, self._abandon_all)
        timer.daemon = True
        timer.start()

    def _abandon_all(self) -> None:
        for execution in self._running.all():
            self._abandon(execution)

    def _abandon(self, execution: Execution, why: Interrupted | None = None) -> None:
        if execution.settling.is_set() or execution.transaction.abandoned is not None:
            return  # what settles it is not to be interrupted
        execution.transaction.abandon(why)
        timer = threading.Timer(self.settings.unwind, self._end_hung, [execution])
        timer.daemon = True
        timer.start()

    def _end_hung(self, execution: Execution) -> None:
        """A thread that does not notice (a file system that hangs) can only be ended with the process. Its item is settled first:
        then nothing that the thread still writes can be committed."""
        if execution.settling.is_set() or execution not in self._running:
            return
        item, why = execution.item, execution.transaction.abandoned or Interrupted(signal.SIGTERM)
        log.error("%s: does not stop", item.where, extra={"event": "work_hung", "work_item": item.id})
        with contextlib.suppress(DatabaseError), contextlib.closing(self.open()) as db:
            settle_error(db, item, why, self.settings.retry_after)
        if not self.stopping.is_set():
            self._failure = self._failure or WorkerStuck(f"{item.where} does not stop", hint="the next worker continues")
        self.stopping.set()
        self._finished.set()

    def work_on(self, db: Database, item: Item) -> None:
        """Executes a claimed item and settles it. Called by the feed, on the connection that claimed it."""
        transaction = ItemTransaction(db, serial=week_lock(item.week_ending))
        execution = self._running.begin(item, transaction)
        log.info("%s: started", item.where, extra={"event": "work_started", "work_item": item.id, "attempt": item.attempt_count})
        try:
            state = execute(db, transaction, item, self._perform, self.settings.retry_after)
        except DatabaseError as error:
            execution.settling.set()
            state = self._settle_later(db, item, error)
        finally:
            self._running.end(execution)
        if state is None:
            log.debug("item %s is held by another worker", item.id)

    def _settle_later(self, db: Database, item: Item, error: DatabaseError) -> State | None:
        """The database is unavailable: waits for it, unless the worker is stopped; then the lease expires."""
        duty, latest = f"settling {item.where}", error
        while not self.stopping.wait(self.troubles.failed(duty, latest)):
            try:
                db.leave_session()
                state = settle_error(db, item, error, self.settings.retry_after)
            except DatabaseError as renewed:
                latest = renewed
            else:
                self.troubles.recovered(duty)
                return state
        return None

    def _pulse(self) -> None:
        def beat(db: Database) -> None:
            for execution, why in self._running.overdue(self.settings.longest_minutes):
                self._abandon(execution, why)
            for execution in self._running.all():
                if not lease.beat(db, execution.item, db.now()) and execution in self._running:
                    self._abandon(execution)
            roster.beat(db, self.name, self.troubles.outages, db.now())

        self._every("heartbeat", self.settings.lease.beat, beat)
        with contextlib.suppress(DatabaseError), contextlib.closing(self.open()) as db:
            roster.remove(db, self.name)

    def _sweeper(self) -> None:
        watch = lease.Watch(self.settings.lease, patience=0 if self.settings.ends else 2 * self.settings.lease.beat)
        self._every("sweep", self.settings.sweep_every, lambda db: self._sweep(db, watch), self._listen)

    def _listen(self, db: Database, seconds: float) -> None:
        """Wakes the feed whenever items become due, for these seconds."""
        if db.engine == "sqlite" or self.settings.ends:  # nobody notifies, nobody waits
            self._finished.wait(seconds)
            return
        until = clock.ticks() + seconds
        while (left := until - clock.ticks()) > 0 and not self._finished.is_set():
            if db.notified(WORK_DUE, min(left, _LISTEN_SECONDS)):
                self._feed.wakeup.wake()

    def _sweep(self, db: Database, watch: lease.Watch) -> None:
        for item in lease.sweep(db, watch, db.now(), clock.ticks(), self.name):
            facts = {"event": "work_reclaimed", "work_item": item.id, "state": item.state.value}
            log.warning("%s: %s: %s", item.where, item.state.value, item.last_error, extra=facts)

    def _rest(self, _db: Database, seconds: float) -> None:
        self._finished.wait(seconds)

    def _every(
        self, duty: str, seconds: float, act: Callable[[Database], None], rest: Callable[[Database, float], None] | None = None
    ) -> None:
        """Calls `act` at once and then every `seconds` until the feed has ended, whatever fails; in between it `rest`s. Raises a
        hopeless error."""
        db: Database | None = None
        wait = 0.0
        while not self._finished.wait(wait):
            try:
                db = db or self.open()
                db.reconnect()
                act(db)
                self.troubles.recovered(duty)
                wait = 0.0
                (rest or self._rest)(db, seconds)
            except Exception as error:
                if db is not None and not isinstance(error, DatabaseLocked):  # a new session has none of the failed one's state
                    db.close()
                    db = None
                wait = min(self.troubles.failed(duty, error), seconds)
        if db is not None:
            db.close()
