"""Connections for requests: read-only ones for GET, one that writes for POST. Each serves one request at a time."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator

from market_spine.db import Database, connect
from market_spine.errors import DatabaseError, DatabaseLost

READERS = 8
_STATEMENT_SECONDS = 30
_SETTINGS = {"statement_timeout": f"{_STATEMENT_SECONDS}s", "idle_in_transaction_session_timeout": "60s"}


class Connections:
    """Opened when first needed, kept for the next request, discarded when lost."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._idle: queue.LifoQueue[Database] = queue.LifoQueue()
        self._slots = threading.BoundedSemaphore(READERS)
        self._writer: Database | None = None
        self._writing = threading.Lock()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Database]:
        """A snapshot of the database, on a connection that cannot write.

        On SQLite a reader without -wal and -shm files beside the database reads it as immutable, and would miss what another
        process writes. So the writer is kept open, which keeps those files; where it cannot be opened (a full disk), the
        reader is closed after each request.
        """
        self._open_writer()
        with self._slots:
            try:
                db = self._idle.get_nowait()
            except queue.Empty:
                db = connect(self.target, read_only=True, settings=_SETTINGS)
            try:
                _revive(db)
                with db.snapshot():
                    yield db
            except DatabaseError:
                db.close()
                raise
            except BaseException:
                self._keep(db)
                raise
            self._keep(db)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Database]:
        """The connection that writes; requests that write are serialized."""
        with self._writing:
            self._writer = self._writer or self._open()
            _revive(self._writer)
            try:
                yield self._writer
            finally:
                self._writer.rollback()

    def close(self) -> None:
        """Closes the idle connections."""
        while not self._idle.empty():
            self._idle.get().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

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
