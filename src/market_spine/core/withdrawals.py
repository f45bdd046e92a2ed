"""Withdrawals: an operator took a capture back, and its content with it, until somebody says otherwise."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from market_spine import clock
from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.core.manifest import WITHDRAWN, forget_stage, record_stage
from market_spine.db import Database
from market_spine.partition import DOMAIN, Partition

BY_INGEST = "ingest"  # what ended a withdrawal when another content replaced the one withdrawn; otherwise an operator


class Withdrawal(NamedTuple):
    """That an operator withdrew a capture: which, when, who and why."""

    capture_id: str
    withdrawn_at: str
    withdrawn_by: str
    reason: str
    undone_by: str | None


def withdraw(
    db: Database, partition: Partition, capture_id: str, *, by: str, reason: str, now: datetime, content_too: bool = True
) -> None:
    """Withdraws a capture: it is kept, but is no longer current. With `content_too` its content is withdrawn as well, and stays
    withdrawn when the source delivers it again. Call it inside a transaction."""
    at = clock.stamp(now)
    captured_at, row_count, content_hash = db.execute(
        """
        UPDATE finra_otc_transparency_capture SET withdrawn_at = ?, withdrawn_by = ?, withdrawn_reason = ?
        WHERE capture_id = ? RETURNING captured_at, row_count, content_hash
        """,
        (at, by, reason, capture_id),
    ).fetchone()
    db.execute(
        """
        INSERT INTO finra_otc_transparency_withdrawal (capture_id, withdrawn_at, withdrawn_by, reason, content_hash)
        VALUES (?, ?, ?, ?, ?)
        """,
        (capture_id, at, by, reason, content_hash if content_too else None),
    )
    record_stage(
        db, WITHDRAWN, partition, capture_id, row_count=row_count or 0, metadata={"reason": reason, "by": by, "withdrawn_at": at},
        captured_at=captured_at, now=now,
    )
    events.record(db, Kind.CAPTURE_WITHDRAWN, events.subject_of(partition.key), at, capture_id=capture_id, by=by, reason=reason)


def reinstate(db: Database, capture_id: str, *, by: str, now: datetime) -> None:
    """Undoes the withdrawal of a capture and of its content. Call it inside a transaction."""
    end(db, capture_id, by=by, at=clock.stamp(now))
    db.execute(
        """
        UPDATE finra_otc_transparency_withdrawal SET undone_by = ? WHERE undone_by = ? AND content_hash = (
            SELECT c.content_hash FROM finra_otc_transparency_capture c WHERE c.capture_id = ?)
        """,
        (by, BY_INGEST, capture_id),
    )


def end(db: Database, capture_id: str, *, by: str, at: str) -> None:
    """Ends the withdrawal of a capture, if there is one."""
    stood = db.execute(
        """
        UPDATE finra_otc_transparency_capture SET withdrawn_at = NULL, withdrawn_by = NULL, withdrawn_reason = NULL
        WHERE capture_id = ? AND withdrawn_at IS NOT NULL RETURNING week_ending, tier
        """,
        (capture_id,),
    ).fetchall()
    for week, tier in stood:
        events.record(db, Kind.CAPTURE_RESTORED, f"{week}/{tier}", at, capture_id=capture_id, by=by)
    db.execute(
        """
        UPDATE finra_otc_transparency_withdrawal SET undone_at = ?, undone_by = ? WHERE capture_id = ? AND undone_at IS NULL
        """,
        (at, by, capture_id),
    )
    forget_stage(db, WITHDRAWN, capture_id)


def withdrawal_of(db: Database, partition: Partition, content_hash: str) -> Withdrawal | None:
    """The withdrawal that still applies to a content of the partition: no operator undid it, and no capture of the same content
    was accepted since."""
    begins = f"{DOMAIN}:{partition.tier}:{partition.week}:"
    row = db.execute(
        """
        SELECT w.capture_id, w.withdrawn_at, w.withdrawn_by, w.reason, w.undone_by FROM finra_otc_transparency_withdrawal w
        WHERE w.content_hash = ? AND SUBSTR(w.capture_id, 1, ?) = ? AND (w.undone_at IS NULL OR w.undone_by = ?)
          AND NOT EXISTS (
            SELECT 1 FROM finra_otc_transparency_capture c
            WHERE c.week_ending = ? AND c.tier = ? AND c.content_hash = w.content_hash AND c.withdrawn_at IS NULL
              AND c.normalized_at > w.withdrawn_at)
        ORDER BY w.id DESC LIMIT 1
        """,
        (content_hash, len(begins), begins, BY_INGEST, partition.week, partition.tier),
    ).fetchone()
    return Withdrawal._make(row) if row else None
