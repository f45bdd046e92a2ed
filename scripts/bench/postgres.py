"""The whole run into PostgreSQL against a bare COPY, of the same files and of rows that are normalized already.

The server is one of our own, on disk and with PostgreSQL's own settings; its CPU is counted with the client's.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clone import tool

from bench.contest import Setting, Standing, ratios
from bench.goals import OURS, Finding, Goal, samples, table
from bench.load import arguments, ours
from bench.processes import Usage, cpu_so_far, measure
from bench.weekly_data import Files, one_tier
from bench.within import REPORT

COPY_FILES, COPY_ROWS = "COPY of the files", "COPY of normalized rows"
KEYED, UNKEYED = "COPY, table with our key", "COPY, table without a key"


Command = Callable[[str], list[str]]


def postgres(setting: Setting) -> Finding:
    """Eighteen files of 50,000 rows through all phases into PostgreSQL, against a bare COPY."""
    files = one_tier(setting.work, 18, 50_000)
    standings = contest(setting, _commands(files, _normalized(files.folder / "normalized.tsv", files.paths)), ())
    found = Finding("postgres", postgres.__doc__ or "", setting.rounds, samples=samples(standings))
    found.rows = table(standings, files.total_rows)
    return found


def postgres_1x50k(setting: Setting) -> Finding:
    """A week of 50,000 rows into a PostgreSQL database that has the week before, against a bare COPY of its normalized rows."""
    files = one_tier(setting.work, 2, 50_000)
    rows = str(_normalized(files.folder / "normalized.tsv", files.paths))
    weeks = [path.stem[-10:] for path in files.paths]
    commands: dict[str, Command] = {
        OURS: lambda url: tool("bench.within", *arguments(files, url), "--weeks", weeks[1]),
        KEYED: lambda url: tool("bench.copying", "keyed", url, rows),
        UNKEYED: lambda url: tool("bench.copying", "unkeyed", url, rows),
    }
    standings = contest(setting, commands, (OURS, lambda url: [*ours(files, url), "--weeks", weeks[0]]))
    found = Finding("postgres-1x50k", postgres_1x50k.__doc__ or "", setting.rounds, samples=samples(standings))
    found.rows = table(standings, files.rows or 0)
    found.remarks.append("the start of the program is excluded, the connection is not; CPU is client and server together")
    found.goals.append(Goal(f"wall ÷ {KEYED}", ratios(standings[OURS], standings[KEYED], "wall"), 3))
    return found


def contest(setting: Setting, commands: Mapping[str, Command], prepare: tuple[()] | tuple[str, Command]) -> dict[str, Standing]:
    """Each command into a new database, in turn, round by round; `prepare` names one that needs another run before it."""
    server_class, databases_class, binaries = own_server()
    standings = {name: Standing(name) for name in commands}
    with server_class(binaries, durable=True) as server:
        databases = databases_class(server.url)
        for number in range(setting.rounds):
            names = list(commands)
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                url = databases.create()
                if prepare and prepare[0] == name:
                    measure(prepare[1](url), cwd=setting.work)
                standings[name].usages.append(with_server(commands[name](url), server.pid, setting.work))
                standings[name].database_bytes = 0 if prepare else _tables_bytes(url)
                databases.drop(url)
        databases.close()
    return standings


def _tables_bytes(url: str) -> int:
    """All tables with their keys, indexes and what is kept beside them; without the server's own."""
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT SUM(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchone()
    assert row is not None
    return int(row[0])


def own_server() -> tuple[Any, Any, Any]:
    """The tests' own server, its databases, and where PostgreSQL's programs are. Raises ValueError without them."""
    try:
        from stand_ins.postgres_server import Databases, PostgresServer, find_binaries
    except ImportError as error:
        raise ValueError(f"{error.name} is not installed") from error
    binaries = find_binaries()
    if binaries is None:
        raise ValueError("no PostgreSQL is installed")
    return PostgresServer, Databases, binaries


def _commands(files: Files, normalized: Path) -> dict[str, Command]:
    paths = [str(path) for path in files.paths]
    return {
        OURS: lambda url: ours(files, url),
        COPY_FILES: lambda url: tool("bench.copying", "files", url, *paths),
        COPY_ROWS: lambda url: tool("bench.copying", "rows", url, str(normalized)),
    }


def _normalized(made: Path, paths: Sequence[Path]) -> Path:
    """All rows as numbers, one a line, made once: week, security, venue, shares, trades."""
    if not made.exists():
        subprocess.run(tool("bench.copying", "normalize", str(made), *map(str, paths)), check=True)
    return made


def with_server(command: list[str], server: int, work: Path) -> Usage:
    """Measures a command together with what it cost the server, whose postmaster has the number `server`. Raises Failed."""
    before = _server_cpu(server)
    usage = measure(command, cwd=work)
    (work / REPORT).unlink(missing_ok=True)
    return Usage(usage.wall, usage.cpu + _server_cpu(server) - before, usage.peak_mb)


def _server_cpu(postmaster: int) -> float:
    """Seconds of CPU of the server: the postmaster, the backends it has buried, and the processes it keeps."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text("utf-8").split()
    return cpu_so_far(postmaster) + sum(cpu_so_far(int(child)) for child in children)
