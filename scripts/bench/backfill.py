"""Many weeks: a year in one run, a week's run when ten years are stored, and readers beside a run that writes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from clone import tool

from bench.contest import Setting, Standing, database_bytes, ratios
from bench.goals import Finding, Goal, samples
from bench.load import ours
from bench.processes import Usage, measure, program
from bench.weekly_data import ENDING, WEEK_ROWS, Files, generate

YEAR = 52
_PARTITION = re.compile(r"(\d{4}-\d\d-\d\d) / (NMS_TIER_1|NMS_TIER_2|OTC): ")
_BATCH = 26  # weeks that lie on disk at a time while a large database is made
_FEW = 10  # weeks stored in the database that the large one is compared with, beside the empty one
_ROUND_WEEKS = 2


class Step(NamedTuple):
    """A line of progress: what it is about ('' when about no single partition), seconds and CPU seconds since the start."""

    partition: tuple[str, str] | None
    wall: float
    cpu: float


def backfill(setting: Setting) -> Finding:
    """52 weeks of three tiers at FINRA's proportions, in one run into an empty database."""
    files = generate(setting.work / "files-year", YEAR, ENDING)
    steps: list[Step] = [Step(None, 0.0, 0.0)]

    def note(line: str, wall: float, cpu: float) -> None:
        found = _PARTITION.search(line)
        steps.append(Step((found[1], found[2]) if found else None, wall, cpu))

    with tempfile.TemporaryDirectory(dir=setting.work) as name:
        folder = Path(name)
        command = [program("run_finra_weekly_schedule"), *files.run_arguments(folder / "year.db")]
        usage = measure(command, cwd=folder, on_line=note)
        size = database_bytes(folder)
    finding = Finding("backfill", backfill.__doc__ or "", 1)
    rows = files.total_rows
    finding.remarks += [
        f"{rows:,} rows in {usage.wall:.1f} s, {rows / usage.wall:,.0f} a second; {usage.cpu:.1f} s of CPU;",
        f"{usage.peak_mb:.0f} MB at the peak; {size / rows:.1f} bytes a row.",
    ]
    finding.rows = _by_position(steps)
    finding.samples["run"] = [asdict(usage)]
    return finding


