"""Captures: what a partition looked like on each run date."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from itertools import starmap
from typing import Any, NamedTuple

from market_spine import clock
from market_spine.core import events, holds, responses, windows, withdrawals
from market_spine.core.events import Kind
from market_spine.core.manifest import CALC, NORMALIZED, RAW, forget_stage, record_stage
from market_spine.db import Database
from market_spine.errors import DamagedRaw
from market_spine.partition import DOMAIN, Partition, generate_capture_id


class Version(NamedTuple):
    """A content the source delivered for a capture. `row_count` counts its data lines, `metadata` is that of the RAW row."""

    ingest_no: int
    content_hash: str
    observed_at: str
    row_count: int
    metadata: Mapping[str, Any]
    totals_hash: str | None = None  # of the document that holds its firm totals; its own where it holds them itself

    @classmethod
    def of(
        cls, ingest_no: int, content_hash: str, observed_at: str, row_count: int, metadata_json: str, totals_hash: str | None
    ) -> Version:
        """A row as the table holds it."""
        return cls(ingest_no, content_hash, observed_at, row_count, json.loads(metadata_json), totals_hash)


class Capture(NamedTuple):
    """A row of the capture table, with the content a stage is to be made from: its hash, its ingest number, and the number of
    the content the stage was last made from."""

    capture_key: int
    capture_id: str
    partition: Partition
    run_date: str
    captured_at: str
    content_hash: str
    ingest_no: int
    stage_no: int | None


class Current(NamedTuple):
    """The current capture of a partition: its id, its rows and its share volume."""

    capture_id: str
    row_count: int
    total_shares: float


def observe(db: Database, partition: Partition, capture_id: str, run_date: date, version: Version, now: datetime) -> None:
    """Records a content the source has delivered: the first one of a new capture, or another one on the same day.

    A capture keeps its rows, and with them its content, until the new content is normalized and replaces them: refused
    content changes nothing. Call it inside a transaction.
    """
    uri, updated = version.metadata.get("source_uri"), version.metadata.get("source_last_updated")
    add_version(db, capture_id, version)
    db.execute(
        """
        INSERT INTO finra_otc_transparency_capture (capture_id, week_ending, tier, run_date, captured_at, content_hash,
                                                    source_uri, source_last_updated)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (capture_id) DO UPDATE SET
            captured_at = excluded.captured_at, content_hash = excluded.content_hash, source_uri = excluded.source_uri,
            source_last_updated = excluded.source_last_updated
        WHERE finra_otc_transparency_capture.normalized_at IS NULL
        """,
        (
            capture_id, partition.week, partition.tier, run_date.isoformat(), version.observed_at, version.content_hash,
            uri, updated,
        ),
    )
    _record_raw(db, partition, capture_id, version, now)
    events.record(
        db, Kind.CAPTURE_STORED, _subject(partition), clock.stamp(now), capture_id=capture_id, run_date=run_date.isoformat(),
        ingest_no=version.ingest_no, content_hash=version.content_hash, lines=version.row_count, observed_at=version.observed_at,
    )


def _subject(partition: Partition) -> str:
    return events.subject_of(partition.key)


def add_version(db: Database, capture_id: str, version: Version) -> None:
    """Records a content of a capture. Call it inside a transaction."""
    metadata = json.dumps(version.metadata)
    db.execute(
        """
        INSERT INTO finra_otc_transparency_version (capture_id, ingest_no, content_hash, observed_at, row_count, metadata_json,
                                                    totals_hash)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (capture_id, ingest_no) DO UPDATE SET content_hash = excluded.content_hash,
            observed_at = excluded.observed_at, row_count = excluded.row_count, metadata_json = excluded.metadata_json,
            totals_hash = excluded.totals_hash
        """,
        (
            capture_id, version.ingest_no, version.content_hash, version.observed_at, version.row_count, metadata,
            version.totals_hash,
        ),
    )


def _record_raw(db: Database, partition: Partition, capture_id: str, version: Version, now: datetime) -> None:
    record_stage(
        db, RAW, partition, capture_id, row_count=version.row_count, metadata=version.metadata, captured_at=version.observed_at,
        now=now,
    )


def versions(db: Database, capture_id: str) -> list[Version]:
    """Every content a capture has had, oldest first."""
    rows = db.execute(
        """
        SELECT ingest_no, content_hash, observed_at, row_count, metadata_json, totals_hash FROM finra_otc_transparency_version
        WHERE capture_id = ? ORDER BY ingest_no
        """,
        (capture_id,),
    ).fetchall()
    return [Version.of(*row) for row in rows]


def version(db: Database, capture_id: str, ingest_no: int) -> Version:
    """One content of a capture. Raises DamagedRaw when its record is gone."""
    for candidate in versions(db, capture_id):
        if candidate.ingest_no == ingest_no:
            return candidate
    raise DamagedRaw(f"the record of content {ingest_no} of {capture_id} is gone")


def totals_hash(db: Database, capture_id: str, ingest_no: int) -> str | None:
    """The hash of the document that holds the firm totals of one content of a capture; None where there is none."""
    rows = db.execute(
        "SELECT totals_hash FROM finra_otc_transparency_version WHERE capture_id = ? AND ingest_no = ?", (capture_id, ingest_no)
    ).fetchall()
    return next((totals for (totals,) in rows), None)


def take_on(db: Database, capture: Capture, now: datetime) -> None:
    """Makes the content that is being normalized the capture's own; it replaces the previous one.

    A withdrawal or a hold of the previous one ends, and what was computed from its rows is deleted: nobody may read measures of
    rows that no longer exist. All of it was made this same day, because on a later day a content has a capture of its own. Call
    it inside a transaction.
    """
    taken = version(db, capture.capture_id, capture.ingest_no)
    db.execute(
        """
        UPDATE finra_otc_transparency_capture
        SET captured_at = ?, content_hash = ?, source_uri = ?, source_last_updated = ? WHERE capture_key = ?
        """,
        (
            taken.observed_at, taken.content_hash, taken.metadata.get("source_uri"),
            taken.metadata.get("source_last_updated"), capture.capture_key,
        ),
    )
    withdrawals.end(db, capture.capture_id, by=withdrawals.BY_INGEST, at=taken.observed_at)
    reason = f"content {capture.ingest_no} took its place"
    holds.release(db, capture.partition, capture.capture_id, by=holds.REPLACED, reason=reason, now=now)
    _drop_results(db, capture)


def end_wait(db: Database, capture: Capture, now: datetime) -> None:
    """Ends the hold of a content that waited beside the capture's rows and leaves it; rows that are held stay held. Call it in a
    transaction."""
    number, reason = capture.ingest_no, "it waits no more beside the rows of that day"
    holds.release(db, capture.partition, capture.capture_id, by=holds.REPLACED, reason=reason, now=now, ingest_no=number)


def _drop_results(db: Database, capture: Capture) -> None:
    """Deletes a capture's measures, and the results of the week and the windows that were computed with them."""
    key = capture.capture_key
    forget_stage(db, CALC, capture.capture_id)
    db.execute("DELETE FROM finra_otc_transparency_venue_measure WHERE capture_key = ?", (key,))
    db.execute("DELETE FROM finra_otc_transparency_symbol_measure WHERE capture_key = ?", (key,))
    db.execute("DELETE FROM finra_otc_transparency_tier_measure WHERE capture_key = ?", (key,))
    windows.drop(db, key)
    results = db.execute(
        """
        SELECT week_key, capture_id FROM finra_otc_transparency_week
        WHERE week_ending = ? AND ? IN (nms_tier_1_key, nms_tier_2_key, otc_key)
        """,
        (capture.partition.week, key),
    ).fetchall()
    for week_key, capture_id in results:
        forget_stage(db, CALC, capture_id)
        db.execute("DELETE FROM finra_otc_transparency_week_tier WHERE week_key = ?", (week_key,))
        db.execute("DELETE FROM finra_otc_transparency_week WHERE week_key = ?", (week_key,))


