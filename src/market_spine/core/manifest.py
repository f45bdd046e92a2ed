"""core_manifest: which stage of which capture is done. The one place that reads and writes it.

A stage's row holds, in metadata_json, the `ingest_no` of the content it was made from. A later stage whose number differs
from its predecessor's is pending: that is how a replay, a kill or a forced ingest is detected without further state.
The pseudo-stage WITHDRAWN marks a capture that an operator withdrew, and HELD one of which a gate or an operator holds the
content with that `ingest_no`; no check below counts them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any, NamedTuple

from market_spine import clock
from market_spine.core import waiting
from market_spine.db import Connection, writing
from market_spine.partition import DOMAIN, TIERS, Partition, partition_key, run_date_of

RAW, NORMALIZED, CALC, WITHDRAWN, HELD = "RAW", "NORMALIZED", "CALC", "WITHDRAWN", "HELD"
RANK: Mapping[str, int] = {WITHDRAWN: 0, HELD: 0, RAW: 1, NORMALIZED: 2, CALC: 3}


class RevisionCheck(NamedTuple):
    """Whether a partition must be ingested, and why."""

    needed: bool
    reason: str


class TierCompleteness(NamedTuple):
    """Whether every tier of a week is present, and which are not."""

    complete: bool
    missing_tiers: frozenset[str]


class StageRow(NamedTuple):
    """One row of core_manifest."""

    tier: str | None
    stage: str
    capture_id: str | None
    row_count: int
    metadata: Mapping[str, Any]
    captured_at: str

    @classmethod
    def of(
        cls, tier: str | None, stage: str, capture_id: str | None, row_count: int | None, metadata: str | None, captured_at: str
    ) -> StageRow:
        """A row as the table holds it."""
        return cls(tier, stage, capture_id, row_count or 0, json.loads(metadata or "{}"), captured_at)


class _Entry(NamedTuple):
    """All columns of a row of core_manifest; the key and the metadata are JSON."""

    id: int
    domain: str
    stage: str
    stage_rank: int
    partition_key: str
    capture_id: str | None
    row_count: int | None
    metadata: str | None
    captured_at: str
    created_at: str
    updated_at: str


def compute_content_hash(content: bytes) -> str:
    """The first 16 hex digits of the content's SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def week_rows(week_ending: date | str, connection: Connection, tier: str | None = None) -> list[StageRow]:
    """The manifest rows of a week (of one tier, if given), newest capture first."""
    rows = connection.execute(
        """
        SELECT json_extract(partition_key, '$.tier'), stage, capture_id, row_count, metadata_json, captured_at
        FROM core_manifest
        WHERE json_extract(partition_key, '$.week_ending') = ? AND domain = ?
        ORDER BY captured_at DESC, id DESC
        """,
        (str(week_ending), DOMAIN),
    ).fetchall()
    stages = (StageRow.of(*row) for row in rows)
    return [row for row in stages if tier is None or row.tier == tier]


def rows_between(first: date, last: date, connection: Connection) -> dict[date, list[StageRow]]:
    """The manifest rows of each of these weeks, newest capture first; one statement, however many weeks."""
    rows = connection.execute(
        """
        SELECT json_extract(partition_key, '$.tier'), stage, capture_id, row_count, metadata_json, captured_at,
               json_extract(partition_key, '$.week_ending')
        FROM core_manifest
        WHERE json_extract(partition_key, '$.week_ending') BETWEEN ? AND ? AND domain = ?
        ORDER BY captured_at DESC, id DESC
        """,
        (first.isoformat(), last.isoformat(), DOMAIN),
    ).fetchall()
    weeks: dict[date, list[StageRow]] = {}
    for *stage, week in rows:
        weeks.setdefault(date.fromisoformat(week), []).append(StageRow.of(*stage))
    return weeks


def entries(
    connection: Connection, domain: str | None, key: str | None, stage: str | None, limit: int, offset: int
) -> list[dict[str, Any]]:
    """Rows for machines, newest first; None means no filter."""
    rows = connection.execute(
        """
        SELECT id, domain, stage, stage_rank, partition_key, capture_id, row_count, metadata_json, captured_at, created_at,
               updated_at
        FROM core_manifest
        WHERE domain = COALESCE(?, domain) AND partition_key = COALESCE(?, partition_key) AND stage = COALESCE(?, stage)
        ORDER BY id DESC LIMIT ? OFFSET ?
        """,
        (domain, key, stage, limit, offset),
    )
    return [
        {**row._asdict(), "partition_key": json.loads(row.partition_key), "metadata": json.loads(row.metadata or "{}")}
        for row in map(_Entry._make, rows)
    ]


