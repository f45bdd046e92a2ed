"""The lake: exporting years of weeks and a Friday; DuckDB over it against DuckDB over the weekly files and our SQLite views."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from clone import tool

from bench.contest import Setting
from bench.goals import Finding, Goal
from bench.processes import Usage, measure, program
from bench.weekly_data import ENDING, TIERS

_WEEKS, _ROWS = 260, 5_000
_RUN_DATE = date(2026, 3, 6)
_NAMES = {"NMS_TIER_1": "nms_tier_1", "NMS_TIER_2": "nms_tier_2", "OTC": "otc"}
_FULL = "finra_otc_transparency"


def lake(setting: Setting) -> Finding:
    """260 weeks of three tiers of 5,000 rows as a lake: bytes, files, time; then a Friday; then questions, against two others."""
    finding = Finding("lake", lake.__doc__ or "", setting.rounds)
    home = setting.work / "lake"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    files, stored = _make(home, _WEEKS, ENDING), home / "spine.db"
    _capture(home, files, _RUN_DATE, _WEEKS)
    first = _export(finding, home, "the first export")
    _export(finding, home, "an export without anything new")
    _make(home, 1, ENDING + timedelta(weeks=1))
    _restate(files)
    _capture(home, files, _RUN_DATE + timedelta(weeks=1), _WEEKS)
    friday = _export(finding, home, "a Friday: a new week, a restated tier")
    _describe(finding, home, files, stored)
    with _engines(home, files, stored) as engines:
        _contest(finding, setting, engines)
    finding.goals.append(Goal("CPU of a Friday's export ÷ the first one", friday.cpu / first.cpu, 0.1))
    _compact(finding, setting, home)
    return finding


def _compact(finding: Finding, setting: Setting, home: Path) -> None:
    """Every year but the last as one file; a symbol in every capture before and after."""
    years = sorted({(ENDING - timedelta(weeks=n)).year for n in range(_WEEKS)})[:-1]
    taken = [_symbol_in_every_capture(home, setting.rounds)]
    _export(finding, home, f"compacting {len(years)} years", *(f"--compact={year}" for year in years))
    taken.append(_symbol_in_every_capture(home, setting.rounds))
    tables = json.loads((home / "lake" / "_manifest.json").read_text("utf-8"))["tables"]
    listed = {name: _rows_of(home / "lake" / tables[name]["path"]) for name in ("files", "compacted")}
    single, joined = ({row["path"]: row["bytes"] for row in rows} for rows in listed.values())
    finding.remarks.append(f"Compacted: {len(single) + len(joined):,} data files, {sum((single | joined).values()):,} bytes.")
    finding.rows += [
        {"what": f"one symbol in every capture, {name}", "CPU s": round(seconds, 4)}
        for name, seconds in zip(("single files", "compacted"), taken, strict=True)
    ]
    finding.goals.append(Goal("one symbol in every capture: compacted ÷ single files", taken[1] / taken[0], 0.3))


def _rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of the lake."""
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def _symbol_in_every_capture(home: Path, rounds: int) -> float:
    import duckdb

    with duckdb.connect(config={"threads": 1}) as on_lake:
        on_lake.execute((home / "lake" / "lake.sql").read_text("utf-8"))
        sql = f"SELECT capture_id, mpid, total_shares FROM {_FULL}_normalized WHERE symbol = 'AAPL'"
        return median(_cpu(lambda asked: on_lake.execute(asked).fetchall(), sql) for _ in range(rounds))


def _make(home: Path, weeks: int, ending: date) -> Path:
    arguments = ["--out", str(home / "files"), "--weeks", str(weeks), "--ending", str(ending), "--rows", str(_ROWS)]
    subprocess.run(tool("make_fixtures", *arguments), check=True, stdout=subprocess.DEVNULL)
    return home / "files"


def _restate(files: Path) -> None:
    """A revision of one row of an older week."""
    path = files / f"otc_week_{ENDING - timedelta(weeks=5)}.psv"
    head, row, *rest = path.read_text("utf-8").splitlines()
    columns = row.split("|")
    columns[-3] = str(int(float(columns[-3])) + 100)
    path.write_text("\n".join([head, "|".join(columns), *rest]) + "\n", "utf-8")


def _capture(home: Path, files: Path, day: date, weeks: int) -> None:
    arguments = [
        "--data-dir",
        str(files),
        "--db",
        str(home / "spine.db"),
        "--run-date",
        str(day),
        "--lookback-weeks",
        str(weeks + 9),
    ]
    subprocess.run([program("run_finra_weekly_schedule"), *arguments, "--cron"], capture_output=True, cwd=home, check=False)


def _export(finding: Finding, home: Path, name: str, *options: str) -> Usage:
    usage = measure([program("spine"), "export", "--history", "--to", "lake", "--db", "spine.db", "--json", *options], cwd=home)
    finding.rows.append(
        {"what": name, "CPU s": round(usage.cpu, 2), "wall s": round(usage.wall, 2), "peak MB": round(usage.peak_mb)}
    )
    return usage


