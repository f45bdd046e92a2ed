"""Runs a command's real entry point and stops it at a moment: `python held.py MOMENT ARRIVED ONWARD COMMAND ARGUMENT…`.

ARRIVED and ONWARD are the pipes of a gates.Gate. MOMENT is `before:TABLE` or `after:TABLE`, where rows are put into that table
(inside the transaction that stores them), or `blocked`, which says that another session is in the way, and does not stop.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from market_spine import clock
from market_spine.db.postgres import Postgres
from market_spine.db.sqlite import Sqlite

ENGINES: tuple[type, ...] = (Sqlite, Postgres)
LOCKED = ("core_executions", "finra_otc_transparency_capture")


def main(moment: str, arrived: str, onward: str, command: str, *arguments: str) -> None:
    def announce(what: object = "here") -> None:
        Path(arrived).write_text(f"{what}\n")

    def stop(db: Any) -> None:
        announce(db.driver.info.backend_pid if isinstance(db, Postgres) else "here")
        with Path(onward).open() as pipe:
            pipe.readline()

    where, _, table = moment.partition(":")
    if where == "blocked":
        _wrap_blocked(announce)
    else:
        for engine in ENGINES:
            for method in ("bulk_columns", "bulk_insert"):
                _wrap_bulk(engine, method, table, stop, first=where == "before")
    from market_spine import cli_entry

    sys.argv = [command, *arguments]
    getattr(cli_entry, command)()


def _wrap_bulk(engine: type, method: str, table: str, stop: Callable[[Any], None], *, first: bool) -> None:
    original = getattr(engine, method)

    def held(db: Any, name: str, *rest: Any) -> None:
        if name == table and first:
            stop(db)
        original(db, name, *rest)
        if name == table and not first:
            stop(db)

    setattr(engine, method, held)


def _wrap_blocked(announce: Callable[[], None]) -> None:
    """SQLite naps while another writes; PostgreSQL blocks in the statement itself, so it is announced as it is sent."""
    pause, execute = clock.pause, Postgres.execute

    def napping(seconds: float) -> None:
        announce()
        pause(seconds)

    def sent(db: Postgres, sql: str, parameters: Any = (), /) -> Any:
        if any(name in sql for name in LOCKED):
            announce()
        return execute(db, sql, parameters)

    clock.pause = napping
    Postgres.execute = sent  # type: ignore[method-assign]


if __name__ == "__main__":
    main(*sys.argv[1:])
