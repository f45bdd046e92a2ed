"""The store as it was known at the end of a past day: what the events add up to, in a database in memory.

It holds captures, stages, week results, readiness and anomalies, so that every command that shows these can show a past day
by the same statements. It holds no rows and no measures: those are queried as of the day in the store itself.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from market_spine.core import contents, events
from market_spine.core.manifest import CALC, HELD, NORMALIZED, RANK, RAW, WITHDRAWN
from market_spine.core.replay import AnomalyState, CaptureState, State, replay
from market_spine.db import Database, connect, migrations
from market_spine.errors import DamagedRaw
from market_spine.partition import DOMAIN, TIERS, partition_key


@contextlib.contextmanager
def store_before(db: Database, before: str) -> Iterator[Database]:
    """The store of all events before a moment (a stamp). Raises NotFound when the log began later."""
    events.check_began(db, before)
    with contextlib.closing(connect(":memory:")) as past:
        migrations.prepare(past)
        with past.transaction():
            _fill(past, db, replay(events.lines(db), before))
            _put_runs(past, db, before)
            _copy_coverage(past, db, before)
        yield past


def _fill(past: Database, db: Database, state: State) -> None:
    keys = {capture_id: number for number, capture_id in enumerate(state.captures, 1)}
    for capture_id, capture in state.captures.items():
        _put_capture(past, keys[capture_id], capture_id, capture)
        _put_stages(past, capture_id, capture)
        if capture.normalized != capture.newest:
            _keep_content(past, db, capture.contents[capture.newest].content_hash)
    for result_id, result in state.week_results.items():
        _put_week(past, result_id, result.week, result.at, result.made_from, keys)
    for subject, judged in state.readiness.items():
        _put_judged(past, subject, is_ready=judged.is_ready, issues=list(judged.issues))
    for number, anomaly in state.anomalies.items():
        _put_anomaly(past, number, anomaly)


def _copy_coverage(past: Database, db: Database, before: str) -> None:
    """The first weeks that had been asked for."""
    rows = db.execute(
        "SELECT domain, tier, first_week, updated_at FROM core_coverage WHERE domain = ? AND updated_at < ?", (DOMAIN, before)
    ).fetchall()
    for row in rows:
        past.execute("INSERT INTO core_coverage (domain, tier, first_week, updated_at) VALUES (?, ?, ?, ?)", row)


def _put_capture(past: Database, key: int, capture_id: str, capture: CaptureState) -> None:
    week, tier = capture.partition.split("/")
    shown = capture.shown
    past.execute(
        """
        INSERT INTO finra_otc_transparency_capture (capture_key, capture_id, week_ending, tier, run_date, captured_at,
            content_hash, source_uri, row_count, total_shares, normalized_at, withdrawn_at, withdrawn_reason, pinned_as,
            held_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            key, capture_id, week, tier, capture.run_date, shown.observed_at, shown.content_hash, capture.rows,
            capture.shares, capture.normalized_at, capture.withdrawn_at, capture.withdrawn_reason, capture.pinned,
            capture.held_at if capture.rows_are_held else None,
        ),
    )
    for number, content in capture.contents.items():
        past.execute(
            """
            INSERT INTO finra_otc_transparency_version (capture_id, ingest_no, content_hash, observed_at, row_count,
                                                        metadata_json)
            VALUES (?, ?, ?, ?, ?, '{}')
            """,
            (capture_id, number, content.content_hash, content.observed_at, content.lines),
        )


def _put_stages(past: Database, capture_id: str, capture: CaptureState) -> None:
    week, tier = capture.partition.split("/")
    key, newest = partition_key(week, tier), capture.contents[capture.newest]
    made_of = {"sha256": newest.content_hash, "ingest_no": capture.newest}
    _put_stage(past, RAW, key, capture_id, newest.lines, made_of, newest.observed_at)
    if capture.normalized is not None:
        content = capture.contents[capture.normalized]
        facts = {"sha256": content.content_hash, "ingest_no": capture.normalized}
        _put_stage(past, NORMALIZED, key, capture_id, capture.rows or 0, facts, content.observed_at)
    if capture.measured is not None:
        facts = {"ingest_no": capture.measured}
        _put_stage(past, CALC, key, capture_id, 1, facts, capture.shown.observed_at, capture.measured_at)
    if capture.held is not None:
        _put_hold(past, capture_id, capture)
    if capture.withdrawn_at is not None:
        reason = {"reason": capture.withdrawn_reason or "no reason given", "withdrawn_at": capture.withdrawn_at}
        _put_stage(past, WITHDRAWN, key, capture_id, capture.rows or 0, reason, capture.shown.observed_at)
        past.execute(
            """
            INSERT INTO finra_otc_transparency_withdrawal (capture_id, withdrawn_at, withdrawn_by, reason, content_hash)
            VALUES (?, ?, '', ?, ?)
            """,
            (capture_id, capture.withdrawn_at, reason["reason"], capture.shown.content_hash),
        )


