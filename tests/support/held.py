"""Runs a command's real entry point and stops it at a moment: `python held.py MOMENT ARRIVED ONWARD COMMAND ARGUMENT…`.

ARRIVED and ONWARD are the pipes of a gates.Gate. MOMENT is `before:TABLE` or `after:TABLE`, where rows are put into that table
(inside the transaction that stores them), or the same with a method of the database. `putting:PATH` is where a file of a lake
has been written and not yet renamed; its path begins so. `blocked` (another session is in the way) and `serving` (the API
answers) are only announced.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gates import stop_at  # beside this file, which is only ever run as a script

from market_spine import clock
from market_spine.cli import entry
from market_spine.db.postgres import Postgres
from market_spine.db.sqlite import Sqlite
from market_spine.query.lake.storage import Folder

ENGINES: tuple[type, ...] = (Sqlite, Postgres)
LOCKED = ("core_executions", "finra_otc_transparency_capture")


def main(moment: str, arrived: str, onward: str, command: str, *arguments: str) -> None:
    def announce(what: object = "here") -> None:
        Path(arrived).write_text(f"{what}\n")

    def stop(db: Any) -> None:
        stop_at(arrived, onward, db.driver.info.backend_pid if isinstance(db, Postgres) else "here")

    where, _, name = moment.partition(":")
    if where == "blocked":
        _wrap_blocked(announce)
    elif where == "serving":
        _wrap_serving(announce)
    elif where == "putting":
        _wrap_replacing(name, lambda: stop_at(arrived, onward))
    else:
        for engine in ENGINES:
            for method in [name] if hasattr(engine, name) else ["bulk_columns", "bulk_insert"]:
                _wrap(engine, method, None if method == name else name, stop, first=where == "before")

    sys.argv = [command, *arguments]
    getattr(entry, command)()


def _wrap(engine: type, method: str, table: str | None, stop: Callable[[Any], None], *, first: bool) -> None:
    original = getattr(engine, method)

    def held(db: Any, name: Any, *rest: Any) -> Any:
        here = table in (None, name)
        if here and first:
            stop(db)
        result = original(db, name, *rest)
        if here and not first:
            stop(db)
        return result

    setattr(engine, method, held)


def _wrap_replacing(begins: str, stop: Callable[[], None]) -> None:
    replacing = Folder.replacing

    @contextlib.contextmanager
    def held(folder: Folder, path: str) -> Iterator[Path]:
        with replacing(folder, path) as beside:
            yield beside
            if path.startswith(begins):
                stop()

    Folder.replacing = held  # type: ignore[method-assign, assignment]


def _wrap_serving(announce: Callable[[], None]) -> None:
    import uvicorn

    startup = uvicorn.Server.startup

    async def started(server: uvicorn.Server, *rest: Any, **more: Any) -> None:
        await startup(server, *rest, **more)
        announce()

    uvicorn.Server.startup = started  # type: ignore[method-assign]


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
