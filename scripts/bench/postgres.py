"""The whole run into PostgreSQL against a bare COPY, of the same files and of rows that are normalized already.

The server is one of our own, on disk and with PostgreSQL's own settings; its CPU is counted with the client's.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.contest import Setting, Standing
from bench.goals import OURS, Finding, samples, table
from bench.load import ours
from bench.processes import SCRIPTS, Usage, cpu_so_far, measure, script
from bench.weekly_data import Files, one_tier

COPY_FILES, COPY_ROWS = "COPY of the files", "COPY of normalized rows"


def postgres(setting: Setting) -> Finding:
    """Eighteen files of 50,000 rows through all phases into PostgreSQL, against a bare COPY."""
    sys.path.append(str(SCRIPTS.parent / "tests"))
    try:
        from postgres_server import Databases, PostgresServer, find_binaries
    except ImportError as error:
        raise ValueError(f"{error.name} is not installed") from error
    binaries = find_binaries()
    if binaries is None:
        raise ValueError("no PostgreSQL is installed")
    files = one_tier(setting.work, 18, 50_000)
    commands = _commands(files, _normalized(files))
    standings = {name: Standing(name) for name in commands}
    with PostgresServer(binaries, durable=True) as server:
        databases = Databases(server.url)
        for number in range(setting.rounds):
            turn = list(commands)[number % 3 :] + list(commands)[: number % 3]
            for name in turn:
                url = databases.create()
                standings[name].usages.append(_measure(commands[name](url), server.pid, setting.work))
                databases.drop(url)
        databases.close()
    found = Finding("postgres", postgres.__doc__ or "", setting.rounds, samples=samples(standings))
    found.rows = table(standings, files.total_rows)
    return found


def _commands(files: Files, normalized: Path) -> dict[str, Callable[[str], list[str]]]:
    paths = [str(path) for path in files.paths]
    return {
        OURS: lambda url: ours(files, url),
        COPY_FILES: lambda url: script("bench/copying.py", "files", url, *paths),
        COPY_ROWS: lambda url: script("bench/copying.py", "rows", url, str(normalized)),
    }


def _normalized(files: Files) -> Path:
    """All rows as numbers, one a line, made once: week, security, venue, shares, trades."""
    made = files.folder / "normalized.tsv"
    if not made.exists():
        arguments = ["normalize", str(made), *(str(path) for path in files.paths)]
        subprocess.run(script("bench/copying.py", *arguments), check=True)
    return made


def _measure(command: list[str], server: int, work: Path) -> Usage:
    before = _server_cpu(server)
    usage = measure(command, cwd=work)
    return Usage(usage.wall, usage.cpu + _server_cpu(server) - before, usage.peak_mb)


def _server_cpu(postmaster: int) -> float:
    """Seconds of CPU of the server: the postmaster, the backends it has buried, and the processes it keeps."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text("utf-8").split()
    return cpu_so_far(postmaster) + sum(cpu_so_far(int(child)) for child in children)
