"""Open a database, transactions, bulk rows: the only file that imports a database driver.

Two engines run one SQL text with `?` parameters. `Sqlite` is the embedded default and serves one machine, `Postgres`
serves several; each answers `execute(sql, params)` with a cursor whose rows are read by position.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from market_spine.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseLocked,
    DatabaseLost,
    NotADatabase,
)
from market_spine.statements import Row, copy_fields, insert, insert_columns, nulls, to_format

BUSY_SECONDS = 10
_COPY_ROWS = 5_000
_VALUES_ROWS = 50  # rows in one INSERT; twice as fast as executemany, no gain beyond


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
    def size_bytes(self) -> int: ...
    def close(self) -> None: ...


def connect(target: str, *, read_only: bool = False, create: bool = True) -> Database:
    """Opens `target`, a path or `postgresql://…`; a missing SQLite file is made unless `create` is off.

    Raises DatabaseError (NotADatabase, …) with what to do next. Applies no migration: see migrations.prepare.
    """
    if is_postgres(target):
        return Postgres(target, read_only=read_only)
    return Sqlite(target, read_only=read_only, create=create)


def is_postgres(target: str) -> bool:
    return target.startswith(("postgresql://", "postgres://"))


def redact(target: str) -> str:
    """A database's name without its password, fit for a log."""
    if not is_postgres(target):
        return target
    parts = urlsplit(target)
    user, at, place = parts.netloc.rpartition("@")
    query = "&".join(p for p in parts.query.split("&") if not p.lower().startswith(("password=", "sslpassword=")))
    return urlunsplit((parts.scheme, user.partition(":")[0] + at + place, parts.path, query, ""))


@contextlib.contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """One write on any connection: joins the transaction that is open, or commits its own."""
    if isinstance(connection, sqlite3.Connection):
        with contextlib.nullcontext() if connection.in_transaction else connection:
            yield
    elif hasattr(connection, "transaction"):
        with connection.transaction():
            yield
    else:
        yield