def _put_hold(past: Database, capture_id: str, capture: CaptureState) -> None:
    week, tier = capture.partition.split("/")
    number = int(capture.held or 0)
    content, why = capture.contents[number], {"ingest_no": number, "gate": capture.held_by, "reason": capture.held_reason}
    _put_stage(past, HELD, partition_key(week, tier), capture_id, content.lines, why, content.observed_at)
    past.execute(
        """
        INSERT INTO finra_otc_transparency_hold (capture_id, ingest_no, held_at, week_ending, tier, content_hash, gate, reason,
                                                 held_by, has_rows)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', ?)
        """,
        (
            capture_id, number, capture.held_at, week, tier, content.content_hash, capture.held_by, capture.held_reason,
            int(capture.rows_are_held),
        ),
    )


def _put_stage(
    past: Database, stage: str, key: str, capture_id: str, rows: int, facts: dict[str, Any], captured_at: str,
    created_at: str | None = None,
) -> None:
    past.execute(
        """
        INSERT INTO core_manifest (domain, stage, stage_rank, partition_key, capture_id, row_count, metadata_json, captured_at,
                                   created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (DOMAIN, stage, RANK[stage], key, capture_id, rows, json.dumps(facts), captured_at, created_at or captured_at),
    )


def _keep_content(past: Database, db: Database, content_hash: str) -> None:
    """What is still to be normalized is looked at again: whether its bytes are there decides what is suggested."""
    with contextlib.suppress(DamagedRaw):
        contents.store_raw(past, b"".join(contents.read_raw(db, content_hash)), content_hash)


def _put_week(
    past: Database, result_id: str, week: str, at: str, made_from: Mapping[str, Mapping[str, Any]], keys: Mapping[str, int]
) -> None:
    of_tier = [keys.get(made_from.get(tier, {}).get("capture_id", ""), 0) for tier in TIERS]
    run_date = f"{result_id[-8:-4]}-{result_id[-4:-2]}-{result_id[-2:]}"
    past.execute(
        """
        INSERT INTO finra_otc_transparency_week (capture_id, week_ending, run_date, captured_at, nms_tier_1_key, nms_tier_2_key,
            otc_key, total_shares, ats_shares, total_trades, symbol_count, venue_count)
        VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0)
        """,
        (result_id, week, run_date, at, *of_tier),
    )
    _put_stage(past, CALC, partition_key(week), result_id, 1, {"made_from": made_from}, at)


def _put_judged(past: Database, subject: str, *, is_ready: bool, issues: list[str]) -> None:
    week, _, tier = subject.partition("/")
    past.execute(
        """
        INSERT INTO core_data_readiness (domain, partition_key, is_ready, ready_for, blocking_issues, created_at, updated_at)
        VALUES (?, ?, ?, 'trading', ?, '', '')
        """,
        (DOMAIN, partition_key(week, tier or None), int(is_ready), json.dumps(issues) if issues else None),
    )


def _put_anomaly(past: Database, number: int, anomaly: AnomalyState) -> None:
    week, _, tier = anomaly.subject.partition("/")
    body, details = anomaly.body, {name: anomaly.body[name] for name in ("ingest_no", "hint") if name in anomaly.body}
    past.execute(
        """
        INSERT INTO core_anomalies (id, domain, partition_key, stage, severity, category, message, details_json, capture_id,
                                    detected_at, resolved_at, resolution_note, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            number, DOMAIN, partition_key(week, tier or None) if week else None, body["stage"], body["severity"],
            body["category"], body["message"], json.dumps(details) if details else None, body["capture_id"], anomaly.at,
            anomaly.closed_at, anomaly.note, anomaly.at,
        ),
    )


def _put_runs(past: Database, db: Database, before: str) -> None:
    """The runs that had begun and had not failed: where data was fetched from decides what is suggested. A killed run has no
    event, but its row says what it was asked to do."""
    runs = db.execute(
        """
        SELECT execution_id, pipeline, run_date, started_at, arguments_json FROM core_executions
        WHERE started_at < ? AND (error IS NULL OR finished_at >= ?)
        """,
        (before, before),
    )
    for run in runs:
        past.execute(
            """
            INSERT INTO core_executions (execution_id, pipeline, run_date, started_at, arguments_json, version, host, pid)
            VALUES (?, ?, ?, ?, ?, '', '', 0)
            """,
            tuple(run),
        )