def carry_over(db: Database, capture: Capture, run_date: date, now: datetime) -> Capture:
    """Gives a replay that was left unfinished on an earlier day a capture of its own, of `run_date`, and returns that one.

    Until the end of that earlier day the previous content was current, and query results as of that day may not change. Call
    it inside a transaction.
    """
    carried_id = generate_capture_id(DOMAIN, capture.partition.week, capture.partition.tier, run_date)
    observe(db, capture.partition, carried_id, run_date, version(db, capture.capture_id, capture.ingest_no), now)
    responses.carry_over(db, capture.capture_id, capture.ingest_no, carried_id)
    end_wait(db, capture, now)
    set_aside(db, capture, now)
    (key,) = db.execute("SELECT capture_key FROM finra_otc_transparency_capture WHERE capture_id = ?", (carried_id,)).fetchone()
    return capture._replace(capture_key=key, capture_id=carried_id, run_date=run_date.isoformat(), stage_no=None)


def set_aside(db: Database, capture: Capture, now: datetime) -> None:
    """Makes the RAW row name the content the capture's rows were made from; the one set aside is kept as a version."""
    if capture.stage_no is not None:
        _record_raw(db, capture.partition, capture.capture_id, version(db, capture.capture_id, capture.stage_no), now)
        events.record(
            db, Kind.CAPTURE_REJECTED, _subject(capture.partition), clock.stamp(now), capture_id=capture.capture_id,
            ingest_no=capture.ingest_no, category=None, message="superseded before it was normalized",
        )