def _describe(finding: Finding, home: Path, files: Path, stored: Path) -> None:
    lake_files = [path for path in (home / "lake").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in lake_files)
    raw = sum(path.stat().st_size for path in files.iterdir())
    rows = _WEEKS * len(TIERS) * _ROWS
    tables = json.loads((home / "lake" / "_manifest.json").read_text("utf-8"))["tables"]
    finding.remarks += [
        f"{len(lake_files):,} files, {size:,} bytes: {size / rows:.1f} a row, {size / _WEEKS / 1e3:,.0f} kB a week;",
        f"the weekly files have {raw:,} bytes, the database {stored.stat().st_size:,};",
        f"{tables['files']['rows']:,} files are listed in {tables['files']['bytes']:,} bytes.",
    ]
    finding.goals.append(Goal("bytes of the lake ÷ the weekly files", size / raw, 0.35))


@contextlib.contextmanager
def _engines(home: Path, files: Path, stored: Path) -> Iterator[dict[str, Callable[[str], Any]]]:
    """Each contestant, as what answers a question given its SQL."""
    import duckdb

    from market_spine.db import connect

    with contextlib.ExitStack() as stack:
        on_lake, on_csv = (stack.enter_context(duckdb.connect(config={"threads": 1})) for _ in range(2))
        on_lake.execute((home / "lake" / "lake.sql").read_text("utf-8"))
        for name, tier in _NAMES.items():
            path = f"{files}/{tier}_week_*.psv"
            on_csv.execute(f"CREATE VIEW {name} AS FROM read_csv('{path}', delim = '|', header = true, filename = true)")
        db = stack.enter_context(contextlib.closing(connect(str(stored), read_only=True)))
        yield {
            "the lake": lambda sql: on_lake.execute(sql).fetchall(),
            "the weekly files": lambda sql: on_csv.execute(sql).fetchall(),
            "our SQLite views": lambda sql: db.execute(sql).fetchall(),
        }


def _questions() -> dict[str, dict[str, str]]:
    """By question, the SQL of each contestant."""
    week, symbol = ENDING - timedelta(weeks=20), "AAPL"
    every = f"SELECT week_ending, tier, SUM(total_shares) FROM {_FULL}_normalized_latest GROUP BY 1, 2"
    one = f"SELECT week_ending, tier, mpid, total_shares FROM {_FULL}_normalized_latest WHERE symbol = '{symbol}'"
    share = f"SELECT mpid, venue_name, share FROM {_FULL}_venue_share_latest WHERE week_ending = '{week}' AND tier = 'OTC'"
    in_files = " UNION ALL ".join(f"SELECT '{tier}' AS tier, * FROM {tier}" for tier in _NAMES)
    shares = "CAST(totalWeeklyShareQuantity AS DECIMAL(20,6))"
    return {
        "shares of every week and tier": {
            "the lake": every,
            "our SQLite views": every,
            "the weekly files": f"SELECT filename, tier, SUM({shares}) FROM ({in_files}) GROUP BY 1, 2",
        },
        "one symbol in every week": {
            "the lake": one,
            "our SQLite views": one,
            "the weekly files": f"SELECT filename, MPID, {shares} FROM ({in_files}) WHERE issueSymbolIdentifier = '{symbol}'",
        },
        "the venues' shares of a week": {
            "the lake": share,
            "our SQLite views": share,
            "the weekly files": f"SELECT MPID, SUM({shares}) FROM OTC WHERE filename LIKE '%{week}%' GROUP BY 1",
        },
        "the same as of a past day": {
            "the lake": f"FROM venue_share_as_of('{_RUN_DATE}') WHERE week_ending = '{week}' AND tier = 'OTC'",
        },
    }


def _contest(finding: Finding, setting: Setting, engines: dict[str, Callable[[str], Any]]) -> None:
    limits = {"shares of every week and tier": 0.5, "one symbol in every week": 0.5, "the venues' shares of a week": 0.5}
    for question, texts in _questions().items():
        taken: dict[str, list[float]] = {name: [] for name in texts}
        for number in range(setting.rounds):
            names = list(texts)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                taken[name].append(_cpu(engines[name], texts[name]))
        ours = taken["the lake"]
        for name, samples in taken.items():
            row: dict[str, Any] = {"what": f"{question}: {name}", "CPU s": round(median(samples), 4)}
            if name != "the lake":
                ratio = median(a / b for a, b in zip(ours, samples, strict=True))
                row["lake ÷ it"] = round(ratio, 3)
                if name == "the weekly files":
                    finding.goals.append(Goal(f"{question}: DuckDB over the lake ÷ over the files", ratio, limits[question]))
            finding.rows.append(row)


def _cpu(act: Callable[[str], Any], sql: str) -> float:
    began = time.process_time()
    if not act(sql):
        raise ValueError(f"no rows: {sql}")
    return time.process_time() - began
