"""Holds: a content that a gate or an operator keeps from becoming current, until it is released or other content passes.

A capture holds the rows of one content. Where it has rows that are good, a doubtful content of the same day waits as bytes; in
every other case the rows of the held content are stored and measured, and only `held_at` keeps them out of what is current.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from market_spine import clock
from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.core.manifest import HELD, forget_stage, record_stage
from market_spine.db import Database
from market_spine.partition import Partition

BY_GATES = "gates"
OPERATOR = "operator"  # the gate of a hold that an operator placed
REPLACED = "other content"  # what ended a hold when another content took its place
_AUTOMATIC = (BY_GATES, REPLACED)


class Hold(NamedTuple):
    """That a content is held: since when, by which gate, who placed it, and the sentence that says why."""

    capture_id: str
    ingest_no: int
    held_at: str
    content_hash: str
    gate: str
    reason: str
    held_by: str
    has_rows: bool
    released_at: str | None = None
    released_by: str | None = None
    released_reason: str | None = None

    @property
    def is_placed(self) -> bool:
        """Whether an operator placed it and nobody has released it since; other content that came between does not count."""
        return self.gate == OPERATOR and self.released_by in (None, *_AUTOMATIC)


class Held(NamedTuple):
    """What is to be held, and why."""

    partition: Partition
    capture_id: str
    ingest_no: int
    content_hash: str
    captured_at: str
    rows: int


def hold(db: Database, held: Held, *, gate: str, reason: str, by: str, now: datetime, has_rows: bool = True) -> None:
    """Holds a content; one that stands is replaced. Call it inside a transaction."""
    at = clock.stamp(now)
    _end(db, held.capture_id, held.partition, by=REPLACED, reason="held anew", at=at, silently=True)
    db.execute(
        """
        INSERT INTO finra_otc_transparency_hold (capture_id, ingest_no, held_at, week_ending, tier, content_hash, gate, reason,
                                                 held_by, has_rows)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (capture_id, ingest_no, held_at) DO UPDATE SET gate = excluded.gate, reason = excluded.reason,
            held_by = excluded.held_by, has_rows = excluded.has_rows, released_at = NULL, released_by = NULL,
            released_reason = NULL
        """,
        (
            held.capture_id, held.ingest_no, at, held.partition.week, held.partition.tier, held.content_hash, gate, reason, by,
            int(has_rows),
        ),
    )
    if has_rows:
        db.execute("UPDATE finra_otc_transparency_capture SET held_at = ? WHERE capture_id = ?", (at, held.capture_id))
    record_stage(
        db, HELD, held.partition, held.capture_id, row_count=held.rows,
        metadata={"ingest_no": held.ingest_no, "gate": gate, "reason": reason, "by": by}, captured_at=held.captured_at, now=now,
    )
    events.record(
        db, Kind.CAPTURE_HELD, events.subject_of(held.partition.key), at, capture_id=held.capture_id, ingest_no=held.ingest_no,
        gate=gate, by=by, reason=reason,
    )


def release(
    db: Database, partition: Partition, capture_id: str, *, by: str, reason: str, now: datetime, ingest_no: int | None = None
) -> None:
    """Ends the hold of a capture, if there is one; with `ingest_no` only that of this content. Call it inside a transaction."""
    _end(db, capture_id, partition, by=by, reason=reason, at=clock.stamp(now), ingest_no=ingest_no)


def _end(
    db: Database, capture_id: str, partition: Partition, *, by: str, reason: str, at: str, ingest_no: int | None = None,
    silently: bool = False,
) -> None:
    ended = db.execute(
        """
        UPDATE finra_otc_transparency_hold SET released_at = ?, released_by = ?, released_reason = ?
        WHERE capture_id = ? AND released_at IS NULL AND ingest_no = COALESCE(?, ingest_no) RETURNING ingest_no
        """,
        (at, by, reason, capture_id, ingest_no),
    ).fetchall()
    if not ended:
        return
    db.execute("UPDATE finra_otc_transparency_capture SET held_at = NULL WHERE capture_id = ?", (capture_id,))
    forget_stage(db, HELD, capture_id)
    for (ingest_no,) in ended if not silently else ():
        events.record(
            db, Kind.CAPTURE_RELEASED, events.subject_of(partition.key), at, capture_id=capture_id, ingest_no=ingest_no, by=by,
            reason=reason,
        )


def of_partition(db: Database, partition: Partition) -> list[Hold]:
    """Every hold there was, oldest first."""
    rows = db.execute(
        """
        SELECT capture_id, ingest_no, held_at, content_hash, gate, reason, held_by, has_rows, released_at, released_by,
               released_reason
        FROM finra_otc_transparency_hold WHERE week_ending = ? AND tier = ? ORDER BY held_at, capture_id, ingest_no
        """,
        (partition.week, partition.tier),
    ).fetchall()
    return [Hold._make(row) for row in rows]


def standing(db: Database, partition: Partition) -> Hold | None:
    """The hold of the newest capture, where no other capture is current beside it that is newer."""
    row = db.execute(
        _STANDING + "AND h.week_ending = ? AND h.tier = ? ORDER BY c.run_date DESC LIMIT 1", (partition.week, partition.tier)
    ).fetchone()
    return Hold(*row) if row else None


def count(db: Database) -> int:
    """How many partitions have a hold that stands."""
    return len({hold.capture_id.rpartition(":")[0] for hold in map(Hold._make, db.execute(_STANDING))})


_STANDING = """
SELECT h.capture_id, h.ingest_no, h.held_at, h.content_hash, h.gate, h.reason, h.held_by, h.has_rows, h.released_at,
       h.released_by, h.released_reason
FROM finra_otc_transparency_hold h JOIN finra_otc_transparency_capture c ON c.capture_id = h.capture_id
WHERE h.released_at IS NULL AND c.withdrawn_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM finra_otc_transparency_capture newer
    WHERE newer.week_ending = h.week_ending AND newer.tier = h.tier AND newer.run_date > c.run_date
      AND newer.normalized_at IS NOT NULL AND newer.withdrawn_at IS NULL AND newer.held_at IS NULL)
"""


def decision_on(db: Database, partition: Partition, content_hash: str) -> Hold | None:
    """The last word of an operator on exactly this content of the partition: a hold that stands, or a release."""
    words = [
        hold
        for hold in of_partition(db, partition)
        if hold.content_hash == content_hash
        and (hold.gate == OPERATOR or hold.released_by not in (None, *_AUTOMATIC))
    ]
    return words[-1] if words else None