def content_of_day(db: Database, partition: Partition, run_date: date) -> str | None:
    """The hash of the content captured for a partition on a run date, even if pruned since; None when nothing was captured."""
    capture_id = generate_capture_id(DOMAIN, partition.week, partition.tier, run_date)
    row = db.execute(
        """
        SELECT content_hash FROM finra_otc_transparency_capture WHERE capture_id = ?
        UNION ALL
        SELECT content_hash FROM core_tombstones WHERE capture_id = ?
        """,
        (capture_id, capture_id),
    ).fetchone()
    (content_hash,) = row or (None,)
    return content_hash


def day_after(db: Database, partition: Partition, day: date) -> str | None:
    """The run date of the partition's first capture of a later day, pruned or not."""
    row = db.execute(
        """
        SELECT MIN(run_date) FROM (
            SELECT run_date FROM finra_otc_transparency_capture WHERE week_ending = ? AND tier = ?
            UNION ALL
            SELECT run_date FROM core_tombstones WHERE partition_key = ?
        ) AS captured WHERE run_date > ?
        """,
        (partition.week, partition.tier, partition.key, day.isoformat()),
    ).fetchone()
    (run_date,) = row or (None,)
    return run_date


def later_than(db: Database, day: date) -> list[tuple[str, str]]:
    """The id and the run date of every capture of a later day that is not withdrawn, oldest week first."""
    rows = db.execute(
        """
        SELECT capture_id, run_date FROM finra_otc_transparency_capture
        WHERE run_date > ? AND withdrawn_at IS NULL ORDER BY week_ending, tier, run_date
        """,
        (day.isoformat(),),
    ).fetchall()
    return [(capture_id, run_date) for capture_id, run_date in rows]


def is_superseded(db: Database, capture: Capture) -> bool:
    """Whether the partition has a capture of a later day."""
    later = db.execute(
        "SELECT 1 FROM finra_otc_transparency_capture WHERE week_ending = ? AND tier = ? AND run_date > ?",
        (capture.partition.week, capture.partition.tier, capture.run_date),
    ).fetchone()
    return later is not None


