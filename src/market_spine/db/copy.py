"""Copy a whole database into an empty one of either engine, and verify that both hold the same rows."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from market_spine.db import Database, Tell, migrations, silent
from market_spine.db.bulk_sql import Row
from market_spine.errors import RECOVERY, DamagedDatabase, DatabaseError, MarketSpineError, UsageError

_BATCH = 20_000
_LEFT_OUT = frozenset(
    {"core_migrations", "core_locks", "core_workers"}
)  # the destination has its own: made by its schema, its locks and its workers


@dataclass(frozen=True, slots=True)
class TableCopy:
    """A table's rows and their digest: the sum of the rows' SHA-256, so that their order does not matter."""

    table: str
    rows: int
    digest: str


def copy(source: Database, destination: Database, now: datetime, tell: Tell = silent) -> list[TableCopy]:
    """Copies every table in one transaction and verifies counts and digests before it commits; `tell` counts rows, each twice.

    The source is one that check_source accepts. Raises UsageError when the destination is not empty, DatabaseError when the two
    differ afterwards.
    """
    migrations.prepare(destination, now)
    tables = {name: columns for name, columns in source.tables().items() if name not in _LEFT_OUT}
    if destination.tables().keys() != source.tables().keys():
        raise DatabaseError("the two databases do not have the same tables", hint="migrate both with spine db migrate")
    with source.snapshot(), destination.transaction():
        _check_empty(destination, tables)
        rows = _Rows(2 * sum(_count(source, name) for name in tables), tell)
        copied = [_copy_table(source, destination, name, columns, rows) for name, columns in tables.items()]
        destination.reset_identities()
        for done in copied:
            _verify(destination, done, tables[done.table], rows)
    return copied


@dataclass(slots=True)
class _Rows:
    """Counts the rows that are copied or verified."""

    total: int
    tell: Tell
    done: int = 0

    def add(self, count: int) -> None:
        self.done += count
        self.tell(self.done, self.total)


def _count(db: Database, name: str) -> int:
    (count,) = db.execute(f"SELECT COUNT(*) FROM {name}").fetchone()
    return int(count)


def check_source(source: Database) -> None:
    """Raises UsageError for a database of another schema, DamagedDatabase for a damaged one: before a destination is made."""
    newest = migrations.migrations(source.engine)[-1].number
    if migrations.schema_version(source) != newest:
        raise UsageError(f"{source.label} is not at schema {newest}", hint=f"spine db migrate --db {shlex.quote(source.label)}")
    if damage := source.damage():
        raise DamagedDatabase(f"{source.label} is damaged: {damage[0]}", hint=RECOVERY)


def _check_empty(destination: Database, tables: Iterable[str]) -> None:
    for name in tables:
        if destination.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone() is not None:
            raise UsageError(f"{destination.label} is not empty: {name} has rows", hint="copy into a new database")


def _copy_table(source: Database, destination: Database, name: str, columns: list[str], progress: _Rows) -> TableCopy:
    digest, count = _Digest(), 0
    rows = source.stream(f"SELECT {', '.join(columns)} FROM {name}")
    for batch in _batches(rows):
        digest.add(batch)
        count += len(batch)
        _insert(destination, name, columns, batch)
        progress.add(len(batch))
    return TableCopy(name, count, digest.hex())


def _insert(destination: Database, name: str, columns: list[str], rows: list[Row]) -> None:
    try:
        destination.bulk_insert(name, columns, rows)
    except MarketSpineError:
        raise
    except Exception as error:  # of the driver: the source holds a value that this program did not write
        hint = "nothing was committed; verify the source with spine verify"
        raise DatabaseError(f"{destination.label} cannot hold a row of {name}: {error}", hint=hint) from error


def _verify(destination: Database, done: TableCopy, columns: list[str], progress: _Rows) -> None:
    digest, count = _Digest(), 0
    for batch in _batches(destination.stream(f"SELECT {', '.join(columns)} FROM {done.table}")):
        digest.add(batch)
        count += len(batch)
        progress.add(len(batch))
    if (count, digest.hex()) != (done.rows, done.digest):
        raise DatabaseError(
            f"{done.table} differs after the copy: {done.rows} rows {done.digest[:16]}, now {count} rows {digest.hex()[:16]}",
            hint="nothing was committed; report this",
        )


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := [tuple(row) for row in islice(rows, _BATCH)]:
        yield batch


class _Digest:
    """The sum of the rows' SHA-256, modulo 2²⁵⁶."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._sum += int.from_bytes(hashlib.sha256(repr(row).encode()).digest(), "big")

    def hex(self) -> str:
        return f"{self._sum % (1 << 256):064x}"
