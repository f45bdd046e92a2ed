"""Captures whose RAW row in core_manifest is lost: it can be written again from the capture and its bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from market_spine.core import contents, manifest
from market_spine.db import Database
from market_spine.partition import Partition

RESTORED = "RESTORED"  # the row's `reason`: the original one is lost


@dataclass(frozen=True, slots=True)
class Lost:
    """A capture without its RAW row. `is_intact`: its bytes are there, so the row can be written again."""

    partition: Partition
    capture_id: str
    captured_at: str
    content_hash: str
    source_uri: str | None
    is_intact: bool


class _Row(NamedTuple):
    """A capture without its RAW row, as `find` selects it."""

    week: str
    tier: str
    capture_id: str
    captured_at: str
    content_hash: str
    source_uri: str | None


def find(db: Database) -> list[Lost]:
    """Every such capture, oldest first."""
    rows = db.execute(
        """
        SELECT c.week_ending, c.tier, c.capture_id, c.captured_at, c.content_hash, c.source_uri
        FROM finra_otc_transparency_capture c
        WHERE NOT EXISTS (SELECT 1 FROM core_manifest m WHERE m.capture_id = c.capture_id AND m.stage = 'RAW')
        ORDER BY c.week_ending, c.tier, c.run_date
        """
    ).fetchall()
    return [_lost(db, _Row._make(row)) for row in rows]


def _lost(db: Database, row: _Row) -> Lost:
    partition, is_intact = Partition(date.fromisoformat(row.week), row.tier), contents.is_intact(db, row.content_hash)
    return Lost(partition, row.capture_id, row.captured_at, row.content_hash, row.source_uri, is_intact)


def restore(db: Database, now: datetime) -> int:
    """Writes the missing row of each capture whose bytes are intact; returns how many.

    The source's own dates are left out, so that the next run fetches the content and compares the hash.
    """
    from market_spine.parse.lines import data_lines

    restorable = [lost for lost in find(db) if lost.is_intact]
    for lost in restorable:
        content = b"".join(contents.read_raw(db, lost.content_hash))
        facts: dict[str, object] = {
            "content_hash": lost.content_hash[:16], "sha256": lost.content_hash, "bytes": len(content),
            "ingest_no": _ingest_no(db, lost), "reason": RESTORED, "source_uri": lost.source_uri,
        }
        manifest.record_stage(
            db, manifest.RAW, lost.partition, lost.capture_id, row_count=data_lines(content), metadata=facts,
            captured_at=lost.captured_at, now=now,
        )
    return len(restorable)


def _ingest_no(db: Database, lost: Lost) -> int:
    """The number its later stages were made from; without any, one that no content of the partition has had."""
    rows = db.execute(
        "SELECT capture_id, metadata_json FROM core_manifest WHERE partition_key = ? AND stage IN ('RAW', 'NORMALIZED', 'CALC')",
        (lost.partition.key,),
    ).fetchall()
    numbers = [(capture_id, int(json.loads(metadata).get("ingest_no", 0))) for capture_id, metadata in rows]
    own = [number for capture_id, number in numbers if capture_id == lost.capture_id]
    return max(own) if own else max((number for _, number in numbers), default=0) + 1
