"""What every PostgreSQL session relies on: the settings made at connect, and the checks that refuse an unusable server."""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Any

from market_spine.errors import ConfigurationError, DatabaseLost

SERVER_BUSY_SECONDS = 30
_PROBES, _PROBE_SECONDS = 3, 5
# Each with the first server version that has it. ALTER ROLE and ALTER DATABASE … SET, and `options` in the URL, may have changed
# any of them.
_RELIED_ON = {
    "statement_timeout": ("0", 0),  # first, as it could end the rest
    "client_min_messages": ("warning", 0),
    "lock_timeout": (f"{SERVER_BUSY_SECONDS}s", 0),
    # The server, too, notices after half a minute that a peer is cut off; the system's defaults are hours.
    "tcp_keepalives_idle": ("10", 0), "tcp_keepalives_interval": ("5", 0), "tcp_keepalives_count": ("4", 0),
    "tcp_user_timeout": ("30000", 0),
    "idle_in_transaction_session_timeout": ("0", 0), "idle_session_timeout": ("0", 140000),
    "transaction_timeout": ("0", 170000),
    "default_transaction_isolation": ("read committed", 0),
    "extra_float_digits": ("1", 0),  # below that, the server rounds every double it sends
    "DateStyle": ("ISO, MDY", 0), "IntervalStyle": ("postgres", 0), "TimeZone": ("UTC", 0), "bytea_output": ("hex", 0),
    "standard_conforming_strings": ("on", 0), "transform_null_equals": ("off", 0), "array_nulls": ("on", 0),
    "exit_on_error": ("off", 0),
}


def prepare(psycopg: Any, connection: Any, label: str, conninfo: Mapping[str, Any], settings: Mapping[str, str]) -> Any:
    """Configures a new session (autocommit); returns the statements that configure another one of the same server.

    Every check comes before the first setting: in a shared session the settings would reach other programs.
    Raises ConfigurationError, or DatabaseLost where a later attempt may succeed.
    """
    _refuse_encoding(connection, label)
    backend, schemas = connection.execute("SELECT pg_backend_pid(), current_schemas(false)").fetchone()
    if backend != connection.info.backend_pid:  # a pooler is in between: the number is its own
        _refuse_transaction_pooling(psycopg, connection, label, conninfo, backend)
    if not schemas:
        raise ConfigurationError(
            f"{label}: no schema on the search_path of role {connection.info.user} exists",
            hint=f"psql -c 'ALTER ROLE {connection.info.user} SET search_path = public'",
        )
    schema = schemas[0] if len(schemas) == 1 else _schema_of_tables(connection)
    statements = _script(psycopg.sql, connection.info.server_version, {**settings, "search_path": schema})
    connection.execute(statements)
    return statements


def _schema_of_tables(connection: Any) -> str:
    """The schema that holds our tables, else the current one. Advisory locks are named after the current schema, so two roles
    with different search paths to the same tables must agree on it."""
    (schema,) = connection.execute(
        """
        SELECT COALESCE((SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                         WHERE c.oid = to_regclass('core_migrations')), current_schema())
        """
    ).fetchone()
    return str(schema)


def _script(sql: Any, server_version: int, settings: Mapping[str, str]) -> Any:
    """The statements that set what sessions rely on, sent as one message: SET needs no catalogue lookup."""
    values = {name: value for name, (value, since) in _RELIED_ON.items() if server_version >= since} | dict(settings)
    one = sql.SQL("SET {} = {}")
    return sql.SQL("; ").join(one.format(sql.Identifier(name), _value(sql, name, value)) for name, value in values.items())


def _value(sql: Any, name: str, value: str) -> Any:
    """Temporary objects come last in the search path, so that none hides one of our tables."""
    return sql.SQL("{}, pg_temp").format(sql.Identifier(value)) if name == "search_path" else sql.Literal(value)


def is_loss(error: BaseException) -> bool:
    """Whether an error of another library (the delivery engine) means that the server is unavailable."""
    import psycopg

    return isinstance(error.__cause__ or error, (psycopg.OperationalError, psycopg.InterfaceError, OSError))


def _refuse_encoding(connection: Any, label: str) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"{label} has the encoding {encoding}, which cannot hold every name that FINRA publishes",
            hint="createdb --encoding=UTF8 --locale=C --template=template0 NAME",
        )


def _refuse_transaction_pooling(psycopg: Any, connection: Any, label: str, conninfo: Mapping[str, Any], backend: int) -> None:
    """Detects a pooler that lends sessions by the transaction: between two of our statements it lends this session to a
    second client, or gives us another one."""
    shared = ConfigurationError(
        f"{label} is a pooler that changes the session between transactions; our locks and settings would be lost",
        hint="name the server itself, or a pool with pool_mode = session",
    )
    other = psycopg.connect(**conninfo, autocommit=True)
    try:
        for _ in range(_PROBES):
            others = _backend_in_transaction(psycopg, other, label)
            (ours,) = connection.execute("SELECT pg_backend_pid()").fetchone()
            if others == backend or ours != backend:
                raise shared
    finally:
        other.close()


def _backend_in_transaction(psycopg: Any, other: Any, label: str) -> int:
    """The server process that serves `other` during one transaction."""
    backend = 0
    for statement in (b"BEGIN", b"SELECT pg_backend_pid()", b"ROLLBACK"):
        other.pgconn.send_query(statement)
        # With a full pool, the first statement would wait for ever.
        if not backend and not select.select([other.fileno()], [], [], _PROBE_SECONDS)[0]:
            raise DatabaseLost(f"{label} is a pooler without a second session for us", hint="raise its pool_size")
        result = other.pgconn.get_result()
        while other.pgconn.get_result() is not None:
            pass
        if result.status == psycopg.pq.ExecStatus.FATAL_ERROR:  # pool_mode = statement allows no transaction
            message = " ".join(result.error_message.decode("utf-8", "replace").split())
            raise DatabaseLost(f"{label} is a pooler that gives us no transaction: {message}", hint="use pool_mode = session")
        backend = int(result.get_value(0, 0)) if result.ntuples else backend
    return backend
