"""What a queue with a million ended items costs those who look at it: lists, counts, metrics, and what each item asks itself."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from statistics import median
from typing import Any

from bench.contest import Setting
from bench.goals import Finding, Goal
from bench.postgres import own_server

MANY, FEW = 1_000_000, 1_000
LONGEST_MS = 100.0
NOW = datetime(2026, 2, 6, 12, tzinfo=timezone.utc)
PIPELINES = ("ingest_week", "normalize_week", "compute_venue_volume", "compute_venue_share", "compute_hhi", "capture_week")
_FIRST_WEEK = date(1960, 1, 1)  # a Friday
_ITEM = (
    "id",
    "domain",
    "pipeline",
    "partition_key",
    "desired_at",
    "priority",
    "state",
    "attempt_count",
    "latest_execution_id",
    "created_at",
    "updated_at",
    "completed_at",
)
_EXECUTION = (
    "execution_id",
    "pipeline",
    "run_date",
    "started_at",
    "finished_at",
    "version",
    "host",
    "pid",
    "arguments_json",
    "exit_code",
)
Ask = Callable[[Any], object]


def finished(setting: Setting) -> Finding:
    """Lists, counts and metrics of a queue with a thousand and with a million ended items, on each engine; wall time."""
    from market_spine.db import connect

    found = Finding("finished", finished.__doc__ or "", setting.rounds)
    server_class, databases_class, binaries = own_server()
    with server_class(binaries, durable=True) as server, contextlib.ExitStack() as stack:
        databases = stack.enter_context(contextlib.closing(databases_class(server.url)))
        for engine in ("sqlite", "postgresql"):
            stores = {}
            for ended in (FEW, MANY):
                path = setting.work / f"finished-{ended}.db"
                path.unlink(missing_ok=True)
                target = str(path) if engine == "sqlite" else databases.create()
                stores[ended] = stack.enter_context(contextlib.closing(connect(target)))
                _make(stores[ended], ended)
            for name, ask in QUESTIONS.items():
                few, many = (_milliseconds(stores[ended], ask, setting.rounds) for ended in (FEW, MANY))
                figures = {"a thousand, ms": round(few, 2), "a million, ms": round(many, 2), "ratio": round(many / few, 1)}
                found.rows.append({"what": f"{engine}: {name}", **figures})
                found.goals.append(Goal(f"{engine}: {name}, ms", many, LONGEST_MS))
    return found


def _make(db: Any, ended: int) -> None:
    from market_spine.db.migrations import prepare

    prepare(db, NOW)
    fill(db, ended)
    if db.engine == "postgresql":
        db.execute("VACUUM ANALYZE")  # as autovacuum does after as many changes


def fill(db: Any, ended: int) -> None:
    """`ended` COMPLETE items with their executions, pipeline after pipeline, and one weekly run among them."""
    with db.transaction():
        db.bulk_insert("core_work_items", _ITEM, list(_items(ended)))
        db.bulk_insert("core_executions", _EXECUTION, list(_executions(ended)))


def _items(ended: int) -> Iterator[tuple[object, ...]]:
    from market_spine.partition import DOMAIN, TIERS, partition_key

    for n in range(ended):
        rank, at = n * len(PIPELINES) // ended, _moment(n, ended)
        key = partition_key(str(_FIRST_WEEK + timedelta(weeks=n // len(TIERS))), TIERS[n % len(TIERS)])
        yield n + 1, DOMAIN, PIPELINES[rank], key, at, -rank, "COMPLETE", 1, f"item-{n:09}", at, at, at


def _executions(ended: int) -> Iterator[tuple[object, ...]]:
    for n in range(ended):
        at, arguments = _moment(n, ended), json.dumps({"work_item": n + 1, "params": "{}"})
        yield f"item-{n:09}", PIPELINES[n * len(PIPELINES) // ended], at[:10], at, at, "1", "host", 1, arguments, 0
    at = _moment(ended // 2, ended)
    yield "weekly", "weekly_schedule", at[:10], at, at, "1", "host", 1, json.dumps({"source": "file"}), 0


def _moment(n: int, ended: int) -> str:
    return f"{NOW - timedelta(days=400) + timedelta(days=400) * n / ended:%Y-%m-%dT%H:%M:%S+00:00}"


def _milliseconds(db: Any, ask: Ask, rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        with db.snapshot():
            ask(db)
        taken.append(1000 * (time.perf_counter() - began))
    return median(taken)


def _listed(*states: str, pipeline: str | None = None, newest: bool = False) -> Ask:
    def ask(db: Any) -> object:
        from market_spine.work import queue
        from market_spine.work.item import State

        return queue.listed(db, queue.Filter(tuple(map(State, states)), pipeline=pipeline), newest=newest)

    return ask


def _metrics(db: Any) -> object:
    from market_spine.monitor import samples
    from market_spine.monitor.deadline import parse_deadline

    return samples.take(db, NOW, parse_deadline("Fri 12:00"))


def _last_runs(db: Any) -> object:
    from market_spine.core.executions import last_source
    from market_spine.operate import runs

    return runs.last_weekly(db), runs.list_runs(db, 50), runs.find(db, "weekly"), last_source(db)


def _day(db: Any) -> object:
    from market_spine.core.timeline import newest_day

    return newest_day(db, NOW.date())


QUESTIONS: dict[str, Ask] = {
    "list what is open": _listed(),
    "list COMPLETE": _listed("COMPLETE"),
    "list COMPLETE, newest first": _listed("COMPLETE", newest=True),
    "list COMPLETE of a pipeline": _listed("COMPLETE", pipeline="compute_hhi"),
    "list COMPLETE of a pipeline, newest first": _listed("COMPLETE", pipeline="compute_hhi", newest=True),
    "list COMPLETE and FAILED": _listed("COMPLETE", "FAILED"),
    "metrics": _metrics,
    "the last runs": _last_runs,
    "the newest day, asked by each item": _day,
}
