"""PostgreSQL as people run it: odd settings of a database or role change no answer, and what cannot work is refused by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support import database_picture, pgbouncer
from support.commands import RunCommand
from support.desk import restated

from market_spine.core.locks import run_lock
from market_spine.db import connect, migrations
from market_spine.errors import ConfigurationError, DatabaseLost, RunLocked

Picture = dict[str, list[tuple[Any, ...]]]
ODD = {
    "default_transaction_isolation": "serializable",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kolkata",
    "client_encoding": "LATIN1",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "exit_on_error": "on",
    "statement_timeout": "1min",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "1min",
    "client_min_messages": "debug5",
    "search_path": '"$user", nowhere, public, pg_catalog',
}


@pytest.fixture
def engine() -> str:
    return "postgresql"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Picture:
    """What a restated week looks like, on SQLite, which has no such settings."""
    folder = tmp_path_factory.mktemp("undisturbed")
    db = connect(str(folder / "market_spine.db"))
    migrations.prepare(db)
    restated(folder / "files", db)
    picture = database_picture.everything(db)
    db.close()
    return picture


@pytest.fixture
def admin(new_target: str) -> Iterator[psycopg.Connection]:
    """Somebody else's session on the same database, as its administrator."""
    with psycopg.connect(new_target, autocommit=True) as connection:
        yield connection


def alter(admin: psycopg.Connection, name: str, value: str) -> None:
    values = psycopg.sql.SQL(value) if name == "search_path" else psycopg.sql.Literal(value)
    database = psycopg.sql.Identifier(admin.info.dbname)
    admin.execute(psycopg.sql.SQL("ALTER DATABASE {} SET " + name + " = {}").format(database, values))


@pytest.mark.parametrize("name", ODD)
def test_an_odd_setting_of_the_database_changes_no_answer(
    name: str, new_target: str, admin: psycopg.Connection, tmp_path: Path, undisturbed: Picture
) -> None:
    alter(admin, name, ODD[name])
    db = connect(new_target)
    migrations.prepare(db)
    restated(tmp_path / "files", db)
    assert database_picture.everything(db) == undisturbed
    assert db.execute("SELECT current_setting(?)", (name,)).fetchone() != (ODD[name],)
    db.close()


def test_a_copy_keeps_every_digit_whatever_the_database_says(
    new_target: str, admin: psycopg.Connection, tmp_path: Path, run_command: RunCommand, undisturbed: Picture
) -> None:
    alter(admin, "extra_float_digits", "-15")
    here, back = str(tmp_path / "here.db"), str(tmp_path / "back.db")
    with contextlib.closing(connect(here)) as source:
        migrations.prepare(source)
        restated(tmp_path / "files", source)
    for one, other in ((here, new_target), (new_target, back)):
        done = run_command("spine", "db", "copy", one, other)
        assert done.exit_code == 0, done.stderr
    with contextlib.closing(connect(back)) as copied:
        assert database_picture.everything(copied) == undisturbed


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_name_is_refused_at_connect(
    admin: psycopg.Connection, new_target: str, run_command: RunCommand, encoding: str
) -> None:
    name = psycopg.sql.Identifier(f"{admin.info.dbname}_{encoding.lower()}")
    create = "CREATE DATABASE {} TEMPLATE template0 LOCALE 'C' ENCODING " + f"'{encoding}'"
    admin.execute(psycopg.sql.SQL(create).format(name))
    try:
        done = run_command("spine", "db", "init", "--db", f"{new_target}_{encoding.lower()}")
    finally:
        admin.execute(psycopg.sql.SQL("DROP DATABASE {}").format(name))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].endswith(
        f" has the encoding {encoding}, which cannot hold every name that FINRA publishes. "
        "Try: createdb --encoding=UTF8 --locale=C --template=template0 NAME"
    )


def test_two_search_paths_to_the_same_tables_share_one_run_lock(target: str) -> None:
    one = connect(target)
    with psycopg.connect(target, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA private")
        alter(admin, "search_path", "private, public")
    other = connect(target)
    with run_lock(one, "first"), pytest.raises(RunLocked), run_lock(other, "second"):
        pass
    assert one.session_lock("of its own")
    assert not other.session_lock("of its own")
    one.close()
    other.close()


def test_a_search_path_without_a_schema_is_refused(new_target: str, admin: psycopg.Connection) -> None:
    alter(admin, "search_path", "nowhere")
    with pytest.raises(ConfigurationError, match="no schema on the search_path of role postgres exists"):
        connect(new_target)


# ------------------------------------------------------------------------------------------------------------- poolers


@pytest.mark.parametrize("others", [0, 3], ids=["alone", "among others"])
@pytest.mark.parametrize(
    ("pool_mode", "reason"),
    [("transaction", "changes the session between transactions"), ("statement", "gives us no transaction")],
)
def test_a_pooler_that_shares_sessions_is_refused_and_keeps_no_lock_and_no_setting_of_ours(
    target: str, run_command: RunCommand, pool_mode: str, reason: str, others: int
) -> None:
    with pgbouncer.pgbouncer(target, pool_mode) as url:
        neighbours = [psycopg.connect(url, autocommit=True) for _ in range(others)]
        for neighbour in neighbours:
            neighbour.execute("SELECT 1")
        done = run_command("spine", "status", "--db", url)
        assert done.exit_code == 2, done.stderr
        assert reason in done.stderr.splitlines()[-1]
        assert "pool_mode = session" in done.stderr.splitlines()[-1]
        with psycopg.connect(target) as direct:
            locks = direct.execute("SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
        with psycopg.connect(url, autocommit=True) as next_client:
            lock_timeout = next_client.execute("SELECT current_setting('lock_timeout')").fetchone()
        for neighbour in neighbours:
            neighbour.close()
    assert (locks, lock_timeout) == ((0,), ("0",))


def test_every_command_works_through_a_pooler_in_session_mode(target: str, run_command: RunCommand, fixtures_dir: Path) -> None:
    with pgbouncer.pgbouncer(target, "session") as url:
        run = run_command(
            "run_finra_weekly_schedule",
            "--db",
            url,
            "--data-dir",
            fixtures_dir,
            "--weeks",
            "2025-12-26",
            "--run-date",
            "2026-01-30",
        )
        assert run.exit_code == 0, run.stderr
        for command in (("status",), ("verify",), ("doctor",), ("worker", "--drain", "--data-dir", str(fixtures_dir))):
            done = run_command("spine", *command, "--db", url)
            assert done.exit_code in (0, 1), done.stderr
            assert "Error" not in done.stderr


def test_a_pooler_that_has_no_second_session_is_named(target: str) -> None:
    with (
        pgbouncer.pgbouncer(target, "session", pool_size=1) as url,
        pytest.raises(DatabaseLost, match="a pooler without a second session"),
    ):
        connect(url)