class Staged(NamedTuple):
    """A capture with the manifest's metadata of the preceding stage and of the stage itself."""

    capture_key: int
    capture_id: str
    run_date: str
    captured_at: str
    withdrawn_at: str | None
    ready: Mapping[str, Any]
    done: Mapping[str, Any] | None

    @classmethod
    def of(
        cls, capture_key: int, capture_id: str, run_date: str, captured_at: str, withdrawn_at: str | None, ready: str,
        done: str | None,
    ) -> Staged:
        """A row as the tables hold it."""
        made = json.loads(done) if done else None
        return cls(capture_key, capture_id, run_date, captured_at, withdrawn_at, json.loads(ready), made)


def of_partition(db: Database, partition: Partition, stage: str) -> list[Capture]:
    """The captures of a partition, oldest first: what `stage` was made from, and what it should be made from.

    `ingest_no` and `content_hash` are those of the preceding stage (RAW before NORMALIZED, NORMALIZED before CALC); captures
    without it are left out, and so are withdrawn ones, unless another content waits to replace the one withdrawn.
    """
    before = RAW if stage == NORMALIZED else NORMALIZED
    rows = db.execute(
        """
        SELECT c.capture_key, c.capture_id, c.run_date, c.captured_at, c.withdrawn_at, ready.metadata_json, done.metadata_json
        FROM finra_otc_transparency_capture c
        JOIN core_manifest ready ON ready.capture_id = c.capture_id AND ready.stage = ?
        LEFT JOIN core_manifest done ON done.capture_id = c.capture_id AND done.stage = ?
        WHERE c.week_ending = ? AND c.tier = ?
        ORDER BY c.run_date
        """,
        (before, stage, partition.week, partition.tier),
    ).fetchall()
    staged = (staged_capture(partition, stage, row) for row in starmap(Staged.of, rows))
    return [capture for capture in staged if capture is not None]


def staged_capture(partition: Partition, stage: str, row: Staged) -> Capture | None:
    """The capture with the content that `stage` is to be made from; None for a withdrawn one that nothing waits to replace."""
    content, stage_no = row.ready, row.done["ingest_no"] if row.done else None
    if row.withdrawn_at is not None and (stage != NORMALIZED or stage_no == content["ingest_no"]):
        return None
    facts = (row.run_date, row.captured_at, content["sha256"], content["ingest_no"], stage_no)
    return Capture(row.capture_key, row.capture_id, partition, *facts)


def is_made(db: Database, capture: Capture, stage: str) -> bool:
    """Whether somebody else has made this stage of exactly this content since the capture was read."""
    stored = of_partition(db, capture.partition, stage)
    return any((one.capture_id, one.stage_no) == (capture.capture_id, capture.ingest_no) for one in stored)


def current(db: Database, partition: Partition, as_of: date | None = None) -> Current | None:
    """The current capture, of those up to the run date `as_of` if given; None without one."""
    row = db.execute(
        """
        SELECT c.capture_id, c.row_count, c.total_shares FROM finra_otc_transparency_capture c
        WHERE c.week_ending = ? AND c.tier = ? AND c.run_date <= ? AND c.normalized_at IS NOT NULL AND c.withdrawn_at IS NULL
          AND c.held_at IS NULL
        ORDER BY c.run_date DESC LIMIT 1
        """,
        (partition.week, partition.tier, as_of.isoformat() if as_of else "9"),
    ).fetchone()
    return None if row is None else Current._make(row)


def twin(db: Database, partition: Partition, content_hash: str) -> Partition | None:
    """Another partition whose current content is exactly this one."""
    row = db.execute(
        """
        SELECT c.week_ending, c.tier FROM finra_otc_transparency_version v
        JOIN finra_otc_transparency_current c ON c.capture_id = v.capture_id AND c.content_hash = v.content_hash
        WHERE v.content_hash = ? AND NOT (c.week_ending = ? AND c.tier = ?) ORDER BY c.week_ending, c.tier LIMIT 1
        """,
        (content_hash, partition.week, partition.tier),
    ).fetchone()
    if row is None:
        return None
    week, tier = row
    return Partition(date.fromisoformat(week), tier)
