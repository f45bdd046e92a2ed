"""Connections for requests, each for one at a time: read-only ones for GET, one that writes for POST, one for probes."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator

from market_spine.api.problem import Refusal
from market_spine.db import Database, connect
from market_spine.errors import DatabaseError, DatabaseLost

READERS = 8
_BUSY_SECONDS = 2.0  # that a request waits for a reader before it is refused
_WRITE_SECONDS = 10.0  # that it waits for its turn to write
_READ_SECONDS = 30.0  # that a request may read
_SETTINGS = {"statement_timeout": f"{_READ_SECONDS:.0f}s", "idle_in_transaction_session_timeout": "60s"}


class Connections:
    """Opened when first needed, kept for the next request, discarded when lost."""

    def __init__(self, target: str, *, readers: int = READERS, read_seconds: float = _READ_SECONDS) -> None:
        self.target = target
        self._read_seconds = read_seconds
        self._idle: queue.LifoQueue[Database] = queue.LifoQueue()
        self._slots = threading.BoundedSemaphore(readers)
        self._writer: Database | None = None
        self._writing = threading.Lock()
        self._probe: Database | None = None
        self._probing = threading.Lock()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Database]:
        """A snapshot of the database, on a connection that cannot write. Raises Refusal when none becomes free, and when the
        block reads for too long.

        On SQLite a reader without -wal and -shm files beside the database reads it as immutable, and would miss what another
        process writes. So the writer is kept open, which keeps those files; where it cannot be opened (a full disk), the
        reader is closed after each request.
        """
        self._open_writer()
        if not self._slots.acquire(timeout=_BUSY_SECONDS):
            raise Refusal(503, "every reader is busy", hint="ask again", headers={"Retry-After": "5"})
        try:
            with self._reader() as db, self._limited(db):
                yield db
        finally:
            self._slots.release()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Database]:
        try:
            db = self._idle.get_nowait()
        except queue.Empty:
            db = connect(self.target, read_only=True, settings=_SETTINGS)
        try:
            _revive(db)
            with db.snapshot():
                yield db
        except (DatabaseError, Refusal):
            db.close()
            raise
        except BaseException:
            self._keep(db)
            raise
        self._keep(db)

    @contextlib.contextmanager
    def _limited(self, db: Database) -> Iterator[None]:
        """Interrupts the statement that runs when the time for reading is over. Raises Refusal then."""
        over = threading.Event()

        def end() -> None:
            over.set()
            db.interrupt()

        timer = threading.Timer(self._read_seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception as error:
            if not over.is_set():
                raise
            detail = f"the request read for more than {self._read_seconds:g} seconds"
            raise Refusal(503, detail, hint="ask for fewer rows at a time", headers={"Retry-After": "60"}) from error
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def probing(self) -> Iterator[Database]:
        """A connection of its own for probes, so that they respond while every reader is busy."""
        self._open_writer()
        with self._probing:
            self._probe = self._probe or connect(self.target, read_only=True, settings=_SETTINGS)
            try:
                _revive(self._probe)
                with self._probe.snapshot():
                    yield self._probe
            except DatabaseError:
                self._probe.close()
                self._probe = None
                raise

    @contextlib.contextmanager
    def writing(self) -> Iterator[Database]:
        """The connection that writes; requests that write are serialized."""
        if not self._writing.acquire(timeout=_WRITE_SECONDS):
            raise Refusal(503, "other requests are writing", hint="send it again", headers={"Retry-After": "5"})
        try:
            self._writer = self._writer or self._open()
            _revive(self._writer)
            try:
                yield self._writer
            except DatabaseError:
                self._writer.leave_session()  # one that began while the database was read-only would stay so
                raise
            finally:
                self._writer.rollback()
        finally:
            self._writing.release()

    def close(self) -> None:
        """Closes the idle connections."""
        while not self._idle.empty():
            self._idle.get().close()
        for db in (self._writer, self._probe):
            if db is not None:
                db.close()
        self._writer = self._probe = None

    def _keep(self, db: Database) -> None:
        """For the next request."""
        if self._writer is None:
            db.close()
        else:
            self._idle.put(db)

    def _open_writer(self) -> None:
        if self._writer is None:
            with self._writing, contextlib.suppress(DatabaseError):
                self._writer = self._writer or self._open()

    def _open(self) -> Database:
        db = connect(self.target, create=False, settings=_SETTINGS)
        db.execute("SELECT COUNT(*) FROM core_migrations").fetchone()  # makes SQLite open its -wal file
        return db


def _revive(db: Database) -> None:
    """Reopens the connection if it was lost while idle. Raises DatabaseLost when it cannot."""
    try:
        db.execute("SELECT 1").fetchone()
    except DatabaseLost:
        db.reconnect()
