"""core_anomalies: what was noticed, how grave it is, and whether it is over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from market_spine import clock
from market_spine.db import Connection, Database, writing
from market_spine.partition import DOMAIN

INFO, WARN, ERROR, CRITICAL = "INFO", "WARN", "ERROR", "CRITICAL"
SEVERITIES = (INFO, WARN, ERROR, CRITICAL)


def record_anomaly(
    db_connection: Connection,
    *,
    domain: str,
    severity: str,
    category: str,
    message: str,
    partition_key: Mapping[str, str] | str | None = None,
    stage: str | None = None,
    pipeline: str | None = None,
    details_json: Mapping[str, object] | str | None = None,
    affected_records: int | None = None,
    execution_id: str | None = None,
    capture_id: str | None = None,
    resolution_note: str | None = None,
    now: datetime | None = None,
) -> int:
    """Adds an anomaly and answers its id. With a `resolution_note` it is born resolved. Raises ValueError for a severity
    other than INFO, WARN, ERROR, CRITICAL."""
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity!r} is none of {', '.join(SEVERITIES)}")
    moment = clock.stamp(now or clock.utc_now())
    with writing(db_connection):
        row = db_connection.execute(
            """
            INSERT INTO core_anomalies (domain, pipeline, partition_key, stage, severity, category, message, details_json,
                                        affected_records, execution_id, capture_id, detected_at, resolved_at,
                                        resolution_note, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
            """,
            (
                domain, pipeline, _json(partition_key), stage, severity, category, message, _json(details_json),
                affected_records, execution_id, capture_id, moment, moment if resolution_note else None,
                resolution_note, moment,
            ),
        ).fetchone()  # fmt: skip
    return int(row[0])


def observe(
    db: Database,
    *,
    severity: str,
    category: str,
    message: str,
    partition_key: str,
    stage: str,
    now: datetime,
    details: Mapping[str, object] | None = None,
    affected_records: int | None = None,
    execution_id: str | None = None,
    capture_id: str | None = None,
    resolution_note: str | None = None,
) -> int:
    """Records a fault, or, when the same one (category, partition, stage, capture) is known and still open, notes that it
    was seen again. One that is born resolved (a skip) is likewise kept as one row."""
    with db.transaction():
        known = db.execute(
            """
            SELECT id FROM core_anomalies
            WHERE json_extract(partition_key, '$.week_ending') = json_extract(?, '$.week_ending')
              AND partition_key = ? AND domain = ? AND category = ? AND stage = ?
              AND COALESCE(capture_id, '') = ? AND (resolved_at IS NULL) = ?
            ORDER BY id DESC LIMIT 1
            """,
            (partition_key, partition_key, DOMAIN, category, stage, capture_id or "", resolution_note is None),
        ).fetchone()
        if known is None:
            return record_anomaly(
                db, domain=DOMAIN, severity=severity, category=category, message=message, partition_key=partition_key,
                stage=stage, details_json=details, affected_records=affected_records, execution_id=execution_id,
                capture_id=capture_id, resolution_note=resolution_note, now=now,
            )  # fmt: skip
        db.execute(
            """
            UPDATE core_anomalies SET severity = ?, message = ?, details_json = ?, affected_records = ?, execution_id = ?,
                   last_seen_at = ?, seen_count = seen_count + 1 WHERE id = ?
            """,
            (severity, message, _json(details), affected_records, execution_id, clock.stamp(now), known[0]),
        )
        return int(known[0])


def resolve_stage(
    db: Database, partition_key: str, stage: str, note: str, now: datetime, *, but: tuple[str, str] = ("", "")
) -> int:
    """Closes what stood open against a stage of a partition, because that stage went well; answers how many.

    `but` is the category and capture id of a fault that still lasts.
    """
    with db.transaction():
        cursor = db.execute(
            """
            UPDATE core_anomalies SET resolved_at = ?, resolution_note = ?
            WHERE json_extract(partition_key, '$.week_ending') = json_extract(?, '$.week_ending')
              AND partition_key = ? AND domain = ? AND stage = ? AND resolved_at IS NULL
              AND NOT (category = ? AND COALESCE(capture_id, '') = ?)
            """,
            (clock.stamp(now), note, partition_key, partition_key, DOMAIN, stage, *but),
        )
        return cursor.rowcount


def resolve_damage(db: Database, partition_key: str, capture_id: str, note: str, now: datetime) -> int:
    """Closes what stood open because a capture's stored bytes were damaged; answers how many."""
    with db.transaction():
        cursor = db.execute(
            """
            UPDATE core_anomalies SET resolved_at = ?, resolution_note = ?
            WHERE json_extract(partition_key, '$.week_ending') = json_extract(?, '$.week_ending')
              AND domain = ? AND category = 'RAW_DAMAGED' AND capture_id = ? AND resolved_at IS NULL
            """,
            (clock.stamp(now), note, partition_key, DOMAIN, capture_id),
        )
        return cursor.rowcount


def resolve_category(db: Database, category: str, note: str, now: datetime) -> int:
    """Closes every open anomaly of a category, whatever partition it stands against; answers how many."""
    with db.transaction():
        cursor = db.execute(
            """
            UPDATE core_anomalies SET resolved_at = ?, resolution_note = ?
            WHERE domain = ? AND category = ? AND severity <> 'INFO' AND resolved_at IS NULL
            """,
            (clock.stamp(now), note, DOMAIN, category),
        )
        return cursor.rowcount


def has_failed(db: Database, partition_key: str, capture_id: str, stage: str, ingest_no: int) -> bool:
    """Whether a stage of this very content has failed before, be it over or not."""
    found = db.execute(
        """
        SELECT 1 FROM core_anomalies
        WHERE json_extract(partition_key, '$.week_ending') = json_extract(?, '$.week_ending')
          AND capture_id = ? AND stage = ? AND severity IN ('ERROR', 'CRITICAL')
          AND CAST(json_extract(details_json, '$.ingest_no') AS TEXT) = ?
        """,
        (partition_key, capture_id, stage, str(ingest_no)),
    ).fetchone()
    return found is not None


def _json(value: Mapping[str, object] | str | None) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
