"""Which captures an answer rests on: what there is to cite of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from market_spine.db import Database


class Source(NamedTuple):
    """A capture: what it is, when it was made, and of which content (the first 16 hex digits of its SHA-256)."""

    capture_id: str
    week_ending: str
    tier: str
    captured_at: str
    content_hash: str


def sources(db: Database, capture_keys: Iterable[int]) -> tuple[Source, ...]:
    """The captures with these keys, pruned ones too, by week, tier and day."""
    return tuple(sorted((_source(db, key) for key in set(capture_keys)), key=lambda s: (s.week_ending, s.tier, s.capture_id)))


def _source(db: Database, capture_key: int) -> Source:
    row = db.execute(
        """
        SELECT capture_id, week_ending, tier, captured_at, content_hash FROM finra_otc_transparency_capture WHERE capture_key = ?
        UNION ALL
        SELECT capture_id, json_extract(partition_key, '$.week_ending'), json_extract(partition_key, '$.tier'), captured_at,
               content_hash
        FROM core_tombstones WHERE capture_key = ?
        """,
        (capture_key, capture_key),
    ).fetchone()
    source = Source._make(row)
    return source._replace(content_hash=source.content_hash[:16])
