"""What the log of events costs: bytes a capture, CPU of a load, of an append at any size, and of a verification."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from unittest import mock

from clone import tool

from bench.contest import Setting
from bench.goals import Finding, Goal
from bench.processes import Failed, program
from bench.spent import Spent
from bench.weekly_data import ENDING, one_tier

if TYPE_CHECKING:
    from market_spine.db import Database

_YEAR, _ROWS = 52, 150
_SIZES, _APPENDS, _VERIFIED = (1_000, 10_000, 100_000, 1_000_000), 1_000, 100_000
_AT = "2026-02-13T12:00:00+00:00"


def events(setting: Setting) -> Finding:
    """Bytes by kind of a year of Fridays, the part of the CPU of 18 × 50,000 rows, an append at any size, a verification."""
    finding = Finding("events", events.__doc__ or "", setting.rounds)
    _bytes(finding, setting)
    _load(finding, setting)
    _appends(finding, setting)
    _verification(finding, setting)
    return finding


def _bytes(finding: Finding, setting: Setting) -> None:
    """Of the lines of a year, each tier's file published on its day."""
    lines, captures = _year(setting.work / "events-year")
    sizes, counts = Counter[str](), Counter[str]()
    for line in lines:
        kind = json.loads(line)["kind"]
        sizes[kind] += len(line.encode())
        counts[kind] += 1
    for kind, size in sizes.most_common():
        finding.rows.append(
            {"what": kind, "events a capture": round(counts[kind] / captures, 2), "bytes a capture": round(size / captures)}
        )
    own = sum(size for kind, size in sizes.items() if kind.startswith("capture."))
    finding.rows.append({"what": "all", "events a capture": round(sum(counts.values()) / captures, 2)})
    finding.rows[-1]["bytes a capture"] = round(sum(sizes.values()) / captures)
    finding.goals += [
        Goal("bytes of the events of a capture itself", own / captures, 1024),
        Goal("bytes of all events a capture", sum(sizes.values()) / captures, 1024),
    ]


def _year(home: Path) -> tuple[list[str], int]:
    """The log of a year of Fridays, and how many captures it is of."""
    from market_spine.calendar import publication
    from market_spine.db import connect
    from market_spine.partition import TIERS, Partition, friday_of

    shutil.rmtree(home, ignore_errors=True)
    made, shown, db = home / "made", home / "shown", home / "year.db"
    shown.mkdir(parents=True)
    arguments = ["--out", str(made), "--weeks", str(_YEAR), "--ending", str(ENDING), "--rows", str(_ROWS)]
    subprocess.run(tool("make_fixtures", *arguments), check=True, stdout=subprocess.DEVNULL)
    due = {}
    for path in made.glob("*.psv"):
        tier = next(tier for tier in TIERS if tier.lower() in path.name.lower())
        due[path] = publication.due_date(Partition(date.fromisoformat(path.stem[-10:]), tier))
    friday = friday_of(min(due.values()))
    while due:
        for path in [path for path, day in due.items() if day <= friday]:
            path.rename(shown / path.name)
            del due[path]
        options = ["--quiet", "--data-dir", str(shown), "--db", str(db), "--run-date", str(friday), "--allow-future"]
        done = subprocess.run([program("run_finra_weekly_schedule"), *options], capture_output=True, text=True)
        if done.returncode not in (0, 1):
            raise Failed(f"the run of {friday} ended with {done.returncode}: {done.stderr[-500:]}")
        friday += timedelta(weeks=1)
    with contextlib.closing(connect(str(db))) as store:
        lines = [line for (line,) in store.execute("SELECT line FROM core_events ORDER BY seq")]
        (captures,) = store.execute("SELECT COUNT(*) FROM finra_otc_transparency_version").fetchone()
    shutil.rmtree(home)
    return lines, captures


def _load(finding: Finding, setting: Setting) -> None:
    """In pairs with a run that records nothing, neither of which makes windows; and what the events' own functions take."""
    folder = one_tier(setting.work, 18, 50_000).folder
    parts: list[float] = []
    took: dict[bool, list[float]] = {True: [], False: []}
    _run(setting, folder, records=True)  # what is imported only once belongs to neither
    for number in range(setting.rounds):
        for records in (True, False) if number % 2 else (False, True):
            own, whole = _run(setting, folder, records=records)
            took[records].append(whole)
            parts += [own / whole] if records else []
    more = min(took[True]) / min(took[False]) - 1  # the least of each: a busy machine adds as much as is looked for
    finding.rows.append({"what": "load of 18 × 50,000 rows", "part of its CPU": f"{median(parts):.2%}"})
    finding.rows.append({"what": "the same, against a run that records nothing", "part of its CPU": f"{more:.2%}"})
    finding.goals.append(Goal("part of the CPU of a load", median(parts), 0.02))