class Sqlite:
    """SQLite: WAL, one writer at a time, BEGIN IMMEDIATE."""

    engine = "sqlite"

    def __init__(self, path: str, *, read_only: bool = False, create: bool = True) -> None:
        self.label = path
        self._read_only = read_only
        self._check_place(path, read_only, create)
        with self._translated():
            self._connection = sqlite3.connect(
                self._uri(path, read_only),
                uri=True,
                isolation_level=None,
                timeout=BUSY_SECONDS,
                check_same_thread=False,
            )
            self._configure(read_only)

    def _check_place(self, path: str, read_only: bool, create: bool) -> None:
        if path == ":memory:":
            return
        file = Path(path)
        if file.is_dir():
            raise ConfigurationError(f"the database {path} is a folder", hint="name a file: --db DIR/market_spine.db")
        if not file.exists():
            if read_only or not create:
                raise ConfigurationError(f"there is no database {path}", hint="run run_finra_weekly_schedule first, or give --db")
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(
                    f"cannot make the folder of the database {path}: {error.strerror}", hint="choose a writable --db"
                ) from error

    @staticmethod
    def _uri(path: str, read_only: bool) -> str:
        if path == ":memory:":
            return "file::memory:"
        uri = Path(path).absolute().as_uri()
        if not read_only:
            return uri
        # Without a -wal file nobody has it open; immutable then keeps SQLite from making one.
        return uri + ("?mode=ro" if Path(path + "-wal").exists() else "?immutable=1")

    def _configure(self, read_only: bool) -> None:
        self._connection.execute("PRAGMA temp_store = MEMORY")
        self._connection.execute("PRAGMA cache_size = -16000")
        if read_only:
            self._connection.execute("SELECT count(*) FROM sqlite_master")
            return
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def stream(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[Row]:
        """Rows one after the other, without holding them all."""
        return iter(self.execute(sql, parameters))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """BEGIN IMMEDIATE … COMMIT, or ROLLBACK when anything is raised; inside another one it joins it."""
        if self._connection.in_transaction:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within it every query sees the database as it was when it began."""
        self.execute("BEGIN")
        try:
            yield
        finally:
            self.execute("ROLLBACK")

    def bulk_insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Inserts rows in the order given, fifty to a statement. Call it inside a transaction."""
        rows = rows if isinstance(rows, list) else list(rows)
        whole = len(rows) - len(rows) % _VALUES_ROWS
        try:
            execute = self._connection.execute
            statement = insert(table, tuple(columns), _VALUES_ROWS)
            for start in range(0, whole, _VALUES_ROWS):
                execute(statement, tuple(chain.from_iterable(rows[start : start + _VALUES_ROWS])))
            if whole < len(rows):
                execute(insert(table, tuple(columns), len(rows) - whole), tuple(chain.from_iterable(rows[whole:])))
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def bulk_columns(self, table: str, constants: Mapping[str, Any], columns: Mapping[str, list[Any]]) -> None:
        """Inserts n rows given as columns of n values, fifty to a statement; `constants` are bound once a statement.

        Call it inside a transaction. The columns are woven into one list, so that no row is ever made a tuple.
        """
        width, count = len(columns), len(next(iter(columns.values())))
        woven: list[Any] = [None] * (width * count)
        for at, values in enumerate(columns.values()):
            woven[at::width] = values
        fixed, names = list(constants.values()), (tuple(constants), tuple(columns))
        step, execute = _VALUES_ROWS * width, self._connection.execute
        try:
            for start in range(0, len(woven), step):
                part = woven[start : start + step]
                execute(insert_columns(table, *names, len(part) // width), fixed + part)
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Inserts rows, passing over those whose key is there already."""
        _insert_new(self, table, columns, rows)

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
            row[0]: [column[0] for column in self.execute("SELECT name FROM pragma_table_info(?) ORDER BY cid", (row[0],))]
            for row in names.fetchall()
        }

    def reset_identities(self) -> None:
        """Nothing to do: the next number follows the largest by itself."""

    def reopen(self) -> Sqlite:
        """A second connection to the same database, for another thread."""
        return Sqlite(self.label, read_only=self._read_only, create=False)

    def reconnect(self) -> None:
        """Nothing to do: a file does not go away."""

    def interrupt(self) -> None:
        self._connection.interrupt()

    def size_bytes(self) -> int:
        pages = self.execute("PRAGMA page_count").fetchone()[0]
        return int(pages * self.execute("PRAGMA page_size").fetchone()[0])

    def backup_to(self, path: Path) -> None:
        """A compact copy of the whole database, by VACUUM INTO."""
        self.execute("VACUUM INTO ?", (str(path),))

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._translate(error) from error

    def _translate(self, error: sqlite3.Error) -> Exception:
        text = str(error)
        name = self.label
        if "not a database" in text:
            return NotADatabase(f"{name} is not a SQLite database", hint="name another file with --db")
        if "locked" in text or "busy" in text:
            return DatabaseLocked(
                f"{name} has been locked by another process for {BUSY_SECONDS} s",
                hint="wait for it, or find it with: fuser " + name,
            )
        if "full" in text:
            return DatabaseError(f"no space left for {name}", hint="free space and run again; nothing was half written")
        if "readonly" in text:
            return DatabaseError(f"{name} is read-only", hint="make the file and its folder writable, or choose another --db")
        if "unable to open" in text:
            return ConfigurationError(f"cannot open the database {name}", hint="check that its folder exists and is writable")
        if "malformed" in text:
            return DatabaseError(f"{name} is damaged: {text}", hint="see workflows/incident/DATABASE_RECOVERY.md")
        if isinstance(error, sqlite3.OperationalError) and ("disk I/O" in text or "database or disk" in text):
            return DatabaseError(f"the disk under {name} failed: {text}", hint="check space and the file system, then run again")
        return (
            error if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)) else DatabaseError(f"{name}: {text}")
        )


class Postgres:
    """PostgreSQL through psycopg 3: the same SQL, COPY for bulk rows."""

    engine = "postgresql"

    def __init__(self, target: str, *, read_only: bool = False) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise ConfigurationError(
                "PostgreSQL needs psycopg, which is not installed", hint="pip install 'market-spine[postgres]'"
            ) from error
        self.label = redact(target)
        self._target, self._read_only, self._psycopg = target, read_only, psycopg
        self._open()

    def _open(self) -> None:
        psycopg = self._psycopg
        try:
            self._connection = psycopg.connect(self._target, autocommit=True, connect_timeout=10, application_name="market-spine")
        except psycopg.Error as error:
            raise DatabaseLost(
                f"cannot connect to {self.label}: {self._words(error)}", hint="check host, user and ~/.pgpass or PGPASSWORD"
            ) from error
        _register_numeric(psycopg, self._connection)
        self._connection.read_only = self._read_only
        self.execute("SET client_min_messages = warning")

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        try:
            cursor: Cursor = self._connection.execute(to_format(sql), parameters or None)
            return cursor
        except self._psycopg.Error as error:
            raise self._translate(error) from error

    def stream(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[Row]:
        """Rows one after the other, by a cursor on the server, without holding them all."""
        with self.transaction(), self._connection.cursor(name="stream") as cursor:
            cursor.itersize = 10_000
            yield from cursor.execute(to_format(sql), parameters or None)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """BEGIN … COMMIT, or ROLLBACK when anything is raised; inside another one it joins it."""
        if self._connection.info.transaction_status != self._psycopg.pq.TransactionStatus.IDLE:
            yield
            return
        self.execute("BEGIN")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if not self._connection.closed:
                with contextlib.suppress(self._psycopg.Error):
                    self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within it every query sees the database as it was when it began."""
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self.execute("ROLLBACK")

    def bulk_insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """COPY. Call it inside a transaction."""
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        template = "\t".join(["%s"] * len(columns)) + "\n"
        try:
            with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
                lines = (template % copy_fields(row) for row in rows)
                while text := "".join(islice(lines, _COPY_ROWS)):
                    copy.write(text)
        except self._psycopg.Error as error:
            raise self._translate(error) from error

    def bulk_columns(self, table: str, constants: Mapping[str, Any], columns: Mapping[str, list[Any]]) -> None:
        """COPY of n rows given as columns of n figures, each row with the same `constants`. Call it inside a transaction."""
        statement = f"COPY {table} ({', '.join((*constants, *columns))}) FROM STDIN"
        line = "\t".join([*(str(value) for value in copy_fields(tuple(constants.values()))), *["%s"] * len(columns)]) + "\n"
        rows = zip(*map(nulls, columns.values()), strict=True)
        try:
            with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
                while text := "".join(map(line.__mod__, islice(rows, _COPY_ROWS))):
                    copy.write(text)
        except self._psycopg.Error as error:
            raise self._translate(error) from error

    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Inserts rows, passing over those whose key is there already or is just being inserted by another worker."""
        _insert_new(self, table, columns, rows)

    def run_script(self, script: str) -> None:
        """Runs several statements inside the open transaction."""
        self._connection.execute(script.encode())

    def has_table(self, name: str) -> bool:
        return self.execute("SELECT to_regclass(?) IS NOT NULL", (name,)).fetchone()[0] is True

    def tables(self) -> dict[str, list[str]]:
        """Our tables and their columns."""
        rows = self.execute(
            """
            SELECT c.table_name, c.column_name FROM information_schema.columns c
            JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
            WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
              AND (c.table_name LIKE 'core_%' OR c.table_name LIKE 'finra_%')
            ORDER BY c.table_name, c.ordinal_position
            """
        ).fetchall()
        return {name: [column for table, column in rows if table == name] for name in dict.fromkeys(row[0] for row in rows)}

    def reset_identities(self) -> None:
        """Lets the next numbers follow the largest that were copied in."""
        owned = self.execute(
            """
            SELECT c.table_name, c.column_name FROM information_schema.columns c
            WHERE c.table_schema = current_schema() AND c.is_identity = 'YES'
            """
        ).fetchall()
        for table, column in owned:
            names = (self._psycopg.sql.Literal(table), self._psycopg.sql.Literal(column))
            place = (self._psycopg.sql.Identifier(column), self._psycopg.sql.Identifier(table))
            statement = self._psycopg.sql.SQL(
                "SELECT setval(pg_get_serial_sequence({}, {}), COALESCE(MAX({}), 0) + 1, false) FROM {}"
            ).format(*names, *place)
            self._connection.execute(statement)

    def reopen(self) -> Postgres:
        """A second connection to the same database, for another thread."""
        return Postgres(self._target, read_only=self._read_only)

    def reconnect(self) -> None:
        """Opens the connection again where it was lost. Raises DatabaseLost when it cannot."""
        if self._connection.closed:
            self._open()

    def interrupt(self) -> None:
        self._connection.cancel()

    def size_bytes(self) -> int:
        return int(self.execute("SELECT pg_database_size(current_database())").fetchone()[0])

    def close(self) -> None:
        self._connection.close()

    def _translate(self, error: Exception) -> Exception:
        if self._connection.closed or isinstance(error, self._psycopg.OperationalError):
            return DatabaseLost(
                f"the connection to {self.label} was lost: {self._words(error)}",
                hint="run again; the next run completes it",
            )
        if isinstance(error, (self._psycopg.errors.ReadOnlySqlTransaction, self._psycopg.errors.InsufficientPrivilege)):
            return DatabaseError(f"{self.label}: {self._words(error)}", hint="use a user that may write")
        if isinstance(error, self._psycopg.errors.DiskFull):
            return DatabaseError(f"no space left for {self.label}", hint="free space and run again; nothing was half written")
        return error

    @staticmethod
    def _words(error: Exception) -> str:
        return " ".join(str(error).split()) or type(error).__name__


def _insert_new(db: Database, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    for start in range(0, len(rows), _VALUES_ROWS):
        batch = rows[start : start + _VALUES_ROWS]
        statement = insert(table, tuple(columns), len(batch)) + " ON CONFLICT DO NOTHING"
        db.execute(statement, tuple(chain.from_iterable(batch)))


def _register_numeric(psycopg: Any, connection: Any) -> None:
    """numeric arrives as SQLite would give it: a whole number as int, any other as float."""
    base = psycopg.adapt.Loader

    class Number(base):  # type: ignore[misc, valid-type]
        def load(self, data: Any) -> int | float:
            text = bytes(data).decode()
            if "." not in text:
                return int(text)
            value = float(text)
            return int(value) if value.is_integer() else value

    connection.adapters.register_loader("numeric", Number)
