"""The Python API: importing it, and thirteen weeks of a tier as rows and as Arrow, against sqlite3 and the same statements."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.contest import Setting
from bench.goals import Finding, Goal
from bench.load import ours
from bench.weekly_data import one_tier

WEEKS, ROWS, TIER = 13, 50_000, "NMS_TIER_1"
_IMPORT = "import time; t = time.process_time(); import market_spine; market_spine.open; print(time.process_time() - t)"


def python(setting: Setting) -> Finding:
    """Thirteen weeks of 50,000 rows: the import, then rows and Arrow of measures, of every symbol, and of all rows; CPU."""
    import pyarrow.compute  # noqa: F401 - its import is not what is measured

    import market_spine

    finding = Finding("python", python.__doc__ or "", setting.rounds)
    _imports(finding, setting)
    path = _store(setting)
    store = market_spine.open(path)
    asked = {
        "venue_share": (store.venue_share(tier=TIER), "venue_share"),
        "hhi of every symbol": (store.hhi(tier=TIER, every_symbol=True), "hhi"),
        "volume": (store.volume(tier=TIER), "normalized"),
    }
    _opens(finding, setting, path)
    for name, (query, view) in asked.items():
        _compare(finding, setting, name, query, partial(_by_sqlite3, path, view))
    return finding


def _imports(finding: Finding, setting: Setting) -> None:
    program = [sys.executable, "-c", _IMPORT]
    subprocess.run(program, check=True, capture_output=True)  # the first one writes the bytecode
    taken = [1000 * float(subprocess.run(program, check=True, capture_output=True).stdout) for _ in range(setting.rounds)]
    finding.rows.append({"what": "import market_spine; market_spine.open", "import ms": round(median(taken), 1)})
    finding.goals.append(Goal("import market_spine; market_spine.open: CPU ms", median(taken), 60))


def _store(setting: Setting) -> Path:
    path = setting.work / "python.db"
    if not path.exists():
        subprocess.run(ours(one_tier(setting.work, WEEKS, ROWS), path), check=True, capture_output=True)
    return path


def _opens(finding: Finding, setting: Setting, path: Path) -> None:
    """What of a small query is opening and closing, which both do each time."""
    from market_spine.core.store import Mode, open_store

    def ours_opens() -> None:
        with open_store(str(path), Mode.READ_ONLY):
            pass

    def theirs_opens() -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()

    taken = [(_cpu(theirs_opens), _cpu(ours_opens)) for _ in range(10 * setting.rounds)]
    theirs, ours_ = (round(1000 * median(each), 1) for each in zip(*taken, strict=True))
    finding.rows.append({"what": "opening and closing the database", "sqlite3 ms": theirs, "rows ms": ours_})


def _compare(finding: Finding, setting: Setting, name: str, query: Any, by_sqlite3: Callable[[], list[Any]]) -> None:
    """Rows by both in turn, and our Arrow table."""
    count = len(query.latest())
    if count != len(by_sqlite3()):
        raise ValueError(f"{name}: sqlite3 has another number of rows")
    theirs, rows, arrow = [], [], []
    for _ in range(setting.rounds * (10 if count < 10_000 else 1)):  # milliseconds scatter more
        theirs.append(_cpu(by_sqlite3))
        rows.append(_cpu(lambda: query.latest().rows()))
        arrow.append(_cpu(lambda: query.latest().to_arrow()))
    ratio = median(a / b for a, b in zip(rows, theirs, strict=True))
    figures = {"rows": count, "sqlite3 ms": theirs, "rows ms": rows, "Arrow ms": arrow}
    shown = {key: round(1000 * median(each), 1) if isinstance(each, list) else each for key, each in figures.items()}
    finding.rows.append({"what": name} | shown)
    finding.goals += [
        Goal(f"{name}, rows: CPU ÷ sqlite3", ratio, 1.2),
        Goal(f"{name}, {WEEKS} weeks of a tier to Arrow: CPU s", median(arrow), 0.5),
    ]


def _by_sqlite3(path: Path, view: str) -> list[Any]:
    """The same statements, one for each capture."""
    from market_spine.query.views import VIEWS

    with contextlib.closing(sqlite3.connect(path)) as connection:
        captures = connection.execute("SELECT capture_id FROM finra_otc_transparency_current ORDER BY week_ending").fetchall()
        return [row for capture in captures for row in connection.execute(VIEWS[view].of_capture, capture).fetchall()]


def _cpu(act: Callable[[], object]) -> float:
    began = time.process_time()
    act()
    return time.process_time() - began
