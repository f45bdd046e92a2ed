"""The metrics, read from the database: metrics.py formats them for Prometheus.

A run, `spine metrics` and the API read the same rows and so report the same. No label holds a week, a symbol or a
message: there are never more than a few hundred series.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from market_spine import __version__, clock
from market_spine.calendar.publication import EXCHANGE, GRACE_DAYS, Calendar, due_date, next_due
from market_spine.core import holds, work_items
from market_spine.core.anomalies import SEVERITIES
from market_spine.db import Database
from market_spine.db.migrations import schema_version
from market_spine.monitor.deadline import Deadline
from market_spine.outcome import Phase
from market_spine.partition import TIERS, Partition, weeks_back

PIPELINE = "weekly_schedule"
EXIT_CODES = (0, 1, 2, 130, 141, 143)

_WINDOW_WEEKS = 12
_SILENT = timedelta(minutes=5)


class Kind(NamedTuple):
    """A metric's type, its labels and its help text."""

    type: str
    labels: tuple[str, ...]
    help: str


METRICS: Mapping[str, Kind] = {
    "market_spine_info": Kind("gauge", ("version", "engine", "schema"), "Always 1; the program and the database's schema."),
    "market_spine_runs_total": Kind("counter", ("exit_code",), "Weekly runs that ended, by exit code."),
    "market_spine_last_run_timestamp_seconds": Kind("gauge", (), "When the last weekly run ended."),
    "market_spine_last_run_exit_code": Kind(
        "gauge", (), "0 all well, 1 partial failure, 2 critical, 130/143 interrupted, 141 broken pipe."
    ),
    "market_spine_last_run_duration_seconds": Kind("gauge", (), "How long the last weekly run took."),
    "market_spine_last_run_phase_seconds": Kind("gauge", ("phase",), "How long each phase of it took."),
    "market_spine_last_run_weeks": Kind("gauge", (), "Weeks it checked."),
    "market_spine_last_run_weeks_in_state": Kind(
        "gauge", ("state",), "Weeks it checked: ready, awaiting publication, or blocked: to be looked at."
    ),
    "market_spine_last_run_restatements": Kind("gauge", ("tier",), "Partitions it took in that FINRA had restated."),
    "market_spine_last_run_partitions": Kind(
        "gauge", ("phase", "outcome", "tier"), "Partitions of it by phase, outcome and tier; tier 'all' is a whole week."
    ),
    "market_spine_last_run_rows": Kind("gauge", ("phase", "tier"), "Rows it ingested and normalized."),
    "market_spine_last_success_timestamp_seconds": Kind("gauge", (), "When a weekly run last ended with exit code 0."),
    "market_spine_run_expected_by_timestamp_seconds": Kind(
        "gauge", (), "By when the next weekly run should have ended: the first deadline after FINRA's next publication."
    ),
    "market_spine_week_expected_by_timestamp_seconds": Kind(
        "gauge", ("tier",), "By when the oldest week that is not stored should be: deadline after its publication and grace."
    ),
    "market_spine_weeks_overdue": Kind(
        "gauge", ("tier",), "Weeks since the first requested one that should be stored and are not."
    ),
    "market_spine_weeks": Kind("gauge", ("ready",), "Weeks judged, by whether they are ready for trading."),
    "market_spine_partitions_held": Kind("gauge", (), "Partitions of which the newest content is held."),
    "market_spine_anomalies_unresolved": Kind("gauge", ("severity",), "Unresolved anomalies."),
    "market_spine_work_items": Kind("gauge", ("state",), "Work items."),
    "market_spine_work_item_oldest_timestamp_seconds": Kind(
        "gauge", ("state",), "Since when the oldest work item has been in its state; pending ones count once they are due."
    ),
    "market_spine_worker_oldest_heartbeat_timestamp_seconds": Kind(
        "gauge", (), "Oldest heartbeat of the workers that are executing an item."
    ),
    "market_spine_workers": Kind("gauge", (), "Workers with a heartbeat in the last five minutes."),
    "market_spine_worker_outages": Kind("gauge", (), "Database outages that these workers have survived."),
    "market_spine_database_bytes": Kind("gauge", (), "Size of the database."),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One number: a metric of METRICS, the values of its labels in their order, and the value."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


def take(
    db: Database, now: datetime, deadline: Deadline, *, calendar: Calendar = EXCHANGE, grace_days: int = GRACE_DAYS
) -> list[Sample]:
    """Every sample; a metric without a value is left out."""
    samples = [
        Sample("market_spine_info", 1, (__version__, db.engine, str(schema_version(db)))),
        Sample("market_spine_database_bytes", db.size_bytes()),
    ]
    for read in (_runs, _last_run, _anomalies, _weeks, _work):
        samples += read(db)
    samples += _workers(db, now)
    samples += _expected_run(db, deadline, calendar)
    samples += _expected_weeks(db, now, deadline, calendar, grace_days)
    return samples


def crash_samples(exit_code: int, now: datetime) -> list[Sample]:
    """The samples when the database cannot be read."""
    return [
        Sample("market_spine_last_run_timestamp_seconds", now.timestamp()),
        Sample("market_spine_last_run_exit_code", exit_code),
    ]


def _runs(db: Database) -> list[Sample]:
    rows = db.execute(
        """
        SELECT exit_code, COUNT(*), MAX(finished_at) FROM core_executions
        WHERE pipeline = ? AND json_extract(arguments_json, '$.work_item') IS NULL AND exit_code IS NOT NULL GROUP BY exit_code
        """,
        (PIPELINE,),
    ).fetchall()
    counts = dict.fromkeys(EXIT_CODES, 0) | {exit_code: count for exit_code, count, _ in rows}
    samples = [Sample("market_spine_runs_total", count, (str(code),)) for code, count in counts.items()]
    succeeded = [last for exit_code, _, last in rows if exit_code == 0]
    return samples + [Sample("market_spine_last_success_timestamp_seconds", _seconds(moment)) for moment in succeeded]


def _last_run(db: Database) -> list[Sample]:
    last = db.execute(
        """
        SELECT started_at, finished_at, exit_code, outcomes_json FROM core_executions
        WHERE pipeline = ? AND json_extract(arguments_json, '$.work_item') IS NULL AND exit_code IS NOT NULL
        ORDER BY finished_at DESC, started_at DESC LIMIT 1
        """,
        (PIPELINE,),
    ).fetchone()
    if last is None:
        return []
    started_at, finished_at, exit_code, outcomes_json = last
    return [
        Sample("market_spine_last_run_timestamp_seconds", _seconds(finished_at)),
        Sample("market_spine_last_run_duration_seconds", _seconds(finished_at) - _seconds(started_at)),
        Sample("market_spine_last_run_exit_code", exit_code),
        *(_document(json.loads(outcomes_json)) if outcomes_json else ()),
    ]


def _document(document: Mapping[str, Any]) -> list[Sample]:
    """The samples in the run's own document: weeks, phase seconds, partitions and rows."""
    partitions: dict[tuple[str, ...], int] = {}
    rows = {(phase.value, tier): 0 for phase in (Phase.INGEST, Phase.NORMALIZE) for tier in TIERS}
    for entry in document.get("partitions", ()):
        labels = (entry["phase"], entry["outcome"], entry["tier"] or "all")
        partitions[labels] = partitions.get(labels, 0) + 1
        if labels[::2] in rows and entry["rows"]:
            rows[entry["phase"], entry["tier"]] += entry["rows"]
    seconds, counts = document.get("phase_seconds", {}), document.get("counts", {})
    restated = [each["tier"] for each in document.get("restatements", ())]
    states = {state: counts[f"weeks_{state}"] for state in ("ready", "awaiting", "blocked") if f"weeks_{state}" in counts}
    return [
        Sample("market_spine_last_run_weeks", len(document.get("weeks", ()))),
        *(Sample("market_spine_last_run_weeks_in_state", count, (state,)) for state, count in states.items()),
        *(Sample("market_spine_last_run_restatements", restated.count(tier), (tier,)) for tier in TIERS),
        *(Sample("market_spine_last_run_phase_seconds", value, (phase,)) for phase, value in seconds.items()),
        *(Sample("market_spine_last_run_partitions", count, labels) for labels, count in partitions.items()),
        *(Sample("market_spine_last_run_rows", count, labels) for labels, count in rows.items()),
    ]


def _anomalies(db: Database) -> list[Sample]:
    rows = db.execute("SELECT severity, COUNT(*) FROM core_anomalies WHERE resolved_at IS NULL GROUP BY severity")
    counts = dict.fromkeys(SEVERITIES, 0) | dict(rows)
    return [Sample("market_spine_anomalies_unresolved", count, (severity,)) for severity, count in counts.items()]


def _weeks(db: Database) -> list[Sample]:
    rows = db.execute(
        """
        SELECT is_ready, COUNT(*) FROM core_data_readiness
        WHERE ready_for = 'trading' AND json_extract(partition_key, '$.tier') IS NULL GROUP BY is_ready
        """
    )
    counts = {0: 0, 1: 0} | dict(rows)
    weeks = [Sample("market_spine_weeks", counts[flag], ("true" if flag else "false",)) for flag in (1, 0)]
    return [*weeks, Sample("market_spine_partitions_held", holds.count(db))]


def _work(db: Database) -> list[Sample]:
    counts = work_items.counts(db)
    rows = db.execute(
        """
        SELECT state, MIN(CASE WHEN state = 'PENDING' AND desired_at > updated_at THEN desired_at ELSE updated_at END),
               MIN(locked_at)
        FROM core_work_items WHERE state IN ('PENDING', 'RUNNING', 'RETRY_WAIT', 'FAILED') GROUP BY state
        """
    ).fetchall()
    oldest = {state: since for state, since, _ in rows}
    heartbeats = [heartbeat for state, _, heartbeat in rows if state == "RUNNING"]
    return [
        *(Sample("market_spine_work_items", count, (state,)) for state, count in counts.items()),
        *(Sample("market_spine_work_item_oldest_timestamp_seconds", _seconds(at), (state,)) for state, at in oldest.items()),
        *(Sample("market_spine_worker_oldest_heartbeat_timestamp_seconds", _seconds(at)) for at in heartbeats),
    ]


def _workers(db: Database, now: datetime) -> list[Sample]:
    workers, outages = db.execute(
        "SELECT COUNT(*), COALESCE(SUM(outages), 0) FROM core_workers WHERE seen_at >= ?", (clock.stamp(now - _SILENT),)
    ).fetchone()
    return [Sample("market_spine_workers", workers), Sample("market_spine_worker_outages", outages)]


def _expected_run(db: Database, deadline: Deadline, calendar: Calendar) -> list[Sample]:
    (finished_at,) = db.execute(
        """
        SELECT MAX(finished_at) FROM core_executions
        WHERE pipeline = ? AND json_extract(arguments_json, '$.work_item') IS NULL AND exit_code IS NOT NULL
        """,
        (PIPELINE,),
    ).fetchone()
    if finished_at is None:
        return []
    ran_on = clock.market_date(datetime.fromisoformat(finished_at))
    by = expected_run(ran_on, deadline, calendar)
    return [Sample("market_spine_run_expected_by_timestamp_seconds", by.timestamp())]


def expected_run(ran_on: date, deadline: Deadline, calendar: Calendar = EXCHANGE) -> datetime:
    """By when, after a run on `ran_on`, the next one should have ended: the deadline after the next publication."""
    return deadline.after(next_due(ran_on, calendar=calendar)[0].day)


def _expected_weeks(db: Database, now: datetime, deadline: Deadline, calendar: Calendar, grace_days: int) -> list[Sample]:
    newest = weeks_back(_WINDOW_WEEKS, clock.market_date(now) + timedelta(days=6))
    stored = {(week, tier) for week, tier in db.execute("SELECT week_ending, tier FROM finra_otc_transparency_current")}
    began = dict(db.execute("SELECT tier, MIN(first_week) FROM core_coverage GROUP BY tier"))
    samples = []
    for tier in TIERS:
        first = min((week for week in (began.get(tier), *(w for w, t in stored if t == tier)) if week), default=None)
        partitions = [Partition(week, tier) for week in _weeks_from(first, newest)]
        lacking = lacking_deadlines(partitions, stored, now, deadline, calendar, grace_days, began=first is not None)
        overdue = sum(moment <= now for moment in lacking)
        samples.append(Sample("market_spine_weeks_overdue", overdue, (tier,)))
        if lacking:
            samples.append(Sample("market_spine_week_expected_by_timestamp_seconds", lacking[0].timestamp(), (tier,)))
    return samples


def _weeks_from(first: str | None, newest: list[date]) -> list[date]:
    """The Fridays from the first requested one, oldest first; if none was requested, `newest` (which are newest first)."""
    if first is None:
        return newest[::-1]
    began = date.fromisoformat(first)
    return [began + timedelta(weeks=n) for n in range((newest[0] - began).days // 7 + 1)]


def lacking_deadlines(
    partitions: list[Partition], stored: set[tuple[str, str]], now: datetime, deadline: Deadline,
    calendar: Calendar = EXCHANGE, grace_days: int = GRACE_DAYS, *, began: bool = False,
) -> list[datetime]:
    """By when each partition that is not stored should be, in order; `partitions` are one tier's, oldest first.

    `began`: the first of them is the first requested one. Otherwise nothing before the first stored one is lacking, and if
    none is stored, nothing before the newest that is due.
    """
    held = [n for n, partition in enumerate(partitions) if (partition.week, partition.tier) in stored]
    today = clock.market_date(now)
    due = [] if began or held else [n for n, partition in enumerate(partitions) if due_date(partition, calendar) <= today]
    first = 0 if began else held[0] if held else due[-1] if due else 0
    return [
        deadline.after(due_date(partition, calendar) + timedelta(days=grace_days))
        for partition in partitions[first:]
        if (partition.week, partition.tier) not in stored
    ]


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
