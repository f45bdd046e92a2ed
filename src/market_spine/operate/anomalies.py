"""What an operator does with anomalies: list them, raise one, resolve them with a note, or acknowledge them until a day."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from market_spine import clock
from market_spine.app.readiness import evaluate_readiness
from market_spine.categories import Category
from market_spine.core import executions
from market_spine.core.anomalies import SEVERITIES, closed, record_anomaly
from market_spine.db import Database
from market_spine.errors import NotFound, UsageError
from market_spine.operate.operation import record_action
from market_spine.partition import DOMAIN, check_friday, partition_key


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A row of core_anomalies. The same fault was observed `seen_count` times, last at `last_seen_at`."""

    id: int
    severity: str
    category: str
    week: str | None
    tier: str | None
    stage: str | None
    message: str
    capture_id: str | None
    hint: str | None
    detected_at: str
    last_seen_at: str
    seen_count: int
    acknowledged_until: str | None
    acknowledged_reason: str | None
    resolved_at: str | None
    resolution_note: str | None
    ingest_no: int | None = None

    def entry(self) -> dict[str, object]:
        """The anomaly, for machines."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def where(self) -> str:
        return " / ".join(part for part in (self.week, self.tier) if part)

    def state(self, today: date) -> str:
        """`open`, `acknowledged until …` or `resolved`, as of that day."""
        if self.resolved_at is not None:
            return "resolved"
        if self.acknowledged_until is not None and self.acknowledged_until >= today.isoformat():
            return f"acknowledged until {self.acknowledged_until}"
        return "open"


def list_anomalies(
    db: Database, severities: Collection[str] = SEVERITIES, weeks: Collection[date] = (), unresolved: bool = False
) -> list[Anomaly]:
    """The anomalies of these severities and weeks (none: of all), newest first."""
    if weeks:
        rows = db.execute(
            _COLUMNS + "WHERE json_extract(partition_key, '$.week_ending') BETWEEN ? AND ? ORDER BY id DESC",
            (min(weeks).isoformat(), max(weeks).isoformat()),
        )
    elif unresolved:
        rows = db.execute(
            _COLUMNS + "WHERE resolved_at IS NULL AND severity IN (?, ?, ?, ?) ORDER BY id DESC", _four(severities)
        )
    else:
        rows = db.execute(_COLUMNS + "ORDER BY id DESC")
    anomalies, named = (_anomaly(row) for row in rows), set(map(str, weeks))
    return [
        a
        for a in anomalies
        if a.severity in severities and (a.resolved_at is None or not unresolved) and (not named or a.week in named)
    ]


def count_open(db: Database, today: date) -> dict[str, int]:
    """How many anomalies of each severity are neither resolved nor acknowledged."""
    rows = db.execute(
        """
        SELECT severity, COUNT(*) FROM core_anomalies WHERE resolved_at IS NULL AND COALESCE(acknowledged_until, '') < ?
        GROUP BY severity
        """,
        (today.isoformat(),),
    )
    return dict.fromkeys(SEVERITIES, 0) | dict(rows)


def _four(severities: Collection[str]) -> list[str]:
    """For a statement with four parameters: the first one stands in for those that are not asked for."""
    return [*severities, *[next(iter(severities))] * (len(SEVERITIES) - len(severities))]


class Which(NamedTuple):
    """Which anomalies are asked for."""

    severities: Collection[str] = SEVERITIES
    week: date | None = None
    unresolved: bool = False


class Page(NamedTuple):
    """Some of the anomalies that were asked for, and how many there are."""

    items: list[Anomaly]
    total: int


def page(db: Database, which: Which, limit: int, offset: int = 0) -> Page:
    """At most `limit` anomalies, newest first; the others are counted and not read."""
    week = which.week.isoformat() if which.week else None
    asked = (*_four(which.severities), week, week, int(which.unresolved))
    (total,) = db.execute(
        """
        SELECT COUNT(*) FROM core_anomalies
        WHERE severity IN (?, ?, ?, ?) AND (CAST(? AS TEXT) IS NULL OR json_extract(partition_key, '$.week_ending') = ?)
          AND (resolved_at IS NULL OR CAST(? AS INTEGER) = 0)
        """,
        asked,
    ).fetchone()
    rows = db.execute(
        _COLUMNS
        + """
        WHERE severity IN (?, ?, ?, ?) AND (CAST(? AS TEXT) IS NULL OR json_extract(partition_key, '$.week_ending') = ?)
          AND (resolved_at IS NULL OR CAST(? AS INTEGER) = 0)
        ORDER BY id DESC LIMIT ? OFFSET ?
        """,
        (*asked, limit, offset),
    )
    return Page([_anomaly(row) for row in rows], total)


def faults_between(db: Database, first: date, last: date) -> dict[date, list[Anomaly]]:
    """The anomalies of severity ERROR and CRITICAL of each of these weeks, newest first, resolved ones too; one statement,
    however many weeks."""
    rows = db.execute(
        _COLUMNS
        + """
        WHERE json_extract(partition_key, '$.week_ending') BETWEEN ? AND ? AND domain = ? AND severity IN ('ERROR', 'CRITICAL')
        ORDER BY id DESC
        """,
        (first.isoformat(), last.isoformat(), DOMAIN),
    )
    faults: dict[date, list[Anomaly]] = {}
    for anomaly in map(_anomaly, rows):
        faults.setdefault(date.fromisoformat(str(anomaly.week)), []).append(anomaly)
    return faults


def resolve_command(anomaly_id: int) -> str:
    """The command that resolves an anomaly."""
    return f"spine resolve {anomaly_id} --note 'looked at'"


def find(db: Database, anomaly_id: int) -> Anomaly:
    """The anomaly of that id. Raises NotFound."""
    row = db.execute(_COLUMNS + "WHERE id = ?", (anomaly_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no anomaly {anomaly_id}", hint="spine anomalies --unresolved")
    return _anomaly(row)


def details_of(db: Database, anomaly_id: int) -> dict[str, object]:
    """What was recorded beside the message of an anomaly."""
    (details,) = db.execute("SELECT details_json FROM core_anomalies WHERE id = ?", (anomaly_id,)).fetchone()
    kept: dict[str, object] = json.loads(details or "{}")
    return kept


def raise_anomaly(db: Database, week: date, tier: str | None, severity: str, reason: str, now: datetime) -> Anomaly:
    """Records what a person has noticed about a week, or a tier of it, and evaluates the week again."""
    with db.transaction():
        anomaly_id = record_anomaly(
            db, domain=DOMAIN, severity=severity, category=Category.RAISED.value, message=f"{reason} ({executions.actor()})",
            partition_key=partition_key(check_friday(week).isoformat(), tier), stage=Category.RAISED.stage, now=now,
        )
        record_action(db, "raise", f"anomaly {anomaly_id}", reason, now)
        evaluate_readiness(week, db, now=now)
    return find(db, anomaly_id)


def resolve(db: Database, anomaly_id: int, note: str, now: datetime) -> Anomaly:
    """Resolves an anomaly and evaluates its week again. Raises NotFound, or UsageError when it is already resolved."""
    anomaly = _open(db, anomaly_id)
    with db.transaction():
        rows = db.execute(
            "UPDATE core_anomalies SET resolved_at = ?, resolution_note = ? WHERE id = ? RETURNING id, partition_key",
            (clock.stamp(now), f"{note} ({executions.actor()})", anomaly_id),
        ).fetchall()
        closed(db, rows, note, now)
        record_action(db, "resolve", f"anomaly {anomaly_id}", note, now)
        if anomaly.week is not None:
            evaluate_readiness(anomaly.week, db, now=now)
    return find(db, anomaly_id)


def acknowledge(db: Database, anomaly_id: int, until: date, reason: str, now: datetime) -> Anomaly:
    """Silences an anomaly until a day; it stays open. Raises NotFound, or UsageError when it is resolved."""
    _open(db, anomaly_id)
    if until < clock.market_date(now):
        raise UsageError(f"{until} is past", hint="acknowledge until today or later")
    with db.transaction():
        db.execute(
            "UPDATE core_anomalies SET acknowledged_until = ?, acknowledged_by = ?, acknowledged_reason = ? WHERE id = ?",
            (until.isoformat(), executions.actor(), reason, anomaly_id),
        )
        record_action(db, "ack", f"anomaly {anomaly_id}", reason, now, {"until": until.isoformat()})
    return find(db, anomaly_id)


def _open(db: Database, anomaly_id: int) -> Anomaly:
    anomaly = find(db, anomaly_id)
    if anomaly.resolved_at is not None:
        message = f"anomaly {anomaly_id} was resolved at {anomaly.resolved_at[:16]}: {anomaly.resolution_note}"
        raise UsageError(message, hint="spine anomalies --unresolved")
    return anomaly


class _Row(NamedTuple):
    """A row of _COLUMNS."""

    id: int
    severity: str
    category: str
    partition_key: str | None
    stage: str | None
    message: str
    capture_id: str | None
    details_json: str | None
    detected_at: str
    last_seen_at: str | None
    seen_count: int
    acknowledged_until: str | None
    acknowledged_reason: str | None
    resolved_at: str | None
    resolution_note: str | None


def _anomaly(values: tuple[object, ...]) -> Anomaly:
    row = _Row._make(values)
    key, details = (json.loads(text) if text else {} for text in (row.partition_key, row.details_json))
    own = {name: value for name, value in row._asdict().items() if name not in ("partition_key", "details_json")}
    own["last_seen_at"] = row.last_seen_at or row.detected_at
    facts = {"hint": details.get("hint"), "ingest_no": details.get("ingest_no")}
    return Anomaly(**own, week=key.get("week_ending"), tier=key.get("tier"), **facts)


_COLUMNS = """
SELECT id, severity, category, partition_key, stage, message, capture_id, details_json, detected_at, last_seen_at, seen_count,
       acknowledged_until, acknowledged_reason, resolved_at, resolution_note
FROM core_anomalies
"""
