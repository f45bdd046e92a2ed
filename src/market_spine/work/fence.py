"""One transaction around everything an item writes, committed only together with the item's own settlement."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any, cast

from market_spine.core import events
from market_spine.db import Database
from market_spine.db.transactions import lock_week
from market_spine.errors import DatabaseError, DatabaseLost, Interrupted


class ItemTransaction:
    """The database as one item's pipeline sees it.

    The transaction begins with the first write, so that nothing is locked while content is fetched or a file is read; each
    of the pipeline's own transactions is a savepoint within it: one that fails rolls back its own rows and no others.
    `serial` names what two items must not process at the same time (PostgreSQL; SQLite has one writer anyway).
    """

    def __init__(self, db: Database, *, serial: str) -> None:
        self._db, self._serial = db, serial
        self._transaction: contextlib.AbstractContextManager[None] | None = None
        self._inside = False
        self._broken: DatabaseError | None = None
        self.abandoned: Interrupted | None = None
        self._stops: list[Callable[[], None]] = []
        self.engine, self.label = db.engine, db.label

    @contextlib.contextmanager
    def committing(self, settle: Callable[[], None]) -> Iterator[ItemTransaction]:
        """Runs the block; then settles and commits. Anything raised, in the block or by `settle`, rolls everything back."""
        try:
            yield self
            self.begin()
            settle()
        except BaseException as error:
            if self._transaction is not None and not self._transaction.__exit__(type(error), error, error.__traceback__):
                self._transaction = None
            raise
        assert self._transaction is not None
        self._transaction.__exit__(None, None, None)

    def begin(self) -> None:
        """Opens the transaction, if it is not open yet."""
        self._check()
        if self._transaction is None:
            transaction = self._db.transaction()
            transaction.__enter__()
            self._transaction = transaction
            lock_week(self._db, self._serial)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """A savepoint; joins an open one."""
        self.begin()
        if self._inside:
            yield
            return
        self._inside = True
        self._db.execute("SAVEPOINT pipeline_step")
        marked = events.mark(self._db)
        try:
            yield
            self._check()
        except BaseException:
            self._roll_back()
            events.rewind(self._db, marked)
            raise
        finally:
            self._inside = False
        self._db.execute("RELEASE SAVEPOINT pipeline_step")

    def _roll_back(self) -> None:
        try:
            self._db.execute("ROLLBACK TO SAVEPOINT pipeline_step")
            self._db.execute("RELEASE SAVEPOINT pipeline_step")
        except DatabaseError as error:
            self._broken = error

    def _check(self) -> None:
        if self.abandoned:
            raise self.abandoned
        if self._broken is not None:
            raise self._broken

    def abandon(self, why: Interrupted | None = None) -> None:
        """From another thread: the current or next statement ends with `why` or a DatabaseError, and a fetch with its error."""
        self.abandoned = why or Interrupted(signal.SIGTERM)
        for stop in self._stops:
            stop()
        self._db.interrupt()

    def on_abandon(self, stop: Callable[[], None]) -> None:
        """Called when the item is abandoned; at once when it has been."""
        self._stops.append(stop)
        self._check()

    @property
    def database(self) -> Database:
        """Itself, typed as the phases need it; whatever is not defined here is delegated to the real database."""
        return cast(Database, self)

    def __getattr__(self, name: str) -> Any:
        self._check()
        return getattr(self._db, name)

    def reconnect(self) -> None:
        """Refused: the item's transaction was lost with the connection, so the item ends and is executed again."""
        raise DatabaseLost(f"the connection to {self.label} was lost", hint="the item is executed again")

    def close(self) -> None:
        """The worker closes its connection, not the pipeline."""
