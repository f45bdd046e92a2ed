"""The whole run, all phases, against tools that load the same files; and a run in which nothing changed."""

from __future__ import annotations

import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from clone import tool

from bench.contest import Contestant, Setting, ratios, run
from bench.goals import OURS, Finding, Goal, samples, table
from bench.loaders import COLUMNS
from bench.processes import program
from bench.weekly_data import Files, one_tier

KEY = ("lastUpdateDate", "issueSymbolIdentifier", "MPID")  # lastUpdateDate stands for capture_id: one a file
ALONE, START = "market-spine, start excluded", "our imports"
IMPORT, UTILS, PANDAS = "sqlite3 .import", "sqlite-utils insert", "pandas to_sql"
DICTS, ARROW, DUCKDB, HASHES = "dlt, dicts", "dlt, Arrow", "DuckDB, measures too", "sha256sum + click"
VOLUME = "finra_otc_transparency_volume"
_COMMAND = "run_finra_weekly_schedule"
_IMPORTS = "market_spine.cli.weekly, market_spine.app.scheduler, market_spine.parse.weekly_file, market_spine.db, backports.zstd"


def load_1x50k(setting: Setting) -> Finding:
    """One file of 50,000 rows through all phases."""
    finding, mean = _load(setting, one_tier(setting.work, 1, 50_000), "load-1x50k", load_1x50k.__doc__ or "")
    if IMPORT in mean and ALONE in mean:
        finding.goals.append(Goal(f"CPU ÷ {IMPORT}, program start excluded", mean[IMPORT].cpu / mean[ALONE].cpu, 1.2))
    finding.goals.append(Goal("bytes of database a row, RAW included", mean[OURS].bytes_a_row, 45))
    return finding


def load_18x50k(setting: Setting) -> Finding:
    """Eighteen files of 50,000 rows through all phases."""
    finding, mean = _load(setting, one_tier(setting.work, 18, 50_000), "load-18x50k", load_18x50k.__doc__ or "")
    if IMPORT in mean:
        finding.goals += [Goal(f"CPU ÷ {IMPORT}", mean[IMPORT].cpu, 0.6), Goal(f"wall ÷ {IMPORT}", mean[IMPORT].wall, 0.5)]
    for name, times in ((DICTS, 20), (ARROW, 6)):
        if name in mean:
            finding.goals.append(Goal(f"times less CPU than {name}", 1 / mean[name].cpu, times, at_least=True))
    if DUCKDB in mean:
        finding.goals.append(Goal(f"CPU ÷ {DUCKDB}", mean[DUCKDB].cpu, 0.7))
    finding.goals.append(Goal("bytes of database a row, RAW included", mean[OURS].bytes_a_row, 33))
    return finding


def load_18x50k_close(setting: Setting) -> Finding:
    """The same eighteen files against those that come near, in rounds of half a minute: a busy minute strikes all alike."""
    near = replace(setting, only=setting.only or (IMPORT, ARROW, DUCKDB))
    return replace(load_18x50k(near), case="load-18x50k-close", about=load_18x50k_close.__doc__ or "")


def load_1x500k(setting: Setting) -> Finding:
    """One file of 500,000 rows through all phases."""
    finding, mean = _load(setting, one_tier(setting.work, 1, 500_000), "load-1x500k", load_1x500k.__doc__ or "")
    if DUCKDB in mean:
        finding.goals.append(Goal(f"CPU ÷ {DUCKDB}", mean[DUCKDB].cpu, 1.2))
    finding.goals.append(Goal("peak memory, MB", mean[OURS].peak_mb, 160))
    return finding


def nothing_new(setting: Setting) -> Finding:
    """Eighteen files of 5 MB, none of them changed since the run before."""
    files = one_tier(setting.work, 18, 50_000)
    paths = [str(path) for path in files.paths]
    made = setting.work / "nothing-new.db"
    made.unlink(missing_ok=True)
    subprocess.run(ours(files, made), check=True, capture_output=True)
    hashes = f'sha256sum "$@" && {shlex.quote(sys.executable)} -c "import click"'
    contestants = [
        Contestant(OURS, lambda folder: ours(files, made)),
        Contestant(HASHES, lambda folder: ["sh", "-c", hashes, "sh", *paths], ("sha256sum!",)),
        Contestant(START, lambda folder: [sys.executable, "-c", f"import {_IMPORTS}"]),
    ]
    standings = run(setting.chosen(contestants, OURS), setting.rounds, setting.work, 0)
    finding = Finding("nothing-new", nothing_new.__doc__ or "", setting.rounds, table(standings, 0), samples=samples(standings))
    if HASHES in standings and not standings[HASHES].absent:
        finding.goals.append(Goal(f"CPU ÷ {HASHES}", ratios(standings[OURS], standings[HASHES], "cpu"), 1.0))
    return finding


