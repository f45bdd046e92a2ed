"""core_anomalies: what was noticed, how severe it is, and whether it is resolved."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import NamedTuple, Protocol

from market_spine import clock
from market_spine.categories import HELD, Category, Severity
from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.db import Connection, Database, writing
from market_spine.partition import DOMAIN, Partition, partition_key

_NORMALIZED = "NORMALIZED"
INFO, WARN, ERROR, CRITICAL = SEVERITIES = tuple(severity.value for severity in Severity)


class Observing(Protocol):
    """What records an anomaly: a run, with its database, its time and its id."""

    db: Database
    now: datetime
    execution_id: str


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
    """Adds an anomaly and returns its id. With a `resolution_note` it is resolved from the start. Raises ValueError for a
    severity other than INFO, WARN, ERROR, CRITICAL."""
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity!r} is not one of {', '.join(SEVERITIES)}")
    moment = clock.stamp(now or clock.utc_now())
    with writing(db_connection):
        (anomaly_id,) = db_connection.execute(
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
        ).fetchone()
        if resolution_note is None:
            log_opened(db_connection, int(anomaly_id), moment)
    return int(anomaly_id)


class _Opened(NamedTuple):
    """What the event of an open anomaly holds of its row."""

    severity: str
    category: str
    stage: str | None
    message: str
    capture_id: str | None


def log_opened(connection: Connection, anomaly_id: int, at: str, **more: object) -> None:
    """Logs an open anomaly as it is now; of its details, which content it is about and what to do."""
    key, details, *facts = connection.execute(
        "SELECT partition_key, details_json, severity, category, stage, message, capture_id FROM core_anomalies WHERE id = ?",
        (anomaly_id,),
    ).fetchone()
    body = _Opened._make(facts)._asdict() | _logged(details) | more
    events.record(connection, Kind.ANOMALY_OPENED, events.subject_of(key), at, id=anomaly_id, **body)


def _logged(details: str | None) -> dict[str, object]:
    """The part of the details that the log holds."""
    return {name: value for name, value in json.loads(details or "{}").items() if name in ("ingest_no", "hint") and value}


def closed(db: Database, rows: Iterable[tuple[int, str | None]], note: str, now: datetime) -> int:
    """Records that these anomalies (id, partition_key) were resolved, in the transaction that does it; returns how many."""
    which = list(rows)
    for number, key in which:
        events.record(db, Kind.ANOMALY_CLOSED, events.subject_of(key), clock.stamp(now), id=number, note=note)
    return len(which)


def observe(
    run: Observing,
    category: Category,
    where: Partition | date,
    message: str,
    *,
    stage: str | None = None,
    details: Mapping[str, object] | None = None,
    affected_records: int | None = None,
    capture_id: str | None = None,
    resolution_note: str | None = None,
) -> int:
    """Records a fault of a partition or a week. When the same one (category, partition, stage, capture) is already open, it
    only notes that the fault was seen again. One that is resolved from the start (a skip) is likewise kept as one row. The
    default `stage` is the category's own."""
    key = where.key if isinstance(where, Partition) else partition_key(where.isoformat())
    stage = stage or category.stage
    with run.db.transaction():
        known = _known(run.db, category, key, stage, capture_id, is_open=resolution_note is None)
        if known is not None:
            return _see_again(run, known, category, message, details, affected_records, is_open=resolution_note is None)
        if stage == _NORMALIZED and capture_id is not None and category.severity is Severity.ERROR and category not in HELD:
            facts = {"capture_id": capture_id, "ingest_no": (details or {}).get("ingest_no"), "category": category.value}
            events.record(
                run.db, Kind.CAPTURE_REJECTED, events.subject_of(key), clock.stamp(run.now), message=message, **facts
            )
        return record_anomaly(
            run.db, domain=DOMAIN, severity=category.severity.value, category=category.value, message=message, partition_key=key,
            stage=stage, details_json=details, affected_records=affected_records, execution_id=run.execution_id,
            capture_id=capture_id, resolution_note=resolution_note, now=run.now,
        )


def observe_of_domain(
    run: Observing, domain: str, category: Category, key: str, message: str, details: Mapping[str, object] | None = None
) -> int:
    """Records a fault of a whole domain, or, while one of that category is open there, notes that it was seen again. `key` is the
    partition_key of the first time."""
    with run.db.transaction():
        row = run.db.execute(
            """
            SELECT id, message, details_json FROM core_anomalies WHERE domain = ? AND category = ? AND resolved_at IS NULL
            ORDER BY id LIMIT 1
            """,
            (domain, category.value),
        ).fetchone()
        if row is not None:
            return _see_again(run, _Known._make(row), category, message, details, None, is_open=True)
        return record_anomaly(
            run.db, domain=domain, severity=category.severity.value, category=category.value, message=message, partition_key=key,
            stage=category.stage, details_json=details, execution_id=run.execution_id, now=run.now,
        )


class _Known(NamedTuple):
    """A row of the same fault."""

    id: int
    message: str
    details: str | None

    @property
    def logged(self) -> tuple[str, dict[str, object]]:
        """What its event holds that may change."""
        return self.message, _logged(self.details)


