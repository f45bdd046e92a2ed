"""What the quality gates cost: of a load of 50,000 rows, and to fit their limits to five years."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from statistics import median
from unittest import mock

from bench.contest import Setting
from bench.goals import Finding, Goal
from bench.spent import Spent
from bench.weekly_data import one_tier

_WEEKS, _FITTED = 14, 260


def gates(setting: Setting) -> Finding:
    """The gates' part of ingest and normalize of a file of 50,000 rows with twelve weeks of history; and a fit of 260 weeks."""
    finding = Finding("gates", gates.__doc__ or "", setting.rounds)
    loads = [pair for _ in range(setting.rounds) for pair in _loads(setting, one_tier(setting.work, _WEEKS, 50_000).folder)]
    of_gates, whole = median(part for part, _ in loads), median(load for _, load in loads)
    fitted = median(_fit() for _ in range(setting.rounds))
    finding.rows = [
        {"what": "load of 50,000 rows", "CPU ms": round(1000 * whole, 2)},
        {"what": "of it the gates", "CPU ms": round(1000 * of_gates, 2)},
        {"what": f"fit of {_FITTED} weeks", "CPU ms": round(1000 * fitted, 1)},
    ]
    finding.goals = [
        Goal("CPU ms of the gates a load", 1000 * of_gates, 5),
        Goal("part of the load's CPU", of_gates / whole, 0.03),
        Goal(f"CPU s to fit {_FITTED} weeks", fitted, 2),
    ]
    return finding


def _loads(setting: Setting, folder: Path) -> Iterator[tuple[float, float]]:
    """CPU seconds in the gates and in all, of the last files of a folder."""
    from market_spine import clock, process
    from market_spine.app import content, judging
    from market_spine.app.context import Run
    from market_spine.app.plan import Plan
    from market_spine.app.scheduler import run_schedule
    from market_spine.app.source.files import FileSource
    from market_spine.db import connect
    from market_spine.db.migrations import prepare
    from market_spine.gates import figures
    from market_spine.partition import NMS_TIER_1, parse_week

    path = setting.work / "gates.db"
    path.unlink(missing_ok=True)
    weeks = sorted(parse_week(file.stem[-10:]) for file in folder.glob("*.psv"))
    process.work_in_bulk()  # as the command does
    spent = Spent()
    with ExitStack() as stack:
        db = connect(str(path))
        stack.callback(db.close)
        prepare(db)
        for module, name in ((figures, "of_file"), (judging, "judge"), (judging, "record"), (content, "_reading")):
            stack.enter_context(mock.patch.object(module, name, spent.counted(getattr(module, name))))
        for number, week in enumerate(weeks):
            day = weeks[-1] + timedelta(weeks=8)
            run, spent.seconds, began = Run(db, day, clock.moment_of(day), "bench"), 0.0, time.process_time()
            run_schedule(run, FileSource(str(folder), max_bytes=1 << 28), Plan((week,), (NMS_TIER_1,)), lambda outcome: None)
            if number >= _WEEKS - 2:
                yield spent.seconds, time.process_time() - began
    path.unlink()


def _fit() -> float:
    from gate_trials.history import FIRST

    from market_spine.gates import fit
    from market_spine.gates.figures import Figures
    from market_spine.gates.past import Week
    from market_spine.partition import NMS_TIER_1, Partition

    steady = Figures(50_000, 50_000, 0, 3_000, 10**7, 1e9, 4e8, 3e7, 1e10, 10, 0, 40, 30, 200, 0.07, mix=0.03, firm_mix=0.05)
    weeks = [Week(Partition(FIRST + timedelta(weeks=n), NMS_TIER_1), str(n), str(n), steady) for n in range(_FITTED)]
    began = time.process_time()
    fit.fit(weeks, NMS_TIER_1)
    return time.process_time() - began
