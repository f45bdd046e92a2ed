"""Open a database, transactions, bulk rows: the only folder that imports a database driver.

Two engines run one SQL text with `?` parameters. `Sqlite` is the embedded default and serves one machine, `Postgres`
serves several; each answers `execute(sql, params)` with a cursor whose rows are read by position.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from market_spine.db.target import is_postgres, redact
from market_spine.statements import Row

__all__ = ["Connection", "Cursor", "Database", "connect", "is_postgres", "redact", "writing"]


class Cursor(Protocol):
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    @property
    def rowcount(self) -> int: ...


class Connection(Protocol):
    """What the core functions need: a plain sqlite3.Connection will do."""

    def execute(self, sql: str, parameters: Any = (), /) -> Any: ...


class Database(Protocol):
    """An open database of either engine."""

    engine: str
    label: str
    guard: Callable[[], None] | None  # called at the beginning and the end of every transaction; what it raises rolls back
    patience: float  # seconds to wait for another process's write transaction

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor: ...
    def stream(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[Row]: ...
    def transaction(self) -> contextlib.AbstractContextManager[None]: ...
    def snapshot(self) -> contextlib.AbstractContextManager[None]: ...
    def bulk_insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None: ...
    def bulk_columns(self, table: str, constants: Mapping[str, Any], columns: Mapping[str, list[Any]]) -> None: ...
    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None: ...
    def run_script(self, script: str) -> None: ...
    def has_table(self, name: str) -> bool: ...
    def tables(self) -> dict[str, list[str]]: ...
    def reset_identities(self) -> None: ...
    def reopen(self) -> Database: ...
    def reconnect(self) -> None: ...
    def interrupt(self) -> None: ...
    def rollback(self) -> None: ...
    def now(self) -> datetime: ...
    def name_session(self, name: str) -> None: ...
    def transaction_lock(self, name: str) -> None: ...
    def session_lock(self, name: str) -> bool: ...
    def session_unlock(self, name: str) -> None: ...
    def end_sessions(self, name: str) -> None: ...
    def size_bytes(self) -> int: ...
    def close(self) -> None: ...


def connect(
    target: str, *, read_only: bool = False, create: bool = True, settings: Mapping[str, str] | None = None
) -> Database:
    """Opens `target`, a path or `postgresql://…`; a missing SQLite file is made unless `create` is off. `settings` are
    PostgreSQL's, for this session and those that take its place.

    Raises DatabaseError (NotADatabase, …) with what to do next. Applies no migration: see migrations.prepare.
    """
    if is_postgres(target):
        from market_spine.db.postgres import Postgres

        return Postgres(target, read_only=read_only, settings=settings)
    from market_spine.db.sqlite import Sqlite

    return Sqlite(target, read_only=read_only, create=create)


@contextlib.contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """One write on any connection: joins the transaction that is open, or commits its own."""
    if hasattr(connection, "transaction"):
        with connection.transaction():
            yield
    elif getattr(connection, "in_transaction", True):
        yield
    else:  # a plain sqlite3.Connection: as a context manager it commits or rolls back
        with connection:  # type: ignore[attr-defined]
            yield
