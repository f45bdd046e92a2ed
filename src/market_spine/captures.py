"""Captures and the exact bytes behind them: what a partition looked like on each run date."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from market_spine import clock
from market_spine.db import Database
from market_spine.errors import DamagedRaw
from market_spine.manifest import CALC, NORMALIZED, RAW, WITHDRAWN, forget_stage, record_stage
from market_spine.partition import Partition

_BLOCK = 1 << 19
_ZSTD_LEVEL, _ZSTD_WINDOW = 1, 18  # a window of 256 KB stays in the cache


class Capture(NamedTuple):
    """A row of the capture table, with the ingest number of its content and of the stages made from it."""

    capture_key: int
    capture_id: str
    partition: Partition
    run_date: str
    captured_at: str
    content_hash: str
    ingest_no: int
    stage_no: int | None


def store_raw(db: Database, content: bytes, content_hash: str) -> None:
    """Keeps the bytes under their SHA-256 (64 hex), once; mends those that are damaged. Call it inside a transaction."""
    known = db.execute("SELECT 1 FROM finra_otc_transparency_raw WHERE content_hash = ?", (content_hash,)).fetchone()
    if known is None or not is_intact(db, content_hash):
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(_ZSTD_LEVEL, window_log=_ZSTD_WINDOW)
        packed = zstandard.ZstdCompressor(compression_params=parameters).compress(content)
        db.execute(
            """
            INSERT INTO finra_otc_transparency_raw (content_hash, size, codec, content) VALUES (?, ?, 'zstd', ?)
            ON CONFLICT (content_hash) DO UPDATE SET size = excluded.size, codec = excluded.codec, content = excluded.content
            """,
            (content_hash, len(content), packed),
        )


def is_intact(db: Database, content_hash: str) -> bool:
    """Whether the stored bytes still hash to their name."""
    try:
        for _ in read_raw(db, content_hash):
            pass
    except DamagedRaw:
        return False
    return True


def packed_raw(db: Database, content_hash: str) -> bytes:
    """The compressed bytes of a content. Raises DamagedRaw when they are missing."""
    row = db.execute("SELECT content FROM finra_otc_transparency_raw WHERE content_hash = ?", (content_hash,)).fetchone()
    if row is None:
        raise DamagedRaw(f"the raw bytes {content_hash[:16]} are gone")
    return bytes(row[0])


def unpacked(packed: bytes, content_hash: str, *, hashed: bool = False) -> Iterator[bytes]:
    """The bytes in blocks of 512 KB. Raises DamagedRaw when they no longer hash to their name.

    With `hashed` that is not tried: they are those of a content that was hashed and stored a moment ago.
    """
    import zstandard

    digest = hashlib.sha256()
    try:
        for block in zstandard.ZstdDecompressor().read_to_iter(packed, write_size=_BLOCK):
            if not hashed:
                digest.update(block)
            yield block
    except zstandard.ZstdError as error:
        raise DamagedRaw(f"the raw bytes {content_hash[:16]} are damaged: {error}") from error
    if not hashed and digest.hexdigest() != content_hash:
        raise DamagedRaw(f"the raw bytes {content_hash[:16]} do not hash to their name")


def read_raw(db: Database, content_hash: str) -> Iterator[bytes]:
    """The stored bytes of a content, in blocks of 512 KB. Raises DamagedRaw when they are missing or damaged."""
    return unpacked(packed_raw(db, content_hash), content_hash)


def open_capture(
    db: Database,
    partition: Partition,
    capture_id: str,
    run_date: date,
    *,
    captured_at: str,
    content_hash: str,
    source_uri: str,
    source_last_updated: str | None,
) -> None:
    """Makes the capture's row, or on a replay points it at the new content; its normalized rows stay until replaced.

    A withdrawn capture that is ingested again stands again, but is not current before its new content is normalized.
    Call it inside a transaction.
    """
    db.execute(
        """
        INSERT INTO finra_otc_transparency_capture (capture_id, week_ending, tier, run_date, captured_at, content_hash,
                                                    source_uri, source_last_updated)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (capture_id) DO UPDATE SET
            captured_at = excluded.captured_at, content_hash = excluded.content_hash, source_uri = excluded.source_uri,
            source_last_updated = excluded.source_last_updated,
            normalized_at = CASE WHEN finra_otc_transparency_capture.withdrawn_at IS NULL
                            THEN finra_otc_transparency_capture.normalized_at END,
            withdrawn_at = NULL, withdrawn_by = NULL, withdrawn_reason = NULL
        """,
        (
            capture_id,
            partition.week,
            partition.tier,
            run_date.isoformat(),
            captured_at,
            content_hash,
            source_uri,
            source_last_updated,
        ),
    )
    if _end_withdrawal(db, capture_id, by="ingest", at=captured_at):
        forget_stage(db, NORMALIZED, capture_id)
        forget_stage(db, CALC, capture_id)


def withdraw(db: Database, partition: Partition, capture_id: str, *, by: str, reason: str, now: datetime) -> None:
    """Takes a capture back: it stays, and is no longer current. Call it inside a transaction."""
    at = clock.stamp(now)
    row = db.execute(
        """
        UPDATE finra_otc_transparency_capture SET withdrawn_at = ?, withdrawn_by = ?, withdrawn_reason = ?
        WHERE capture_id = ? RETURNING captured_at, row_count
        """,
        (at, by, reason, capture_id),
    ).fetchone()
    db.execute(
        "INSERT INTO finra_otc_transparency_withdrawal (capture_id, withdrawn_at, withdrawn_by, reason) VALUES (?, ?, ?, ?)",
        (capture_id, at, by, reason),
    )
    record_stage(
        db, WITHDRAWN, partition, capture_id, row_count=row[1] or 0, metadata={"reason": reason, "by": by}, captured_at=row[0],
        now=now,
    )  # fmt: skip


def reinstate(db: Database, capture_id: str, *, by: str, now: datetime) -> None:
    """Lets a withdrawn capture stand again. Call it inside a transaction."""
    db.execute(
        """
        UPDATE finra_otc_transparency_capture SET withdrawn_at = NULL, withdrawn_by = NULL, withdrawn_reason = NULL
        WHERE capture_id = ?
        """,
        (capture_id,),
    )
    _end_withdrawal(db, capture_id, by=by, at=clock.stamp(now))


def _end_withdrawal(db: Database, capture_id: str, *, by: str, at: str) -> bool:
    """Whether the capture was withdrawn; it no longer is."""
    ended = db.execute(
        """
        UPDATE finra_otc_transparency_withdrawal SET undone_at = ?, undone_by = ? WHERE capture_id = ? AND undone_at IS NULL
        """,
        (at, by, capture_id),
    )
    forget_stage(db, WITHDRAWN, capture_id)
    return ended.rowcount > 0


def of_partition(db: Database, partition: Partition, stage: str) -> list[Capture]:
    """The captures of a partition that stand, oldest first: what `stage` was made from, and what it should be made from.

    `ingest_no` is that of the stage before (RAW before NORMALIZED, NORMALIZED before CALC); captures without it are left out.
    """
    before = RAW if stage == NORMALIZED else NORMALIZED
    rows = db.execute(
        """
        SELECT c.capture_key, c.capture_id, c.run_date, c.captured_at, c.content_hash, ready.metadata_json, done.metadata_json
        FROM finra_otc_transparency_capture c
        JOIN core_manifest ready ON ready.capture_id = c.capture_id AND ready.stage = ?
        LEFT JOIN core_manifest done ON done.capture_id = c.capture_id AND done.stage = ?
        WHERE c.week_ending = ? AND c.tier = ? AND c.withdrawn_at IS NULL
        ORDER BY c.run_date
        """,
        (before, stage, partition.week, partition.tier),
    ).fetchall()
    return [
        Capture(
            r[0],
            r[1],
            partition,
            r[2],
            r[3],
            r[4],
            json.loads(r[5])["ingest_no"],
            json.loads(r[6])["ingest_no"] if r[6] else None,
        )
        for r in rows
    ]


def current(db: Database, partition: Partition) -> tuple[str, int, float] | None:
    """The current capture's id, rows and share volume; None when the partition has none."""
    row = db.execute(
        "SELECT capture_id, row_count, total_shares FROM finra_otc_transparency_current WHERE week_ending = ? AND tier = ?",
        (partition.week, partition.tier),
    ).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def twin(db: Database, partition: Partition, content_hash: str) -> Partition | None:
    """Another partition that is current with this very content."""
    row = db.execute(
        """
        SELECT c.week_ending, c.tier FROM finra_otc_transparency_version v
        JOIN finra_otc_transparency_current c ON c.capture_id = v.capture_id AND c.content_hash = v.content_hash
        WHERE v.content_hash = ? AND NOT (c.week_ending = ? AND c.tier = ?) ORDER BY c.week_ending, c.tier LIMIT 1
        """,
        (content_hash, partition.week, partition.tier),
    ).fetchone()
    return None if row is None else Partition(date.fromisoformat(row[0]), row[1])
