"""What there is to watch: the numbers of a database, the same from both engines."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.desk import Desk

from market_spine import __version__, clock
from market_spine.core import anomalies, executions, work_items
from market_spine.db import Database
from market_spine.monitor import samples
from market_spine.monitor.deadline import parse_deadline
from market_spine.outcome import Phase, Status
from market_spine.partition import DOMAIN, TIERS

NOW = datetime(2026, 1, 9, 13, tzinfo=timezone.utc)
FRIDAY = parse_deadline("Fri 12:00")


def taken(db: Database, now: datetime = NOW) -> dict[tuple[str, ...], float]:
    """Every reading by name and label values."""
    all_samples = samples.take(db, now, FRIDAY)
    figures = {(sample.name.removeprefix("market_spine_"), *sample.labels): sample.value for sample in all_samples}
    assert len(figures) == len(all_samples)  # no series twice
    return figures


def ran(
    db: Database, exit_code: int | None, started: datetime, outcomes: object = None, pipeline: str = "weekly_schedule"
) -> None:
    name = f"{started.isoformat()}{pipeline}"
    executions.start(db, name, pipeline, started.date(), {}, started)
    if exit_code is not None:
        executions.finish(db, name, exit_code, started + timedelta(seconds=42), outcomes=outcomes)


def test_an_empty_database_has_zeros_and_nothing_made_up(db: Database) -> None:
    figures = taken(db)
    assert figures["runs_total", "0"] == figures["runs_total", "2"] == 0
    assert {severity: figures["anomalies_unresolved", severity] for severity in anomalies.SEVERITIES} == dict.fromkeys(
        anomalies.SEVERITIES, 0
    )
    assert figures["weeks", "true"] == figures["work_items", "FAILED"] == 0
    assert figures["database_bytes",] > 10_000
    assert figures["info", __version__, db.engine, str(_schema(db))] == 1
    absent = {"last_run_timestamp_seconds", "last_success_timestamp_seconds", "run_expected_by_timestamp_seconds"}
    assert not absent & {name for name, *_ in figures}


def _schema(db: Database) -> int:
    from market_spine.db.migrations import schema_version

    return schema_version(db)


def test_runs_are_counted_by_exit_code(db: Database) -> None:
    for days, code in ((21, 0), (14, 1), (7, 0), (3, None)):
        ran(db, code, NOW - timedelta(days=days))
    ran(db, 2, NOW, pipeline="ingest_week")  # a worker's, not a weekly run
    figures = taken(db)
    assert {labels[1]: n for labels, n in figures.items() if labels[0] == "runs_total"} == {
        "0": 2, "1": 1, "2": 0, "130": 0, "141": 0, "143": 0,
    }
    last = (NOW - timedelta(days=7)).timestamp() + 42
    assert figures["last_run_timestamp_seconds",] == figures["last_success_timestamp_seconds",] == last
    assert (figures["last_run_exit_code",], figures["last_run_duration_seconds",]) == (0, 42)


def test_the_next_run_is_expected_by_the_calendar(db: Database) -> None:
    ran(db, 1, datetime(2026, 1, 16, 13, tzinfo=timezone.utc))
    by = datetime.fromtimestamp(taken(db)["run_expected_by_timestamp_seconds",], timezone.utc)
    assert by.isoformat() == "2026-01-23T17:00:00+00:00"


DOCUMENT = {
    "weeks": ["2025-12-26", "2026-01-02"],
    "phase_seconds": {"ingest": 1.5, "calc": 0.25},
    "partitions": [
        {"phase": "ingest", "outcome": "done", "tier": "OTC", "rows": 7},
        {"phase": "ingest", "outcome": "done", "tier": "OTC", "rows": 5},
        {"phase": "ingest", "outcome": "failed", "tier": "NMS_TIER_1", "rows": None},
        {"phase": "normalize", "outcome": "warning", "tier": "OTC", "rows": 6},
        {"phase": "calc", "outcome": "done", "tier": None, "rows": None},
    ],
}


def test_the_last_run_has_the_figures_of_its_document(db: Database) -> None:
    ran(db, 1, NOW, DOCUMENT)
    figures = taken(db)
    assert figures["last_run_weeks",] == 2
    assert (figures["last_run_phase_seconds", "ingest"], figures["last_run_phase_seconds", "calc"]) == (1.5, 0.25)
    assert figures["last_run_partitions", "ingest", "done", "OTC"] == 2
    assert figures["last_run_partitions", "ingest", "failed", "NMS_TIER_1"] == 1
    assert figures["last_run_partitions", "calc", "done", "all"] == 1
    assert (figures["last_run_rows", "ingest", "OTC"], figures["last_run_rows", "normalize", "OTC"]) == (12, 6)
    assert figures["last_run_rows", "normalize", "NMS_TIER_1"] == 0


def test_a_run_without_a_document_has_no_figures_of_one(db: Database) -> None:
    ran(db, 2, NOW)
    figures = taken(db)
    assert figures["last_run_exit_code",] == 2
    assert not [name for name, *_ in figures if name in ("last_run_weeks", "last_run_partitions")]


def test_unresolved_anomalies_are_counted_by_severity(db: Database) -> None:
    for severity, note in (("ERROR", None), ("ERROR", None), ("ERROR", "repaired"), ("CRITICAL", None)):
        anomalies.record_anomaly(
            db, domain=DOMAIN, severity=severity, category="X", message="m", resolution_note=note, now=NOW
        )
    figures = taken(db)
    assert [figures["anomalies_unresolved", severity] for severity in anomalies.SEVERITIES] == [0, 0, 2, 1]


def test_a_weekly_run_is_seen_in_weeks_and_deadlines(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    weeks = [date(2025, 11, 28), date(2025, 12, 5)]
    desk.publish_weeks(weeks)
    desk.run(date(2026, 1, 9), weeks=weeks)
    figures = taken(db)
    assert (figures["weeks", "true"], figures["weeks", "false"]) == (2, 0)
    # The week of December 12th: T1 came out on the 29th, T2 and OTC will on January 12th.
    assert [figures["weeks_overdue", tier] for tier in TIERS] == [1, 0, 0]
    by = [datetime.fromtimestamp(figures["week_expected_by_timestamp_seconds", tier], timezone.utc) for tier in TIERS]
    assert [moment.date().isoformat() for moment in by] == ["2026-01-02", "2026-01-16", "2026-01-16"]


@pytest.mark.parametrize("gap_weeks", [3, 30, 200])
def test_every_week_since_the_first_that_is_overdue_counts(db: Database, tmp_path: Path, gap_weeks: int) -> None:
    desk = Desk(tmp_path / "files", db)
    newest = date(2025, 11, 28)
    weeks = [newest - timedelta(weeks=gap_weeks + 1), newest]
    desk.publish_weeks(weeks)
    for week in weeks:
        desk.run(date(2026, 1, 9), weeks=[week])
    overdue = [taken(db)["weeks_overdue", tier] for tier in TIERS]
    assert overdue == [gap_weeks + 2, gap_weeks, gap_weeks]  # of Tier 1 two weeks after the newest one stored are due, too


def test_a_week_that_was_asked_for_and_never_came_counts(db: Database) -> None:
    with db.transaction():
        db.execute("DELETE FROM core_coverage")
        db.execute("INSERT INTO core_coverage VALUES ('finra.otc_transparency', 'OTC', '2025-01-03', '2025-02-14T12:00:00+00:00')")
    assert taken(db)["weeks_overdue", "OTC"] > 40


def test_a_duration_has_milliseconds(db: Database) -> None:
    executions.start(db, "x", "weekly_schedule", NOW.date(), {}, NOW)
    executions.finish(db, "x", 0, NOW + timedelta(milliseconds=1234))
    assert taken(db)["last_run_duration_seconds",] == pytest.approx(1.234, abs=1e-6)


def test_a_moment_with_milliseconds_sorts_among_those_without(db: Database) -> None:
    moments = [NOW, NOW + timedelta(milliseconds=1), NOW + timedelta(seconds=1)]
    stamps = [clock.stamp(moments[0]), clock.exact_stamp(moments[1]), clock.stamp(moments[2])]
    rows = db.execute("SELECT ? AS at UNION SELECT ? UNION SELECT ? ORDER BY at DESC", stamps).fetchall()
    assert [row[0] for row in rows] == stamps[::-1] == sorted(stamps)[::-1]


def test_work_items_are_counted_by_state_with_the_oldest_of_each(db: Database) -> None:
    early, late = "2026-01-09T10:00:00+00:00", "2026-01-09T12:00:00+00:00"
    items = [
        ("a", "PENDING", late, early, None), ("b", "PENDING", early, early, None), ("c", "FAILED", early, late, None),
        ("d", "RUNNING", early, late, late),
    ]
    with db.transaction():
        for key, state, desired, updated, locked in items:
            holder = "w1" if locked else None
            db.execute(
                """
                INSERT INTO core_work_items (domain, pipeline, partition_key, desired_at, state, current_execution_id, locked_by,
                                             locked_at, created_at, updated_at)
                VALUES ('d', 'p', ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                (f'{{"week_ending": "{key}"}}', desired, state, holder, holder, locked, early, updated),
            )
    figures = taken(db)
    assert {state: figures["work_items", state] for state in work_items.STATES} == {
        "PENDING": 2, "RUNNING": 1, "RETRY_WAIT": 0, "COMPLETE": 0, "FAILED": 1, "CANCELLED": 0,
    }
    oldest = {state: figures["work_item_oldest_timestamp_seconds", state] for state in ("PENDING", "FAILED", "RUNNING")}
    moments = {text: datetime.fromisoformat(text).timestamp() for text in (early, late)}
    assert figures["worker_oldest_heartbeat_timestamp_seconds",] == moments[late]
    assert oldest == {"PENDING": moments[early], "FAILED": moments[late], "RUNNING": moments[late]}