def standing(rows: Iterable[StageRow]) -> list[StageRow]:
    """The rows whose capture is not withdrawn, in the order given."""
    rows = list(rows)
    gone = {row.capture_id for row in rows if row.stage == WITHDRAWN}
    if not gone:
        return rows
    return [row for row in rows if row.capture_id is None or row.capture_id not in gone]


def accepted(rows: Iterable[StageRow]) -> list[StageRow]:
    """The rows whose capture is neither withdrawn nor held; one of which a content without rows is held is accepted."""
    rows = standing(rows)
    if all(row.stage != HELD for row in rows):
        return rows
    of_rows = {row.capture_id: row.metadata.get("ingest_no") for row in rows if row.stage == NORMALIZED}
    held = {
        row.capture_id for row in rows if row.stage == HELD and of_rows.get(row.capture_id) == row.metadata.get("ingest_no")
    }
    return [row for row in rows if row.capture_id is None or row.capture_id not in held]


def is_superseded(row: StageRow, rows: Iterable[StageRow]) -> bool:
    """Whether a capture of a later day of the row's tier is normalized, and neither withdrawn nor held. Content may have been
    observed earlier than its capture's day; so the ids are compared, which end with the day."""
    others = (other for other in accepted(rows) if other.tier == row.tier and other.stage == NORMALIZED)
    return any(str(other.capture_id) > str(row.capture_id) for other in others)


def is_of_a_mistaken_day(row: StageRow) -> bool:
    """Whether the capture of a WITHDRAWN row was withdrawn before the day that it is of: no later capture could replace it before
    then, and nothing is awaited in its place."""
    at = row.metadata.get("withdrawn_at")
    return at is not None and clock.market_date(datetime.fromisoformat(at)) < run_date_of(str(row.capture_id))


def holds(rows: Sequence[StageRow]) -> list[StageRow]:
    """The holds that stand: until a newer capture is accepted. A withdrawn capture is not held as well."""
    return [row for row in standing(rows) if row.stage == HELD and not is_superseded(row, rows)]


def current_stages(rows: Sequence[StageRow]) -> dict[str, dict[str, StageRow]]:
    """Per tier, the stages that its current capture has completed: of the newest normalized one, else of the newest. One that is
    held counts only where there is no other.

    What is normalized was once raw, whatever happened to a content that was delivered for the same capture later.
    """
    stages: dict[str, dict[str, StageRow]] = {}
    kept = [row for row in standing(rows) if row.tier is not None and row.stage != HELD]
    good = {row.capture_id for row in accepted(rows)}
    for tier in dict.fromkeys(row.tier for row in kept):
        of_tier = [row for row in kept if row.tier == tier]
        normalized = [row for row in of_tier if row.stage == NORMALIZED and row.row_count > 0]
        current = next((row for row in normalized if row.capture_id in good), (normalized or of_tier)[0])
        done = (row for row in of_tier if row.capture_id == current.capture_id)
        is_normalized = current.stage == NORMALIZED
        stages[str(tier)] = {row.stage: row for row in done if row.row_count > 0 or (is_normalized and row.stage == RAW)}
    return stages


def check_revision_needed_via_hash(
    week_ending: date | str, tier: str, content: bytes, db_connection: Connection, *, as_of: date | None = None
) -> RevisionCheck:
    """Compares the content with the newest RAW capture (up to the run date `as_of`, if given)."""
    return compare_hash(compute_content_hash(content), newest_raw(week_ending, tier, db_connection, as_of=as_of))


def compare_hash(content_hash: str, newest: StageRow | None) -> RevisionCheck:
    """The decision of check_revision_needed_via_hash; `content_hash` may be longer than the 16 digits stored."""
    if newest is None:
        return RevisionCheck(True, "No prior capture (first ingest)")
    stored = newest.metadata.get("content_hash")
    if not stored:
        return RevisionCheck(True, "Content changed (the prior capture stored no content_hash)")
    if content_hash[:16] != stored:
        return RevisionCheck(True, f"Content changed (hash {content_hash[:8]}, was {stored[:8]})")
    return RevisionCheck(False, f"Content identical (hash {stored[:8]})")


