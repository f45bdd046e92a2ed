"""How the log of events begins: which migrations made the schema, and what a store already held.

What was there before the log is imported, marked as such: it is known since the log began, and not proved for any day before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from market_spine import clock
from market_spine.core import anomalies, events
from market_spine.core.events import Kind
from market_spine.core.replay import State, differences
from market_spine.db import Database
from market_spine.db.migrations import Migration, prepare
from market_spine.partition import DOMAIN


class _Content(NamedTuple):
    """A content of a capture, as the tables keep it."""

    capture_id: str
    subject: str
    run_date: str
    ingest_no: int
    content_hash: str
    observed_at: str
    lines: int


class _Standing(NamedTuple):
    """The state of a capture, as the tables keep it."""

    capture_id: str
    subject: str
    metadata_json: str | None
    measured_json: str | None
    normalized_at: str | None
    rows: int | None
    shares: float | None
    withdrawn_at: str | None
    withdrawn_by: str | None
    withdrawn_reason: str | None
    pinned_as: str | None


def create(db: Database, now: datetime | None) -> None:
    """Creates the schema in an empty database and begins its log; that is logged as a warning, because the name of the database
    may be mistyped."""
    with db.transaction():
        made = clock.utc_now()  # a run may be dated in the past, and by mistake in the future
        begin(db, prepare(db, now), min(now or made, made))
    facts = {"event": "database_created", "database": db.label, "aloud": True}
    logging.getLogger("market_spine").warning("new database %s", db.label, extra=facts)


def begin(db: Database, applied: Iterable[Migration], now: datetime) -> None:
    """Records the migrations that were applied and, where the log is empty, imports what the store holds."""
    at = clock.stamp(now)
    with db.transaction():
        imports = events.head(db).size == 0
        for migration in applied:
            events.record(db, Kind.SCHEMA_MIGRATED, "schema", at, number=migration.number, name=migration.name)
        if imports and differences(db, State()):
            _import_captures(db, at)
            _import_judgements(db, at)


def _import_captures(db: Database, at: str) -> None:
    contents = db.execute(
        """
        SELECT c.capture_id, c.week_ending || '/' || c.tier, c.run_date, v.ingest_no, v.content_hash, v.observed_at,
               v.row_count
        FROM finra_otc_transparency_capture c
        JOIN finra_otc_transparency_version v ON v.capture_id = c.capture_id ORDER BY c.run_date, c.capture_id, v.ingest_no
        """
    ).fetchall()
    for content in map(_Content._make, contents):
        body = content._asdict() | {"imported": True}
        events.record(db, Kind.CAPTURE_STORED, str(body.pop("subject")), at, **body)
    standing = db.execute(
        """
        SELECT c.capture_id, c.week_ending || '/' || c.tier, m.metadata_json, calc.metadata_json, c.normalized_at, c.row_count,
               c.total_shares, c.withdrawn_at, c.withdrawn_by, c.withdrawn_reason, c.pinned_as
        FROM finra_otc_transparency_capture c
        LEFT JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'NORMALIZED'
        LEFT JOIN core_manifest calc ON calc.capture_id = c.capture_id AND calc.stage = 'CALC' ORDER BY c.run_date, c.capture_id
        """
    ).fetchall()
    for capture in map(_Standing._make, standing):
        _import_standing(db, at, capture)
    results = db.execute(
        """
        SELECT w.capture_id, w.week_ending, m.metadata_json FROM finra_otc_transparency_week w
        JOIN core_manifest m ON m.capture_id = w.capture_id AND m.stage = 'CALC' ORDER BY w.capture_id
        """
    ).fetchall()
    for result_id, week, metadata in results:
        made_from = json.loads(metadata).get("made_from", {})
        events.record(db, Kind.WEEK_MADE, week, at, result_id=result_id, made_from=made_from, imported=True)


def _import_standing(db: Database, at: str, capture: _Standing) -> None:
    facts = {"capture_id": capture.capture_id, "imported": True}
    if capture.normalized_at and capture.metadata_json:
        number = json.loads(capture.metadata_json)["ingest_no"]
        made = {"normalized_at": capture.normalized_at, "rows": capture.rows, "shares": events.figure(capture.shares)}
        events.record(db, Kind.CAPTURE_NORMALIZED, capture.subject, at, **facts, ingest_no=number, **made)
    if capture.measured_json:
        number = json.loads(capture.measured_json)["ingest_no"]
        events.record(db, Kind.CAPTURE_MEASURED, capture.subject, at, **facts, ingest_no=number)
    if capture.withdrawn_at:
        taken = {"withdrawn_at": capture.withdrawn_at, "by": capture.withdrawn_by, "reason": capture.withdrawn_reason}
        events.record(db, Kind.CAPTURE_WITHDRAWN, capture.subject, at, **facts, **taken)
    if capture.pinned_as:
        events.record(db, Kind.CAPTURE_PINNED, capture.subject, at, **facts, name=capture.pinned_as)


def _import_judgements(db: Database, at: str) -> None:
    judged = db.execute(
        """
        SELECT partition_key, is_ready, blocking_issues FROM core_data_readiness
        WHERE domain = ? AND ready_for = 'trading' ORDER BY partition_key
        """,
        (DOMAIN,),
    ).fetchall()
    for key, is_ready, issues in judged:
        body = {"ready": bool(is_ready), "issues": json.loads(issues or "[]"), "imported": True}
        events.record(db, Kind.READINESS_CHANGED, events.subject_of(key), at, **body)
    for (number,) in db.execute("SELECT id FROM core_anomalies WHERE resolved_at IS NULL ORDER BY id").fetchall():
        anomalies.log_opened(db, number, at, imported=True)
