"""PostgreSQL through psycopg 3: for several machines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from market_spine.db import postgres_session, silent
from market_spine.db.bulk_sql import Row, Values, copy_fields, insert_new, listed, nulls, to_format
from market_spine.db.postgres_session import SERVER_BUSY_SECONDS
from market_spine.db.transactions import transaction
from market_spine.errors import RECOVERY, ConfigurationError, DamagedDatabase, DatabaseError, DatabaseLocked, DatabaseLost
from market_spine.target import redact

if TYPE_CHECKING:
    from pathlib import Path

    from market_spine.db import Cursor, Tell

_COPY_ROWS = 5_000
_CANCEL_SECONDS = 5.0
_INSERT_ROWS = 1_000  # a message to the server and back for each statement
# A peer that is cut off is noticed after half a minute; the system's defaults are hours.
_CONNECTION = {
    "connect_timeout": 10, "keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
_STREAMS = count(1)  # two cursors of one transaction need different names
_LOCK_KEY = (
    "hashtextextended('market-spine ' || current_schema() || ' ' || ?, 0)"  # advisory locks are a database's, not a schema's
)


class Postgres:
    """PostgreSQL through psycopg 3: the same SQL, COPY for bulk rows."""

    engine = "postgresql"

    def __init__(self, target: str, *, read_only: bool = False, settings: Mapping[str, str] | None = None) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise ConfigurationError(
                "PostgreSQL needs psycopg, which is not installed", hint="pip install 'market-spine[postgres]'"
            ) from error
        self.label = redact(target)
        self.guard: Callable[[], None] | None = None
        self.before_commit: list[Callable[[], None]] = []
        self.serial = self.execution_id = ""
        self.patience: float = SERVER_BUSY_SECONDS
        self._target, self._read_only, self._psycopg = target, read_only, psycopg
        self._session = "market-spine"
        self._settings = {**({"default_transaction_read_only": "on"} if read_only else {}), **(settings or {})}
        self._open()

    def _open(self) -> None:
        psycopg = self._psycopg
        try:
            given = psycopg.conninfo.conninfo_to_dict(self._target)
        except psycopg.Error as error:  # its message may quote a password that was not escaped
            raise ConfigurationError(
                f"{self.label} is not a PostgreSQL URL", hint="write postgresql://user@host/name, special characters as %XX"
            ) from error
        conninfo = {**_CONNECTION, **given, "application_name": self._session, "client_encoding": "utf8"}
        try:
            self._connection = psycopg.connect(**conninfo, autocommit=True)
            try:
                self.session_statements = postgres_session.prepare(
                    psycopg, self._connection, self.label, conninfo, self._settings
                )
            except BaseException:
                self._connection.close()
                raise
        except psycopg.Error as error:
            raise DatabaseLost(
                f"cannot connect to {self.label}: {self._text(error)}",
                hint="check that the server takes connections, then host, user and ~/.pgpass or PGPASSWORD",
            ) from error
        _register_types(psycopg, self._connection)
        self._listens_to = ""

    @property
    def driver(self) -> Any:
        """The driver's own connection, for what must join its transaction (the delivery of work)."""
        return self._connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        try:
            cursor: Cursor = self._connection.execute(to_format(sql), parameters or None)
            return cursor
        except self._psycopg.Error as error:
            raise self._translate(error) from error

    def stream(self, sql: str, parameters: Sequence[Any] = (), /) -> Iterator[Row]:
        """Yields rows from a cursor on the server, without holding them all; inside a snapshot, those that it shows."""
        try:
            with self.transaction(), self._connection.cursor(name=f"stream_{next(_STREAMS)}") as cursor:
                cursor.itersize = 10_000
                yield from cursor.execute(to_format(sql), parameters or None)
        except self._psycopg.Error as error:
            raise self._translate(error) from error

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """BEGIN … COMMIT, or ROLLBACK when anything is raised; joins an open transaction."""
        return transaction(self, "BEGIN", joins=self._is_in_transaction())

    def _is_in_transaction(self) -> bool:
        return bool(self._connection.info.transaction_status != self._psycopg.pq.TransactionStatus.IDLE)

    def rollback(self) -> None:
        """Rolls back an open transaction, if there is one.

        A session interrupted during a command, by a signal, accepts no further command: it is closed, which makes the server
        roll back, and a new one is opened.
        """
        status, statuses = self._connection.info.transaction_status, self._psycopg.pq.TransactionStatus
        if self._connection.closed or status == statuses.IDLE:
            return
        if status == statuses.ACTIVE:
            self._connection.close()
            with contextlib.suppress(DatabaseLost):
                self._open()
        else:
            with contextlib.suppress(self._psycopg.Error):
                self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Every query inside sees the database as it was at the beginning; joins an open snapshot or transaction."""
        if self._is_in_transaction():
            yield
            return
        try:
            self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self.execute("SELECT 1")  # the first statement takes the snapshot, not BEGIN
            yield
        finally:
            self.rollback()

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

    def bulk_columns(self, table: str, constants: Mapping[str, Any], columns: Mapping[str, Values]) -> None:
        """COPY of n rows given as columns of n figures, each row with the same `constants`. Call it inside a transaction."""
        statement = f"COPY {table} ({', '.join((*constants, *columns))}) FROM STDIN"
        line = "\t".join([*(str(value) for value in copy_fields(tuple(constants.values()))), *["%s"] * len(columns)]) + "\n"
        try:
            with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
                for start in range(0, len(next(iter(columns.values()))), _COPY_ROWS):
                    parts = (nulls(listed(values[start : start + _COPY_ROWS])) for values in columns.values())
                    copy.write("".join(map(line.__mod__, zip(*parts, strict=True))))
        except self._psycopg.Error as error:
            raise self._translate(error) from error

    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[Row], key: str) -> list[Row]:
        """Inserts rows, skipping those whose key already exists or is being inserted by another worker; returns the inserted
        ones, each with its number first."""
        inserted: list[Row] = []
        for statement, parameters in insert_new(table, columns, rows, key, _INSERT_ROWS):
            inserted += self.execute(statement, parameters).fetchall()
        return inserted

    def run_script(self, script: str) -> None:
        """Runs several statements inside the open transaction."""
        self._connection.execute(script.encode())

    def has_table(self, name: str) -> bool:
        (exists,) = self.execute("SELECT to_regclass(?) IS NOT NULL", (name,)).fetchone()
        return exists is True

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
        columns: dict[str, list[str]] = {}
        for table, column in rows:
            columns.setdefault(table, []).append(column)
        return columns

    def reset_identities(self) -> None:
        """Sets each sequence so that the next number follows the largest one copied in."""
        owned = self.execute(
            """
            SELECT c.table_name, c.column_name FROM information_schema.columns c
            WHERE c.table_schema = current_schema() AND c.is_identity = 'YES'
            """
        ).fetchall()
        for table, column in owned:
            names = (self._psycopg.sql.Literal(table), self._psycopg.sql.Literal(column))
            target = (self._psycopg.sql.Identifier(column), self._psycopg.sql.Identifier(table))
            statement = self._psycopg.sql.SQL(
                "SELECT setval(pg_get_serial_sequence({}, {}), COALESCE(MAX({}), 0) + 1, false) FROM {}"
            ).format(*names, *target)
            self._connection.execute(statement)

    def reopen(self) -> Postgres:
        """A second connection to the same database, for another thread."""
        return Postgres(self._target, read_only=self._read_only, settings=self._settings)

    def reconnect(self) -> None:
        """Opens the connection again if it was lost. Raises DatabaseLost when that fails."""
        if self._connection.closed:
            self._open()

    def leave_session(self) -> None:
        """Ends this session, and with it all that was set when it began; `reconnect` opens another."""
        self._connection.close()

    def interrupt(self) -> None:
        with contextlib.suppress(self._psycopg.Error):  # the server is away, and the statement ends by that
            self._connection.cancel_safe(timeout=_CANCEL_SECONDS)

    def now(self) -> datetime:
        """The clock that all users of this database share: the server's."""
        moment: datetime
        (moment,) = self.execute("SELECT clock_timestamp()").fetchone()
        return moment.astimezone(timezone.utc)

    def name_session(self, name: str) -> None:
        """Names this session, and any that replaces it after a loss, on the server."""
        self._session = name
        self.execute("SELECT set_config('application_name', ?, false)", (name,))

    def transaction_lock(self, name: str, *, within: str = "") -> None:
        """Waits until no other transaction has this advisory lock, and holds it until the open one ends; with `within`, also
        until none has that one, which those that take a lock within it share."""
        if within:
            shared = "SELECT pg_advisory_xact_lock_shared(" + _LOCK_KEY + "), pg_advisory_xact_lock(" + _LOCK_KEY + ")"
            self.execute(shared, (within, name))
        else:
            self.execute("SELECT pg_advisory_xact_lock(" + _LOCK_KEY + ")", (name,))

    def notify(self, channel: str) -> None:
        """Wakes the sessions that wait in `notified`, once the open transaction is committed."""
        self.execute("SELECT pg_notify(?, '')", (channel,))

    def notified(self, channel: str, seconds: float) -> bool:
        """Waits for a notification, at most these seconds; those sent since the last call count, but none before the first."""
        try:
            if self._listens_to != channel:
                self._connection.execute(self._psycopg.sql.SQL("LISTEN {}").format(self._psycopg.sql.Identifier(channel)))
                self._listens_to = channel
                return True  # what was sent until now is not known
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
        except self._psycopg.Error as error:
            raise self._translate(error) from error

    def session_lock(self, name: str) -> bool:
        """Takes an advisory lock for as long as the session lives; False when another session has it."""
        (taken,) = self.execute("SELECT pg_try_advisory_lock(" + _LOCK_KEY + ")", (name,)).fetchone()
        return bool(taken)

    def session_unlock(self, name: str) -> None:
        """Releases it."""
        self.execute("SELECT pg_advisory_unlock(" + _LOCK_KEY + ")", (name,))

    def end_sessions(self, name: str) -> None:
        """Ends all other sessions of that name; the server rolls back their open transactions."""
        self.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = ? AND pid <> pg_backend_pid()
            """,
            (name,),
        )

    def size_bytes(self) -> int:
        (size,) = self.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(size)

    def damage(self) -> list[str]:
        """Empty: a server has no such check; a damaged page is an error when it is read."""
        return []

    def dump_to(self, path: Path, tell: Tell) -> None:
        """A dump in pg_dump's custom format, which pg_restore then reads to its end."""
        from market_spine.db import postgres_dump

        postgres_dump.dump(self._psycopg.conninfo.conninfo_to_dict(self._target), path, self.label)

    def backup_beside(self, name: str, tell: Tell = silent) -> None:
        """None: a server has its own backups (pg_dump), and its migrations roll back as a whole."""

    def close(self) -> None:
        self._connection.close()

    def _translate(self, error: Exception) -> Exception:
        errors = self._psycopg.errors
        if isinstance(error, errors.DiskFull):
            return DatabaseError(f"no space left for {self.label}", hint="free space and run again; nothing was half written")
        if isinstance(error, (errors.DataCorrupted, errors.IndexCorrupted)):
            return DamagedDatabase(f"{self.label} is damaged: {self._text(error)}", hint=RECOVERY)
        if isinstance(error, errors.LockNotAvailable):
            return DatabaseLocked(
                f"{self.label} has been locked by another session for {SERVER_BUSY_SECONDS} s",
                hint="wait for it, or end the session that is idle in a transaction",
            )
        if isinstance(error, (errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)):
            return DatabaseError(f"{self.label}: {self._text(error)}", hint="use a user that may write")
        if self._connection.closed or isinstance(error, self._psycopg.OperationalError):
            return DatabaseLost(
                f"the connection to {self.label} was lost: {self._text(error)}", hint="run again; the next run completes it"
            )
        return error

    @staticmethod
    def _text(error: Exception) -> str:
        return " ".join(str(error).split()) or type(error).__name__


def _register_types(psycopg: Any, connection: Any) -> None:
    """A numeric is read as SQLite would return it: a whole number as int, any other as float. A float is sent as its shortest
    text, typed by its column: of a double, the server would keep only 15 digits in a numeric column. Bytes are sent in binary,
    not as twice as many hexadecimal digits."""
    from psycopg.types.string import BytesBinaryDumper

    base = psycopg.adapt.Loader

    class Number(base):  # type: ignore[misc, valid-type]
        def load(self, data: Any) -> int | float:
            text = bytes(data).decode()
            if "." not in text:
                return int(text)
            value = float(text)
            return int(value) if value.is_integer() else value

    class Exact(psycopg.adapt.Dumper):  # type: ignore[misc]
        def dump(self, obj: float) -> bytes:
            return repr(obj).encode()

    connection.adapters.register_loader("numeric", Number)
    connection.adapters.register_dumper(float, Exact)
    connection.adapters.register_dumper(bytes, BytesBinaryDumper)