def check_revision_needed_via_metadata(
    week_ending: date | str,
    tier: str,
    source_last_updated: datetime,
    db_connection: Connection,
    *,
    as_of: date | None = None,
) -> RevisionCheck:
    """Compares the source's newest lastUpdateDate with the one stored: an older one means that a revision was reverted. Only a
    hint: silent edits leave no date."""
    newest = newest_raw(week_ending, tier, db_connection, as_of=as_of)
    if newest is None:
        return RevisionCheck(True, "No prior capture (first ingest)")
    stored = newest.metadata.get("source_last_updated")
    if not stored:
        return RevisionCheck(True, "Source updated (the prior capture stored no source_last_updated)")
    before, after = _aware(datetime.fromisoformat(stored)), _aware(source_last_updated)
    if after != before:
        return RevisionCheck(True, f"Source updated {after:%Y-%m-%d %H:%M} (stored {before:%Y-%m-%d %H:%M})")
    return RevisionCheck(False, f"Source unchanged since {before:%Y-%m-%d %H:%M}")


def newest_raw(week_ending: date | str, tier: str, connection: Connection, *, as_of: date | None = None) -> StageRow | None:
    """The newest RAW row of a partition, withdrawn or not; with `as_of`, of those captured up to that run date."""
    rows = (row for row in week_rows(week_ending, connection, tier) if row.stage == RAW)
    limit = None if as_of is None else f"{as_of:%Y%m%d}"
    return next((row for row in rows if limit is None or (row.capture_id or limit)[-8:] <= limit), None)


def check_stage_ready(week_ending: date | str, tier: str, stage: str, db_connection: Connection) -> bool:
    """Whether the stage has rows for the partition, in a capture that is not withdrawn."""
    return any(row.stage == stage and row.row_count > 0 for row in standing(week_rows(week_ending, db_connection, tier)))


def check_tier_completeness(
    week_ending: date | str, db_connection: Connection, expected_tiers: Iterable[str] | None = None
) -> TierCompleteness:
    """Whether every tier of the week has a RAW capture that is not withdrawn."""
    present = {row.tier for row in standing(week_rows(week_ending, db_connection)) if row.stage == RAW}
    missing = frozenset(expected_tiers or TIERS) - present
    return TierCompleteness(not missing, frozenset(missing))


def record_stage(
    connection: Connection,
    stage: str,
    partition: Partition | str,
    capture_id: str,
    *,
    row_count: int,
    metadata: Mapping[str, object],
    captured_at: str,
    now: datetime,
) -> None:
    """Writes or replaces a stage's row, and wakes the work that waits for it. `partition` may be a week ('2025-12-26') for
    week-level results."""
    key = partition.key if isinstance(partition, Partition) else partition_key(partition)
    with writing(connection):
        record_row(
            connection, DOMAIN, stage, key, capture_id, row_count=row_count, metadata=metadata, captured_at=captured_at, now=now
        )
        waiting.wake(connection, stage, key, clock.stamp(now))


def record_row(
    connection: Connection,
    domain: str,
    stage: str,
    key: str,
    capture_id: str,
    *,
    row_count: int,
    metadata: Mapping[str, object],
    captured_at: str,
    now: datetime,
) -> None:
    """Writes or replaces a row of any domain and partition_key; wakes nobody."""
    moment = clock.stamp(now)
    with writing(connection):
        connection.execute(
            """
            INSERT INTO core_manifest (domain, stage, stage_rank, partition_key, capture_id, row_count, metadata_json,
                                       captured_at, created_at, updated_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (domain, stage, partition_key, capture_id) DO UPDATE SET
                row_count = excluded.row_count, metadata_json = excluded.metadata_json,
                captured_at = excluded.captured_at, updated_at = excluded.updated_at
            """,
            (domain, stage, RANK[stage], key, capture_id, row_count, json.dumps(metadata), captured_at, moment, moment),
        )


def keep_last_updated(connection: Connection, capture_id: str, ingest_no: int, day: str | None) -> None:
    """Adds the newest lastUpdateDate of a content to its RAW row, where the source did not report it: a file does not."""
    row = connection.execute(
        "SELECT metadata_json FROM core_manifest WHERE domain = ? AND stage = 'RAW' AND capture_id = ?", (DOMAIN, capture_id)
    ).fetchone()
    (text,) = row or ("{}",)
    metadata = json.loads(text)
    if day is None or metadata.get("ingest_no") != ingest_no or metadata.get("source_last_updated"):
        return
    metadata["source_last_updated"] = clock.stamp(datetime.fromisoformat(day).replace(tzinfo=timezone.utc))
    with writing(connection):
        connection.execute(
            "UPDATE core_manifest SET metadata_json = ? WHERE domain = ? AND stage = 'RAW' AND capture_id = ?",
            (json.dumps(metadata), DOMAIN, capture_id),
        )


def forget_stage(connection: Connection, stage: str, capture_id: str) -> None:
    """Removes a stage's row, so that the stage is pending again."""
    with writing(connection):
        connection.execute("DELETE FROM core_manifest WHERE stage = ? AND capture_id = ?", (stage, capture_id))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
