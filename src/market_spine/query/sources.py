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
    keys = set(capture_keys)
    if not keys:
        return ()
    between = (min(keys), max(keys))  # one statement: what lies between is a row a capture
    rows = db.execute(
        """
        SELECT capture_key, capture_id, week_ending, tier, captured_at, content_hash FROM finra_otc_transparency_capture
        WHERE capture_key BETWEEN ? AND ?
        UNION ALL
        SELECT capture_key, capture_id, json_extract(partition_key, '$.week_ending'), json_extract(partition_key, '$.tier'),
               captured_at, content_hash
        FROM core_tombstones WHERE capture_key BETWEEN ? AND ?
        """,
        (*between, *between),
    )
    cited: dict[int, Source] = {}
    for key, *values in rows:
        if key in keys:
            cited.setdefault(key, Source._make(values))
    short = (each._replace(content_hash=each.content_hash[:16]) for each in cited.values())
    return tuple(sorted(short, key=lambda each: (each.week_ending, each.tier, each.capture_id)))
