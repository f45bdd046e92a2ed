"""Captures whose RAW row in core_manifest is lost: it says nothing that the capture and its bytes do not say as well."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime

from market_spine.core import contents, manifest
from market_spine.db import Database
from market_spine.partition import Partition

RESTORED = "RESTORED"  # what stands in the row's `reason`: why the capture was taken is forgotten


@dataclass(frozen=True, slots=True)
class Lost:
    """A capture without its RAW row. `is_intact`: its bytes are there, so the row can be written again."""

    partition: Partition
    capture_id: str
    captured_at: str
    content_hash: str
    source_uri: str | None
    is_intact: bool


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
    found = []
    for week, tier, *facts in rows:
        capture_id, captured_at, content_hash, source_uri = facts
        is_intact = contents.is_intact(db, content_hash)
        found.append(
            Lost(Partition(date.fromisoformat(week), tier), capture_id, captured_at, content_hash, source_uri, is_intact)
        )
    return found


def restore(db: Database, now: datetime) -> int:
    """Writes the rows again of those whose bytes are intact. Answers of how many.

    What the source said of its own dates is left out: the next run asks it for the content and compares the hash.
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
    """The number its later stages were made from; without any, one no content of the partition has had."""
    rows = db.execute(
        "SELECT capture_id, metadata_json FROM core_manifest WHERE partition_key = ? AND stage IN ('RAW', 'NORMALIZED', 'CALC')",
        (lost.partition.key,),
    ).fetchall()
    numbers = [(row[0] == lost.capture_id, int(json.loads(row[1]).get("ingest_no", 0))) for row in rows]
    own = [number for is_own, number in numbers if is_own]
    return max(own) if own else max((number for _, number in numbers), default=0) + 1
