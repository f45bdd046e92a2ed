"""A SQLite file for others to read: built under a temporary name by sqlite-utils, and renamed when it is complete.

Whoever reads the old file goes on reading it; a process that is killed leaves it as it was. Importing sqlite-utils takes as
long as a whole command, so it is imported when a file is made.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from market_spine.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    import sqlite_utils

_APPLICATION_ID = "1297305666"  # marks a file that was published: only such a one is replaced
_BATCH = 10_000
_ABANDONED_SECONDS = 3600
_READ_ONLY = 0o444


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns and their types, its rows in that order, the columns that lead to another table, what is indexed."""

    name: str
    columns: Mapping[str, type]
    rows: Iterable[Sequence[Any]]
    key: str | None = None
    leads_to: Mapping[str, str] = field(default_factory=dict)
    indexes: Sequence[Sequence[str]] = ()


class Publication:
    """A file that is being built."""

    def __init__(self, db: sqlite_utils.Database) -> None:
        self._db = db

    def add(self, table: Table) -> int:
        """Creates a table with its rows and indexes; returns how many rows it has."""
        made = self._db.table(table.name)
        leads_to = [(column, other, column) for column, other in table.leads_to.items()]
        made.create(dict(table.columns), pk=table.key, foreign_keys=leads_to)
        self.fill(table)
        for columns in table.indexes:
            made.create_index(list(columns))
        return int(made.count)

    def fill(self, table: Table) -> int:
        """Inserts rows into a table that was added; returns how many it has."""
        made = self._db.table(table.name)
        made.insert_all(chain([list(table.columns)], table.rows), batch_size=_BATCH)
        return int(made.count)

    def search(self, table: str, columns: Sequence[str]) -> None:
        """Full-text search of these columns; Datasette finds it by itself."""
        self._db.table(table).enable_fts(list(columns), tokenize="unicode61")

    def add_view(self, name: str, columns: Mapping[str, str], table: Table) -> None:
        """A view of a table with what its columns lead to; `columns` maps names to where they are taken from."""
        selected = ", ".join(f"{source} AS {column}" for column, source in columns.items())
        joins = " ".join(f"LEFT JOIN {other} ON {other}.{key} = {table.name}.{key}" for key, other in table.leads_to.items())
        self._db.create_view(name, f"SELECT {selected} FROM {table.name} {joins}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Publication]:
    """A file to build, which takes its name at the end of the block. Raises UsageError where another file has that name,
    ConfigurationError where none can be written."""
    if not path.name:
        raise UsageError("the file to publish has no name", hint="spine publish otc.db")
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _check(path)
        part.unlink(missing_ok=True)
        with contextlib.closing(_open(part)) as db:
            yield Publication(db)
            db.analyze()
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        part.chmod(_READ_ONLY)
        _on_disk(part)
        part.replace(path)
        _on_disk(path.parent)
        _clear_up(path)
    except (OSError, sqlite3.OperationalError) as error:
        raise ConfigurationError(f"cannot write {path}: {error}", hint="name a file in a writable folder") from error
    finally:
        with contextlib.suppress(OSError):  # no name of a file
            part.unlink(missing_ok=True)


def _open(path: Path) -> sqlite_utils.Database:
    """An empty database without a journal: what is left after a crash is thrown away."""
    import sqlite_utils

    db = sqlite_utils.Database(path)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA cache_size = -64000")  # 64 MB: indexes are sorted in it
    return db


def _check(path: Path) -> None:
    """Raises UsageError where the name is that of a file that was not published: above all a store."""
    if path.is_dir() or (path.exists() and not _is_published(path)):
        hint = f"spine publish {shlex.quote(f'{path.stem}_published.db')}"
        raise UsageError(f"{path} already exists and was not made by spine publish", hint=hint)
    if any(Path(f"{path}{suffix}").exists() for suffix in ("-wal", "-journal")):
        raise UsageError(f"{path} is open in a program that writes to it", hint="close it there, or name another file")


def _is_published(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
        try:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        except sqlite3.DatabaseError:
            return False
    return str(application_id) == _APPLICATION_ID


def _on_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _clear_up(path: Path) -> None:
    """Removes what killed processes left; what is younger than an hour may belong to one that is running."""
    now = path.stat().st_mtime  # just written, so it shows the clock of that disk
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if left.stat().st_mtime < now - _ABANDONED_SECONDS:
                left.unlink()
