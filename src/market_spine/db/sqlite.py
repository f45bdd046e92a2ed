"""SQLite: the embedded default, for one machine."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from market_spine import clock
from market_spine.db import silent
from market_spine.db.bulk_sql import VALUES_ROWS, Row, Values, insert, insert_columns, insert_or_ignore, insert_selected, listed
from market_spine.db.location import check_location, make_private
from market_spine.db.sqlite_cursor import TranslatingConnection, TranslatingCursor
from market_spine.db.transactions import transaction
from market_spine.errors import RECOVERY, ConfigurationError, DamagedDatabase, DatabaseError, DatabaseLocked, NotADatabase

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from market_spine.db import Cursor, Tell

_Result = TypeVar("_Result")
BUSY_SECONDS = 10
_STAGING = "staging"
# From 3.53.1 on SQLite refuses, within a transaction, to deserialize into a database that is already attached.
_DESERIALIZES = hasattr(sqlite3.Connection, "deserialize") and sqlite3.sqlite_version_info < (3, 53, 1)
_FEWEST_PAGED_ROWS = 500  # below that, binding their values is as fast
_PAGED_ROWS = 50_000  # in one statement: some 2 MB
_STEPS = 20_000  # of SQLite's machine, between two looks at a growing copy
_BACKUP_PAGES = 2_000  # in one step: some 16 MB
_BUSY_TIMEOUT = 0.2  # seconds: SQLite handles no signal while it waits, so it waits briefly and `_patiently` repeats


class Sqlite:
    """SQLite: WAL, one writer at a time, BEGIN IMMEDIATE."""

    engine = "sqlite"

    def __init__(self, path: str, *, read_only: bool = False, create: bool = True) -> None:
        self.label = path
        self._read_only = read_only
        self.guard: Callable[[], None] | None = None
        self.before_commit: list[Callable[[], None]] = []
        self.serial = self.execution_id = ""
        self.patience: float = BUSY_SECONDS
        self._at_rest: tuple[int, int] | None = None
        check_location(path, read_only=read_only, create=create)
        self._open(self._uri(path, read_only))

    def _open(self, uri: str, *, on_full_disk: bool = False) -> None:
        with self._translated():
            self._connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT, check_same_thread=False, factory=TranslatingConnection
            )
        self._connection.translate = self._translate
        try:
            if on_full_disk:
                self.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._configure(self._read_only)
        except DatabaseError as error:
            self._connection.close()
            if not (self._read_only and _needs_space(error.__cause__)) or on_full_disk or self._at_rest is not None:
                raise
            self._open(self._uri_on_full_disk(), on_full_disk=self._at_rest is None)

    def _uri_on_full_disk(self) -> str:
        """How to open a file when the disk has no space for the 32 KB of its -shm file. Nobody else has it open, or that file
        would exist. With an empty -wal it is opened as immutable. What a killed writer left in the -wal is read under an
        exclusive lock, with which SQLite keeps the index of the -wal in memory instead of the -shm file."""
        uri, wal = Path(self.label).absolute().as_uri(), Path(self.label + "-wal")
        if wal.exists() and wal.stat().st_size:
            return uri + "?mode=rw"
        self._at_rest = _state_of(self.label)
        return uri + "?immutable=1"

    def _uri(self, path: str, read_only: bool) -> str:
        """How to open the file. Writers must know of a reader, or their checkpoints change what it is reading: SQLite does
        that through the -wal and -shm files, which it creates where it may and removes when it closes. Where it may not
        and they do not exist, nobody is writing: then the file is opened as immutable, and `_check_rest` notices when
        somebody begins to write."""
        if path == ":memory:":
            return "file::memory:"
        uri = Path(path).absolute().as_uri()
        if not read_only:
            return uri
        if Path(path + "-wal").exists():
            return uri + "?mode=ro"
        if os.access(path, os.W_OK) and os.access(Path(path).absolute().parent, os.W_OK):
            return uri + "?mode=rw"
        self._at_rest = _state_of(path)
        return uri + "?immutable=1"

    def _check_rest(self) -> None:
        """Raises DatabaseLocked when a file opened as immutable has been written to since."""
        if self._at_rest is not None and _state_of(self.label) != self._at_rest:
            raise self._has_changed()

    def _has_changed(self) -> DatabaseLocked:
        return DatabaseLocked(f"{self.label} was written to while it was read", hint="run again")

    def _configure(self, read_only: bool) -> None:
        self.execute("PRAGMA temp_store = MEMORY")
        self.execute("PRAGMA cache_size = -16000")
        if read_only:
            self.execute("PRAGMA query_only = ON")
            self.execute("SELECT count(*) FROM sqlite_master")
            return
        self.execute("PRAGMA page_size = 8192")  # of a new file: half as many pages to write, twice each
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = NORMAL")

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        self._check_rest()
        return self._patiently(self._connection.cursor(TranslatingCursor).execute, sql, parameters)

    def _patiently(self, act: Callable[..., _Result], *arguments: Any) -> _Result:
        """Repeats while another process holds the lock; not inside a transaction, where what was read would be stale."""
        deadline: float | None = None
        while True:
            try:
                return act(*arguments)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                deadline = clock.ticks() + self.patience if deadline is None else deadline
                if self._connection.in_transaction or not _is_busy(error) or clock.ticks() >= deadline:
                    raise self._translate(error) from error
                clock.pause(0.01)

    def stream(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[Row]:
        """Yields rows without holding them all."""
        yield from self.execute(sql, parameters)
        self._check_rest()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when anything is raised; joins an open transaction."""
        return transaction(self, "BEGIN IMMEDIATE", joins=self._connection.in_transaction)

    def rollback(self) -> None:
        """Rolls back an open transaction, if there is one."""
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Every query inside sees the database as it was at the beginning; joins an open snapshot or transaction."""
        if self._connection.in_transaction:
            yield
            return
        self._check_rest()
        self._patiently(self._begin_snapshot)
        try:
            yield
        finally:
            self.rollback()
        self._check_rest()

    def _begin_snapshot(self) -> None:
        """BEGIN, and a first read, since the snapshot is taken by the first read and not by BEGIN."""
        try:
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
        except sqlite3.Error:
            self.rollback()
            raise

    def bulk_insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Inserts rows in the order given, fifty to a statement. Call it inside a transaction."""
        self._insert_rows(insert, table, tuple(columns), rows if isinstance(rows, list) else list(rows))

    def _insert_rows(self, text: Callable[..., str], table: str, columns: tuple[str, ...], rows: list[Row]) -> None:
        try:
            for start in range(0, len(rows), VALUES_ROWS):
                part = rows[start : start + VALUES_ROWS]
                self._connection.execute(text(table, columns, len(part)), tuple(chain.from_iterable(part)))
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def bulk_columns(self, table: str, constants: Mapping[str, Any], columns: Mapping[str, Values]) -> None:
        """Inserts n rows given as columns of n values, each row with the same `constants`. Call it inside a transaction.

        Many rows are laid out as the pages of a database in memory and selected from it, in 60 % of the time of binding values.
        """
        arrays = {name: values for name, values in columns.items() if not isinstance(values, list)}
        count = len(next(iter(columns.values())))
        try:
            if count < _FEWEST_PAGED_ROWS or len(arrays) < len(columns) or not _DESERIALIZES:
                self._insert_values(table, constants, columns)
                return
            self._attach_staging()
            for start in range(0, count, _PAGED_ROWS):
                part = {name: values[start : start + _PAGED_ROWS] for name, values in arrays.items()}
                self._insert_pages(table, constants, part)
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def _insert_pages(self, table: str, constants: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> None:
        from market_spine.db import sqlite_pages

        try:
            laid_out = sqlite_pages.image([sqlite_pages.plain(values) for values in columns.values()])
            self._connection.deserialize(laid_out.data, name=_STAGING)
        except (sqlite_pages.Unsuitable, sqlite3.OperationalError):  # SQLite may refuse while it still uses the pages before
            self._insert_values(table, constants, columns)
            return
        selected = f"{sqlite_pages.names(len(columns))} FROM {_STAGING}.rows"
        statement = insert_selected(table, tuple(constants), tuple(columns), selected)
        stored, count = self._connection.execute(statement, tuple(constants.values())).rowcount, len(next(iter(columns.values())))
        if stored != count:
            raise DatabaseError(f"{self.label}: SQLite stored {stored:,} of {count:,} rows", hint="report it; nothing was stored")

    def _attach_staging(self) -> None:
        """Attaches a database in memory; it lives as long as the connection."""
        if _STAGING not in (name for _, name, _ in self._connection.execute("PRAGMA database_list")):
            self._connection.execute(f"ATTACH ':memory:' AS {_STAGING}")

    def _insert_values(self, table: str, constants: Mapping[str, Any], columns: Mapping[str, Values]) -> None:
        """Fifty rows to a statement; the columns are interleaved in one list, so that no tuple per row is built."""
        width, count = len(columns), len(next(iter(columns.values())))
        values_by_row: list[Any] = [None] * (width * count)
        for at, values in enumerate(columns.values()):
            values_by_row[at::width] = listed(values)
        fixed, names = list(constants.values()), (tuple(constants), tuple(columns))
        step = VALUES_ROWS * width
        for start in range(0, len(values_by_row), step):
            part = values_by_row[start : start + step]
            self._connection.execute(insert_columns(table, *names, len(part) // width), fixed + part)

    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[Row], key: str) -> list[Row]:
        """Inserts rows, skipping those whose key already exists; returns the inserted ones, each with its number first.

        Call it inside a transaction: SQLite has one writer, so the numbers are known in advance and need not be read back.
        """
        (first,) = self.execute(f"SELECT COALESCE(MAX({key}), 0) + 1 FROM {table}").fetchone()
        numbered = [(number, *row) for number, row in enumerate(rows, first)]
        before = self._connection.total_changes
        self._insert_rows(insert_or_ignore, table, (key, *columns), numbered)
        if self._connection.total_changes - before == len(numbered):
            return numbered
        return self.execute(f"SELECT {key}, {', '.join(columns)} FROM {table} WHERE {key} >= ?", (first,)).fetchall()

    def run_script(self, script: str) -> None:
        """Runs several statements inside the open transaction."""
        statement = ""
        for line in script.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                self.execute(statement)
                statement = ""

    def has_table(self, name: str) -> bool:
        return self.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None

    def tables(self) -> dict[str, list[str]]:
        """Our tables and their columns."""
        names = self.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
        return {
            table: [column for (column,) in self.execute("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table,))]
            for (table,) in names.fetchall()
        }

    def reset_identities(self) -> None:
        """Nothing to do: the next number follows the largest by itself."""

    def reopen(self) -> Sqlite:
        """A second connection to the same database, for another thread."""
        second = Sqlite(self.label, read_only=self._read_only, create=False)
        second.patience = self.patience
        return second

    def reconnect(self) -> None:
        """Nothing to do: a file does not go away, and there are no sessions."""

    leave_session = reconnect

    def interrupt(self) -> None:
        with contextlib.suppress(sqlite3.ProgrammingError):  # closed: nothing runs
            self._connection.interrupt()

    def now(self) -> datetime:
        """The clock that all users of this database share: the machine's."""
        return clock.exact_now()

    def name_session(self, name: str) -> None:
        """Nothing to do: there are no sessions; a process that ends leaves nothing behind."""

    def transaction_lock(self, name: str, *, within: str = "") -> None:
        """Nothing to do: a write transaction locks the whole file."""

    def notify(self, channel: str) -> None:
        """Nothing to do: who waits looks again after a while."""

    def notified(self, channel: str, seconds: float) -> bool:
        """False, after these seconds: nobody notifies."""
        clock.pause(seconds)
        return False

    def session_lock(self, name: str) -> bool:
        """True: there are no sessions, so none of them holds anything."""
        return True

    def session_unlock(self, name: str) -> None:
        """Nothing to do."""

    def end_sessions(self, name: str) -> None:
        """Nothing to do."""

    def size_bytes(self) -> int:
        (pages,) = self.execute("PRAGMA page_count").fetchone()
        (page_size,) = self.execute("PRAGMA page_size").fetchone()
        return int(pages * page_size)

    def damage(self) -> list[str]:
        """The first few faults that SQLite's integrity check of the whole file finds."""
        try:
            return [fault for (fault,) in self.execute("PRAGMA integrity_check(5)") if fault != "ok"]
        except DamagedDatabase as error:  # so badly that the check itself fails
            return [str(error.__cause__)]

    def backup_to(self, path: Path, tell: Tell = silent) -> None:
        """A compact copy of the whole database, by VACUUM INTO; it is measured while it grows."""
        size = self.size_bytes()
        self._connection.set_progress_handler(lambda: tell(path.stat().st_size, size), _STEPS)
        try:
            self.execute("VACUUM INTO ?", (str(path),))
        finally:
            self._connection.set_progress_handler(None, 0)

    def dump_to(self, path: Path, tell: Tell) -> None:
        """A copy of the open snapshot by SQLite's backup API, page by page, while others write; a file without a -wal."""
        make_private(path)
        with self._translated(), contextlib.closing(sqlite3.connect(path.absolute(), isolation_level=None)) as copy:
            self._connection.backup(copy, pages=_BACKUP_PAGES, progress=lambda _, left, pages: tell(pages - left, pages))
            copy.execute("PRAGMA journal_mode = DELETE")

    def backup_beside(self, name: str, tell: Tell = silent) -> Path:
        """A copy beside the file, `FILE.NAME.bak`; it gets that name only when it is complete and on the disk."""
        part, complete = Path(f"{self.label}.{name}.part"), Path(f"{self.label}.{name}.bak")
        part.unlink(missing_ok=True)
        make_private(part)  # a copy is as secret as its original
        self.backup_to(part, tell)
        with part.open("rb+") as copy:
            os.fsync(copy.fileno())
        return part.replace(complete)

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def _translate(self, error: Exception) -> Exception:
        if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)):
            return error
        text = str(error)
        name = self.label
        if self._at_rest is not None and _state_of(name) != self._at_rest:
            return self._has_changed()
        if "not a database" in text:
            return NotADatabase(f"{name} is not a SQLite database", hint=f"name another file with --db; or: {RECOVERY}")
        if _is_busy(error):
            return DatabaseLocked(
                f"{name} has been locked by another process for {self.patience:.0f} s",
                hint="wait for it, or find it with: fuser " + name,
            )
        if "full" in text:
            return DatabaseError(f"no space left for {name}", hint="free space and run again; nothing was half written")
        if "readonly" in text or ("unable to open" in text and not os.access(Path(name).absolute().parent, os.W_OK)):
            return DatabaseError(f"{name} is read-only", hint="make the file and its folder writable, or choose another --db")
        if "unable to open" in text:
            return ConfigurationError(f"cannot open the database {name}", hint="check that its folder exists and is writable")
        # The message itself may not be UTF-8 either.
        if isinstance(error, UnicodeDecodeError) or "malformed" in text or "decode to UTF-8" in text:
            return DamagedDatabase(f"{name} is damaged: {text}", hint=RECOVERY)
        if isinstance(error, sqlite3.OperationalError) and ("disk I/O" in text or "database or disk" in text):
            return DatabaseError(f"the disk under {name} failed: {text}", hint="check space and the file system, then run again")
        return DatabaseError(f"{name}: {text}")


def _state_of(path: str) -> tuple[int, int]:
    """Time and size of a file, which change when it is written to."""
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


def _needs_space(error: BaseException | None) -> bool:
    """Whether SQLite failed for lack of space: when a -shm file cannot grow, it reports only a disk I/O error."""
    return isinstance(error, sqlite3.OperationalError) and any(text in str(error) for text in ("disk I/O", "full"))


def _is_busy(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "busy" in str(error))