def _by_position(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Seconds a partition at the start, in the middle and at the end of the run, all phases of it together."""
    spent: dict[tuple[str, str], list[float]] = {}
    for before, step in pairwise(steps):
        if step.partition:
            wall, cpu = spent.setdefault(step.partition, [0.0, 0.0])
            spent[step.partition] = [wall + step.wall - before.wall, cpu + step.cpu - before.cpu]
    rows = []
    for tier in ("NMS_TIER_1", "NMS_TIER_2", "OTC"):
        times = [time for (_, of), time in spent.items() if of == tier]  # in the order they were first spoken of
        middle = len(times) // 2 - _FEW // 2
        for where, some in (("start", times[:_FEW]), ("middle", times[max(middle, 0) :][:_FEW]), ("end", times[-_FEW:])):
            if not some:
                continue
            wall, cpu = (round(1000 * mean(time[n] for time in some), 1) for n in (0, 1))
            rows.append({"what": f"{tier}, {where}", "wall ms": wall, "CPU ms": cpu})
    return rows


def grown(setting: Setting) -> Finding:
    """A run over two weeks of three tiers when many weeks are stored, against the same run into a small or an empty database."""
    stored = setting.weeks_stored
    first_new = ENDING + timedelta(weeks=1)
    large, small = setting.work / "large.db", setting.work / "small.db"
    _store(setting.work, small, min(_FEW, stored))
    _store(setting.work, large, stored)
    names = (f"{stored} weeks stored", f"{_FEW} weeks stored", "empty")
    standings = {name: Standing(name) for name in names}
    for number in range(setting.rounds):
        ending = first_new + timedelta(weeks=_ROUND_WEEKS * (number + 1) - 1)
        files = generate(setting.work / "files-new", _ROUND_WEEKS, ending)
        with tempfile.TemporaryDirectory(dir=setting.work) as name:
            folder = Path(name)
            turns = list(zip(names, (large, small, folder / "empty.db"), strict=True))  # both grow, so that no week is missing
            for what, db in turns[number % 3 :] + turns[: number % 3]:
                standings[what].usages.append(measure(ours(files, db), cwd=folder))
        shutil.rmtree(files.folder)
    finding = Finding("grown", grown.__doc__ or "", setting.rounds, samples=samples(standings))
    finding.rows = [_partition_line(standings[names[0]], standing) for standing in standings.values()]
    finding.remarks.append(f"The large database holds {stored * WEEK_ROWS:,} rows in {large.stat().st_size:,} bytes.")
    finding.goals += [Goal(f"CPU ÷ {other}", ratios(standings[names[0]], standings[other], "cpu"), 1.1) for other in names[1:]]
    finding.goals += [Goal(f"wall ÷ {other}", ratios(standings[names[0]], standings[other], "wall"), 1.1) for other in names[1:]]
    for db in (large, small):
        db.unlink()
    return finding


def _partition_line(large: Standing, standing: Standing) -> dict[str, Any]:
    partitions = 3 * _ROUND_WEEKS
    line: dict[str, Any] = {
        "what": standing.name,
        "CPU ms a partition": round(1000 * standing.middle("cpu") / partitions, 1),
        "wall ms a partition": round(1000 * standing.middle("wall") / partitions, 1),
        "peak MB": round(standing.middle("peak_mb"), 1),
    }
    if standing is not large:
        line["large ÷ it CPU"] = round(ratios(large, standing, "cpu"), 3)
        line["large ÷ it wall"] = round(ratios(large, standing, "wall"), 3)
    return line


def _store(work: Path, db: Path, weeks: int) -> None:
    """Fills a new database with `weeks` weeks up to ENDING."""
    db.unlink(missing_ok=True)
    batches = list(pairwise([*range(0, weeks, _BATCH), weeks]))
    coming = _start_generating(work, batches[0], weeks)
    for number in range(len(batches)):
        files = _finish_generating(coming)
        if number + 1 < len(batches):
            coming = _start_generating(work, batches[number + 1], weeks)
        _load(files, db)
        shutil.rmtree(files.folder)


def _load(files: Files, db: Path) -> None:
    """Runs over the files. Of some thousand random partitions the gates hold one or two (exit 1): those are released."""
    done = subprocess.run(ours(files, db), capture_output=True, text=True)
    if done.returncode > 1:
        raise ValueError(f"{files.folder} could not be loaded: {done.stderr[-500:]}")
    if done.returncode:
        _release_all(db, files.ending)


def _release_all(db: Path, day: date) -> None:
    of_store, spine = ["--db", str(db)], program("spine")
    query = [spine, "anomalies", "--unresolved", "--severity", "ERROR", "--json", *of_store]
    for anomaly in json.loads(subprocess.run(query, check=True, capture_output=True).stdout)["anomalies"]:
        if anomaly["category"] == "IMPLAUSIBLE_CONTENT":
            released = [spine, "release", anomaly["week"], anomaly["tier"], "--reason", "random", "--run-date", str(day)]
            subprocess.run([*released, *of_store], check=True, capture_output=True)


def _start_generating(work: Path, batch: tuple[int, int], weeks: int) -> tuple[Files, subprocess.Popen[bytes]]:
    """The oldest weeks first; made while the batch before is loaded."""
    start, end = batch
    files = Files(work / f"files-stored-{end}", end - start, ENDING - timedelta(weeks=weeks - end), None)
    arguments = ["--out", str(files.folder), "--weeks", str(files.weeks), "--ending", str(files.ending)]
    return files, subprocess.Popen(tool("make_fixtures", *arguments), stdout=subprocess.DEVNULL)


def _finish_generating(coming: tuple[Files, subprocess.Popen[bytes]]) -> Files:
    files, process = coming
    if process.wait():
        raise ValueError(f"the files in {files.folder} could not be made")
    return files


def readers(setting: Setting) -> Finding:
    """How long one symbol's `_latest` query takes, alone and while a backfill of 12 weeks writes into the same database."""
    weeks = 12
    stored = setting.work / "read.db"
    _store(setting.work, stored, weeks)
    files = generate(setting.work / "files-beside", weeks, ENDING + timedelta(weeks=weeks))
    finding = Finding("readers", readers.__doc__ or "", setting.rounds)
    found: dict[str, list[dict[str, float]]] = {"alone": [], "beside a backfill": []}
    for _ in range(setting.rounds):
        with tempfile.TemporaryDirectory(dir=setting.work) as name:
            folder = Path(name)
            shutil.copyfile(stored, folder / "read.db")
            found["alone"].append(_read(folder, None))
            found["beside a backfill"].append(_read(folder, files))
    finding.samples = found
    for name, some in found.items():
        finding.rows.append({"what": name, **{key: round(median(sample[key] for sample in some), 2) for key in some[0]}})
    stored.unlink()
    shutil.rmtree(files.folder)
    return finding


def _read(folder: Path, files: Files | None) -> dict[str, float]:
    """Reads until the run is over, or for three seconds when there is none."""
    stop = folder / "stop"
    stop.unlink(missing_ok=True)
    reader = subprocess.Popen(tool("bench.reader", str(folder / "read.db"), str(stop)), stdout=subprocess.PIPE, text=True)
    usage = Usage(0.0, 0.0, 0.0)
    try:
        if files is None:
            subprocess.run(["sleep", "3"], check=True)
        else:
            usage = measure(ours(files, folder / "read.db"), cwd=folder)
    finally:
        stop.touch()
        said, _ = reader.communicate()
    answer: dict[str, float] = json.loads(said)
    return answer | ({"backfill s": usage.wall} if files else {})
