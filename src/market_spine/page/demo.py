"""A store to look at: the shipped weekly files as they come in on four Fridays, with a restatement, an empty file, a file that
does not come, and a week that somebody holds."""

from __future__ import annotations

import contextlib
import io
import zipfile
from datetime import date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from market_spine import clock
from market_spine.app import report
from market_spine.app.context import Run
from market_spine.app.plan import Plan
from market_spine.app.report import Facts
from market_spine.app.scheduler import Result, run_schedule
from market_spine.app.source.files import FileSource, stem
from market_spine.calendar import publication
from market_spine.core.store import Mode
from market_spine.db import Database, connect
from market_spine.operate import hold, operation
from market_spine.operate.operation import Task
from market_spine.outcome import Phase
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS, Partition, weeks_back
from market_spine.query import restatements

FILES = "demo.zip"  # data/fixtures, as python scripts make_demo_files packs them
_FIRST = date(2026, 1, 9)
DAY = _FIRST + timedelta(weeks=3)
_RESTATED = Partition(date(2025, 12, 26), NMS_TIER_1), _FIRST + timedelta(weeks=2)
_EMPTY, _ABSENT = Partition(date(2025, 12, 26), OTC), Partition(date(2025, 12, 26), NMS_TIER_2)
_HELD = Partition(date(2025, 12, 19), OTC)
_LOOKBACK = 6
_LARGEST = 1 << 20


def make(folder: Path, target: str | None = None) -> str:
    """Makes the store in an empty folder, or in another empty database; returns where it is."""
    incoming, target = folder / "files", target or str(folder / "demo.db")
    incoming.mkdir()
    shipped = _shipped()
    for day in (_FIRST + timedelta(weeks=number) for number in range(4)):
        _publish(incoming, shipped, day)
        _run(target, incoming, day)
    arguments = {"weeks": [_HELD.week], "tiers": [_HELD.tier]}
    with operation.operation(Task(target, "hold", DAY, clock.moment_of(DAY), arguments)) as done:
        hold.hold(done.run, _HELD.week_ending, _HELD.tier, "one venue looks doubled; asked FINRA")
    with contextlib.closing(connect(target)) as db:
        _date_runs(db)
    return target


def _date_runs(db: Database) -> None:
    """Lets each run begin at noon of its day, in the order in which they ran: they all ran just now."""
    rows = db.execute(
        "SELECT execution_id, run_date, started_at, finished_at FROM core_executions ORDER BY started_at"
    ).fetchall()
    runs = [_Ran(name, date.fromisoformat(day), *map(datetime.fromisoformat, times)) for name, day, *times in rows]
    with db.transaction():
        for run in runs:
            later = clock.moment_of(run.day) - runs[0].started_at
            times = (clock.exact_stamp(moment + later) for moment in (run.started_at, run.finished_at))
            db.execute(
                "UPDATE core_executions SET started_at = ?, finished_at = ? WHERE execution_id = ?", (*times, run.execution_id)
            )


class _Ran(NamedTuple):
    """A run, and when it really ran."""

    execution_id: str
    day: date
    started_at: datetime
    finished_at: datetime


def _shipped() -> dict[str, bytes]:
    """The files by their path below data/fixtures."""
    with zipfile.ZipFile(io.BytesIO((files("market_spine.page") / FILES).read_bytes())) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def _publish(incoming: Path, shipped: dict[str, bytes], day: date) -> None:
    """Puts there what FINRA has published by a day."""
    for partition in (Partition(week, tier) for week in weeks_back(8, day) for tier in TIERS):
        name = f"{stem(partition)}.psv"
        content = shipped.get(f"finra_otc/{name}")
        if partition == _RESTATED[0] and day >= _RESTATED[1]:
            content = shipped[f"finra_otc_revised/{name}"]
        if content is not None and publication.due_date(partition) <= day and partition != _ABSENT:
            (incoming / name).write_bytes(b"" if partition == _EMPTY else content)


def _run(target: str, incoming: Path, day: date) -> None:
    """One weekly run."""
    plan = Plan(tuple(weeks_back(_LOOKBACK, day)), TIERS)
    arguments = {"source": "file", "data_dir": str(incoming), "weeks": [str(week) for week in plan.weeks], "tiers": list(TIERS)}
    task = Task(target, "weekly_schedule", day, clock.moment_of(day), arguments, mode=Mode.CREATE)
    with operation.operation(task) as done:
        result = run_schedule(done.run, FileSource(str(incoming), max_bytes=_LARGEST), plan, lambda _outcome: None)
        done.outcomes, done.asked = result.outcomes, result.plan.partitions
        done.report = report.document(result, done.run, "run", _facts(done.run, result))


def _facts(run: Run, result: Result) -> Facts:
    taken = [outcome.capture_id for outcome in result.of(Phase.NORMALIZE) if outcome.rows is not None and outcome.capture_id]
    return Facts(restated=restatements.taken_in(run.db, taken))