class Mean:
    """Ours ÷ another's, over the rounds."""

    def __init__(self, cpu: float, wall: float, bytes_a_row: float, peak_mb: float) -> None:
        self.cpu, self.wall = cpu, wall
        self.bytes_a_row, self.peak_mb = bytes_a_row, peak_mb


def _load(setting: Setting, files: Files, case: str, about: str) -> tuple[Finding, dict[str, Mean]]:
    standings = run(setting.chosen(_contestants(files), OURS), setting.rounds, setting.work, files.total_rows)
    ours = standings[OURS]
    finding = Finding(case, about, setting.rounds, table(standings, files.total_rows), samples=samples(standings))
    finding.remarks.append(f"{len(files.paths)} files, {files.total_rows:,} rows, {files.total_bytes:,} bytes")
    mean = {}
    for name, theirs in standings.items():
        if not theirs.absent:
            cpu, wall = ratios(ours, theirs, "cpu"), ratios(ours, theirs, "wall")
            mean[name] = Mean(cpu, wall, ours.database_bytes / files.total_rows, ours.middle("peak_mb"))
    return finding, mean


def _contestants(files: Files) -> list[Contestant]:
    paths = [str(path) for path in files.paths]

    def loader(name: str) -> Callable[[Path], list[str]]:
        return lambda folder: tool("bench.loaders", name, str(folder), *paths)

    return [
        Contestant(OURS, lambda folder: ours(files, folder / "loaded.db"), rows=_count(VOLUME)),
        Contestant(ALONE, lambda folder: tool("bench.within", *arguments(files, folder / "loaded.db")), rows=_count(VOLUME)),
        Contestant(IMPORT, lambda folder: _sqlite_import(folder, paths), ("sqlite3!",), _count("weekly")),
        Contestant(UTILS, lambda folder: _sqlite_utils(folder, paths), ("sqlite-utils!",), _count("weekly")),
        Contestant(PANDAS, loader("pandas"), ("pandas",), _count("weekly")),
        Contestant(DICTS, loader("dlt-dicts"), ("dlt", "sqlalchemy"), _count("weekly")),
        Contestant(ARROW, loader("dlt-arrow"), ("dlt", "sqlalchemy", "pyarrow"), _count("weekly")),
        Contestant(DUCKDB, loader("duckdb"), ("duckdb",), _count_duckdb),
    ]


def ours(files: Files, db: Path | str) -> list[str]:
    return [program(_COMMAND), *arguments(files, db)]


def arguments(files: Files, db: Path | str) -> list[str]:
    return ["--quiet", *files.run_arguments(db)]


def _sqlite_import(folder: Path, paths: list[str]) -> list[str]:
    """The shell's own loader, WAL as ours, into one table with the key ours has."""
    columns = ", ".join(COLUMNS)
    lines = [
        "PRAGMA journal_mode = WAL;",
        "PRAGMA synchronous = NORMAL;",
        f"CREATE TABLE weekly ({columns}, PRIMARY KEY ({', '.join(KEY)})) WITHOUT ROWID;",
        ".mode list",
        ".separator |",
        *(f".import --skip 1 {path} weekly" for path in paths),
    ]
    (folder / "import.sql").write_text("\n".join(lines) + "\n", "utf-8")
    return ["sqlite3", "-batch", "-bail", str(folder / "loaded.db"), ".read import.sql"]


def _sqlite_utils(folder: Path, paths: list[str]) -> list[str]:
    keys = " ".join(f"--pk {name}" for name in KEY)
    insert = f'{shlex.quote(program("sqlite-utils"))} insert loaded.db weekly "$file" --csv --delimiter "|" {keys}'
    return ["sh", "-ec", f'for file in "$@"; do {insert}; done', "sh", *paths]


def _count(table_name: str) -> Callable[[Path], int]:
    def count(folder: Path) -> int:
        connection = sqlite3.connect(folder / "loaded.db")
        try:
            return int(connection.execute(f"SELECT count(*) FROM {table_name}").fetchone()[0])
        finally:
            connection.close()

    return count


def _count_duckdb(folder: Path) -> int:
    """In another process: importing duckdb here would count as the peak memory of all that follow."""
    text = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).execute('SELECT count(*) FROM weekly').fetchone()[0])"
    command = [sys.executable, "-c", text, str(folder / "loaded.db")]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
