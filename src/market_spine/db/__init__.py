"""Open a database, transactions, bulk rows: the only folder that imports a database driver.

Two engines run one SQL text with `?` parameters. `Sqlite` is the embedded default and serves one machine, `Postgres`
serves several; `execute(sql, params)` of each returns a cursor over plain tuples, which the caller unpacks or names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from market_spine.db.bulk_sql import Row, Values
from market_spine.target import is_postgres, redact, resolve

__all__ = [
    "Connection", "Cursor", "Database", "Tell", "Watch", "connect", "is_postgres", "redact", "resolve", "silent", "unwatched",
    "writing",
]


Tell = Callable[[int, int], None]  # is called with how much is done, and of how much


Watch = Callable[[str, str], contextlib.AbstractContextManager[Tell]]  # with what is done, and in what it is counted


def silent(_done: int, _total: int) -> None:
    """Where nobody watches the progress."""


@contextlib.contextmanager
def unwatched(_what: str, _unit: str) -> Iterator[Tell]:
    """The same for work in several parts."""
    yield silent


class Cursor(Protocol):
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    @property
    def rowcount(self) -> int: ...


class Connection(Protocol):
    """The part of a connection that the core functions need; a plain sqlite3.Connection has it."""

    def execute(self, sql: str, parameters: Any = (), /) -> Any: ...


class Database(Protocol):
    """An open database of either engine."""

    engine: str
    label: str
    guard: Callable[[], None] | None  # called at the beginning and the end of every transaction; what it raises rolls back
    before_commit: list[Callable[[], None]]  # of the open transaction: called once its block is through, then forgotten
    serial: str  # the week, if any, that a run's transactions lock against queued items
    execution_id: str  # of the run this session works for; events name it
    patience: float  # seconds to wait for another process's write transaction

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor: ...
    def stream(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[Row]: ...
    def transaction(self) -> contextlib.AbstractContextManager[None]: ...
    def snapshot(self) -> contextlib.AbstractContextManager[None]: ...
    def bulk_insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None: ...
    def bulk_columns(self, table: str, constants: Mapping[str, Any], columns: Mapping[str, Values]) -> None: ...
    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[Row], key: str) -> list[Row]: ...
    def run_script(self, script: str) -> None: ...
    def has_table(self, name: str) -> bool: ...
    def tables(self) -> dict[str, list[str]]: ...
    def reset_identities(self) -> None: ...
    def reopen(self) -> Database: ...
    def reconnect(self) -> None: ...
    def leave_session(self) -> None: ...  # `reconnect` opens another
    def interrupt(self) -> None: ...
    def rollback(self) -> None: ...
    def now(self) -> datetime: ...
    def name_session(self, name: str) -> None: ...
    def transaction_lock(self, name: str, *, within: str = "") -> None: ...
    def notify(self, channel: str) -> None: ...
    def notified(self, channel: str, seconds: float) -> bool: ...
    def session_lock(self, name: str) -> bool: ...
    def session_unlock(self, name: str) -> None: ...
    def end_sessions(self, name: str) -> None: ...
    def size_bytes(self) -> int: ...
    def damage(self) -> list[str]: ...
    def backup_beside(self, name: str, tell: Tell = silent) -> Path | None: ...
    def dump_to(self, path: Path, tell: Tell) -> None: ...
    def close(self) -> None: ...


def connect(target: str, *, read_only: bool = False, create: bool = True, settings: Mapping[str, str] | None = None) -> Database:
    """Opens `target`, a path or `postgresql://…`; a missing SQLite file is created unless `create` is off. `settings` are
    PostgreSQL's, for this session and those that replace it.

    Raises ConfigurationError for an invalid `target`, DatabaseError (NotADatabase, …) with what to do next. Applies no
    migration: see migrations.prepare.
    """
    target = resolve(target)
    if is_postgres(target):
        from market_spine.db.postgres import Postgres

        return Postgres(target, read_only=read_only, settings=settings)
    from market_spine.db.sqlite import Sqlite

    return Sqlite(target, read_only=read_only, create=create)


@contextlib.contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """One write on any connection: joins an open transaction, or commits its own."""
    if hasattr(connection, "transaction"):
        with connection.transaction():
            yield
    elif getattr(connection, "in_transaction", True):
        yield
    else:  # a plain sqlite3.Connection: as a context manager it commits or rolls back
        with connection:  # type: ignore[attr-defined]
            yield