def _run(setting: Setting, folder: Path, *, records: bool) -> tuple[float, float]:
    """CPU seconds within the functions that write events, and of the whole run."""
    from market_spine import clock, process
    from market_spine.app import windows
    from market_spine.app.context import Run
    from market_spine.app.plan import Plan
    from market_spine.app.scheduler import run_schedule
    from market_spine.app.source.files import FileSource
    from market_spine.core import events as log
    from market_spine.partition import NMS_TIER_1, parse_week

    weeks = sorted(parse_week(file.stem[-10:]) for file in folder.glob("*.psv"))
    day, spent = weeks[-1] + timedelta(weeks=8), Spent()
    process.work_in_bulk()  # as the command does
    with contextlib.ExitStack() as stack:
        db = stack.enter_context(_store(setting.work / "events.db"))
        run = Run(db, day, clock.moment_of(day), "bench")
        windows.keep_lengths(run, ())
        for name in ("record", "_append"):
            written = spent.counted(getattr(log, name)) if records else lambda *given, **named: None
            stack.enter_context(mock.patch.object(log, name, written))
        began = _cpu()
        run_schedule(run, FileSource(str(folder), max_bytes=1 << 28), Plan(tuple(weeks), (NMS_TIER_1,)), lambda outcome: None)
        return spent.seconds, _cpu() - began


def _appends(finding: Finding, setting: Setting) -> None:
    """A thousand transactions of one event each, in a log of each size."""
    taken = {}
    with _store(setting.work / "events.db") as db:
        story = _story(0)
        for size in _SIZES:
            _fill(db, story, size)
            began = time.process_time()
            for _ in range(_APPENDS):
                _append(db, story, 1)
            taken[size] = (time.process_time() - began) / _APPENDS
            finding.rows.append({"what": f"an append to {size:,} events", "CPU µs": round(1e6 * taken[size], 1)})
    finding.goals.append(Goal("an append to 10^6 events ÷ one to 10^3", taken[_SIZES[-1]] / taken[_SIZES[0]], 1.25))


def _verification(finding: Finding, setting: Setting) -> None:
    from market_spine.operate import audit

    with _store(setting.work / "events.db") as db:
        _fill(db, _story(0), _VERIFIED)
        taken = []
        for _ in range(setting.rounds):
            began = time.process_time()
            verdict = audit.verify(db)
            taken.append(time.process_time() - began)
    if verdict.faults:
        raise Failed(f"the log has faults: {verdict.faults[:3]}")
    finding.rows.append({"what": f"verification of {verdict.size:,} events", "CPU ms": round(1000 * median(taken))})
    finding.goals.append(Goal(f"CPU s to verify {_VERIFIED:,} events", median(taken), 2))


@contextlib.contextmanager
def _store(path: Path) -> Iterator[Database]:
    from market_spine.db import connect
    from market_spine.db.migrations import prepare

    path.unlink(missing_ok=True)
    with contextlib.closing(connect(str(path))) as db:
        prepare(db)
        yield db
    path.unlink()


def _fill(db: Database, story: Iterator[tuple[str, str, dict[str, Any]]], size: int) -> None:
    """Appends until the log has `size` events; in whole chapters, so that no capture is left that the tables lack."""
    from market_spine.core import events as log

    while (missing := size - log.head(db).size) > 0:
        _append(db, story, -(-min(missing, 10_000) // _CHAPTER) * _CHAPTER)


def _append(db: Database, story: Iterator[tuple[str, str, dict[str, Any]]], count: int) -> None:
    from market_spine.core import events as log

    with db.transaction():
        for _ in range(count):
            kind, subject, body = next(story)
            log.record(db, log.Kind(kind), subject, _AT, **body)


_CHAPTER = 6


def _story(number: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Captures that come and are pruned, each with an anomaly that is closed: after every sixth event nothing is left."""
    from market_spine.partition import DOMAIN, generate_capture_id

    while True:
        week, day = date(2000, 1, 7) + timedelta(weeks=number % 1_000), date(2026, 2, 13)
        subject, capture_id = f"{week}/OTC", generate_capture_id(DOMAIN, week, "OTC", day)
        content = {"capture_id": capture_id, "ingest_no": 1}
        yield (
            "capture.stored",
            subject,
            {**content, "run_date": str(day), "content_hash": f"{number:064x}", "lines": 50_000, "observed_at": _AT},
        )
        yield "capture.normalized", subject, {**content, "normalized_at": _AT, "rows": 50_000, "shares": "476637453"}
        yield "capture.measured", subject, content
        words = {"severity": "WARN", "category": "LATE_DATA", "stage": "RAW", "message": "not there yet (due 2026-02-09)"}
        yield "anomaly.opened", subject, {"id": number, "capture_id": None, **words}
        yield "anomaly.closed", subject, {"id": number, "note": f"ingested as {capture_id}"}
        yield "capture.pruned", subject, {"capture_id": capture_id, "reason": "old"}
        number += 1


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