def test_the_number_of_series_is_bounded(db: Database) -> None:
    """Whatever the runs do: every phase, outcome and tier there is, and no week or message among the labels."""
    everything = [
        {"phase": phase.value, "outcome": status.value, "tier": tier, "rows": 1}
        for phase in Phase for status in Status for tier in (*TIERS, None)
    ]
    ran(db, 1, NOW, {"weeks": ["2025-12-26"] * 500, "phase_seconds": {p.value: 1 for p in Phase}, "partitions": everything * 100})
    for number in range(300):
        anomalies.record_anomaly(db, domain=DOMAIN, severity="ERROR", category=f"C{number}", message=f"m{number}", now=NOW)
    assert len(taken(db)) < 200
    labels = {label for kind in samples.METRICS.values() for label in kind.labels}
    assert labels == {"version", "engine", "schema", "exit_code", "phase", "outcome", "tier", "ready", "severity", "state"}


@pytest.mark.parametrize("exit_code", [2, 143])
def test_a_crash_says_when_and_how(exit_code: int) -> None:
    assert [(sample.name, sample.value) for sample in samples.crash_samples(exit_code, NOW)] == [
        ("market_spine_last_run_timestamp_seconds", NOW.timestamp()),
        ("market_spine_last_run_exit_code", exit_code),
    ]
