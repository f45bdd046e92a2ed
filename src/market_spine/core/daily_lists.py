"""Captures of FINRA's daily list: a domain of its own in core_manifest, its contents beside those of the weekly data.

A capture is what the list was on a run date, `finra.otc_daily_list:20261002`. Other content on the same day is the next version
of the same capture; content that equals the newest one is not stored again. Nothing prunes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from market_spine.core import captures, contents, manifest, responses
from market_spine.core.captures import Version
from market_spine.core.responses import Received
from market_spine.db import Database

DOMAIN = "finra.otc_daily_list"
DATASET = "otc_daily_list"  # what a command calls it


class Listed(NamedTuple):
    """A capture of the list, and the content it has now."""

    day: str
    capture_id: str
    version: Version


class _Row(NamedTuple):
    """A content of a capture, as list_all reads it."""

    day: str
    capture_id: str
    ingest_no: int
    content_hash: str
    observed_at: str
    row_count: int
    metadata: str


def capture_id_of(day: date) -> str:
    return f"{DOMAIN}:{day:%Y%m%d}"


def newest(db: Database, as_of: date | None = None) -> Listed | None:
    """The newest capture, of those up to the day `as_of` where given."""
    row = db.execute(
        """
        SELECT json_extract(partition_key, '$.day'), capture_id, json_extract(metadata_json, '$.ingest_no') FROM core_manifest
        WHERE domain = ? AND stage = 'RAW' AND partition_key <= ? ORDER BY partition_key DESC LIMIT 1
        """,
        (DOMAIN, key_of(as_of or date.max)),
    ).fetchone()
    if row is None:
        return None
    day, capture_id, ingest_no = row
    return Listed(day, capture_id, captures.version(db, capture_id, int(ingest_no)))


def list_all(db: Database) -> list[Listed]:
    """Every content of every capture, oldest first."""
    rows = db.execute(
        """
        SELECT json_extract(m.partition_key, '$.day'), m.capture_id, v.ingest_no, v.content_hash, v.observed_at, v.row_count,
               v.metadata_json
        FROM core_manifest m JOIN finra_otc_transparency_version v ON v.capture_id = m.capture_id
        WHERE m.domain = ? AND m.stage = 'RAW' ORDER BY m.partition_key, v.ingest_no
        """,
        (DOMAIN,),
    ).fetchall()
    return [
        Listed(
            row.day, row.capture_id,
            Version(row.ingest_no, row.content_hash, row.observed_at, row.row_count, json.loads(row.metadata)),
        )
        for row in map(_Row._make, rows)
    ]


def record(
    db: Database, day: date, content: bytes, version: Version, received: Iterable[Received], now: datetime
) -> None:
    """Stores a content with the responses it was made from. Call it inside a transaction."""
    capture_id = capture_id_of(day)
    contents.store_raw(db, content, version.content_hash)
    captures.add_version(db, capture_id, version)
    responses.record(db, capture_id, version.ingest_no, received)
    manifest.record_row(
        db, DOMAIN, manifest.RAW, key_of(day), capture_id, row_count=version.row_count, metadata=version.metadata,
        captured_at=version.observed_at, now=now,
    )


def key_of(day: date) -> str:
    """The partition_key of a day. Keys sort as their days do."""
    return json.dumps({"day": day.isoformat()})