def _known(db: Database, category: Category, key: str, stage: str, capture_id: str | None, *, is_open: bool) -> _Known | None:
    """The newest row of the same fault."""
    row = db.execute(
        """
        SELECT id, message, details_json FROM core_anomalies
        WHERE json_extract(partition_key, '$.week_ending') = json_extract(?, '$.week_ending')
          AND partition_key = ? AND domain = ? AND category = ? AND stage = ?
          AND COALESCE(capture_id, '') = ? AND (resolved_at IS NULL) = ?
        ORDER BY id DESC LIMIT 1
        """,
        (key, key, DOMAIN, category.value, stage, capture_id or "", is_open),
    ).fetchone()
    return _Known._make(row) if row else None


def _see_again(
    run: Observing, known: _Known, category: Category, message: str, details: Mapping[str, object] | None, affected: int | None,
    *, is_open: bool,
) -> int:
    """Notes that a fault was seen again and returns its id; an open one that says something else is logged anew."""
    seen = _Known(known.id, message, _json(details))
    run.db.execute(
        """
        UPDATE core_anomalies SET severity = ?, message = ?, details_json = ?, affected_records = ?, execution_id = ?,
               last_seen_at = ?, seen_count = seen_count + 1 WHERE id = ?
        """,
        (category.severity.value, message, seen.details, affected, run.execution_id, clock.stamp(run.now), known.id),
    )
    if is_open and known.logged != seen.logged:
        log_opened(run.db, known.id, clock.stamp(run.now))
    return known.id


def resolve_stage(
    db: Database, key: str, stage: str, note: str, now: datetime, *, but: tuple[Category, str] | None = None
) -> int:
    """Resolves the open anomalies of a stage of a partition, because that stage succeeded; returns how many.

    `but` is the category and capture id of a fault that persists.
    """
    lasting, capture_id = but or (None, "")
    with db.transaction():
        rows = db.execute(
            """
            UPDATE core_anomalies SET resolved_at = ?, resolution_note = ?
            WHERE json_extract(partition_key, '$.week_ending') = json_extract(?, '$.week_ending')
              AND partition_key = ? AND domain = ? AND stage = ? AND resolved_at IS NULL
              AND NOT (category = ? AND COALESCE(capture_id, '') = ?)
            RETURNING id, partition_key
            """,
            (clock.stamp(now), note, key, key, DOMAIN, stage, lasting.value if lasting else "", capture_id),
        ).fetchall()
        return closed(db, rows, note, now)


def resolve_damage(db: Database, key: str, capture_id: str, note: str, now: datetime) -> int:
    """Resolves the open anomalies about the damaged bytes of a capture; returns how many."""
    with db.transaction():
        rows = db.execute(
            """
            UPDATE core_anomalies SET resolved_at = ?, resolution_note = ?
            WHERE json_extract(partition_key, '$.week_ending') = json_extract(?, '$.week_ending')
              AND domain = ? AND category = ? AND capture_id = ? AND resolved_at IS NULL
            RETURNING id, partition_key
            """,
            (clock.stamp(now), note, key, DOMAIN, Category.RAW_DAMAGED.value, capture_id),
        ).fetchall()
        return closed(db, rows, note, now)


def resolve_category(db: Database, category: Category, note: str, now: datetime, *, domain: str = DOMAIN) -> int:
    """Resolves every open anomaly of a category in a domain, in any partition; returns how many."""
    with db.transaction():
        rows = db.execute(
            """
            UPDATE core_anomalies SET resolved_at = ?, resolution_note = ?
            WHERE domain = ? AND category = ? AND severity <> 'INFO' AND resolved_at IS NULL
            RETURNING id, partition_key
            """,
            (clock.stamp(now), note, domain, category.value),
        ).fetchall()
        return closed(db, rows, note, now)


def observed_at(db: Database, moment: str) -> dict[str, int]:
    """How many anomalies of each severity were observed, for the first time or again, at that moment: by the run of that time."""
    rows = db.execute(
        "SELECT severity, COUNT(*) FROM core_anomalies WHERE COALESCE(last_seen_at, detected_at) = ? GROUP BY severity", (moment,)
    )
    return dict.fromkeys(SEVERITIES, 0) | dict(rows)


def has_failed(db: Database, key: str, capture_id: str, stage: str, ingest_no: int) -> bool:
    """Whether a stage of exactly this content has failed before, resolved or not."""
    failure = db.execute(
        """
        SELECT 1 FROM core_anomalies
        WHERE json_extract(partition_key, '$.week_ending') = json_extract(?, '$.week_ending')
          AND capture_id = ? AND stage = ? AND severity IN ('ERROR', 'CRITICAL')
          AND CAST(json_extract(details_json, '$.ingest_no') AS TEXT) = ?
        """,
        (key, capture_id, stage, str(ingest_no)),
    ).fetchone()
    return failure is not None


def _json(value: Mapping[str, object] | str | None) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
