"""Verify: re-hashes every blob, re-counts and re-sums every capture, its measures, the weeks and the windows; one line per fault.

It checks one capture at a time, so that a large database takes long but little memory. `deep` also reads every blob again and
compares it with the rows, field by field.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any, NamedTuple

from market_spine.app import readiness, windows
from market_spine.core import captures, contents
from market_spine.core.captures import Capture
from market_spine.db import Database, Tell, silent
from market_spine.errors import RECOVERY, PartitionError
from market_spine.measure.firm_totals import figure
from market_spine.operate import gaps, verify_rows
from market_spine.operate.windows import make_command
from market_spine.parse.columns import MICRO, millionths, whole_or_fraction
from market_spine.partition import Partition

_NEAR = 1e-12


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that differs from what was stored, and the command that repairs it; None where only a backup can."""

    where: str
    what: str
    remedy: str | None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Stored:
    """What is recorded of a capture, against which its rows are counted and summed."""

    capture: Capture
    has_raw_row: bool
    manifest_hash: str | None
    row_count: int | None
    total_shares: float | None
    normalized: dict[str, Any] | None
    manifest_rows: int | None


class _Row(NamedTuple):
    """A capture beside its RAW and NORMALIZED rows of core_manifest."""

    capture_key: int
    capture_id: str
    week: str
    tier: str
    run_date: str
    captured_at: str
    content_hash: str
    raw: str | None
    row_count: int | None
    total_shares: float | None
    done: str | None
    manifest_rows: int | None
    normalized_at: str | None


class _WeekSums(NamedTuple):
    """A week-level result beside the sums of its tiers and of its captures' measures."""

    capture_id: str
    week: str
    recorded: float | None
    split: float | None
    parts: int
    measured: float | None
    tiers: int


def verify(db: Database, *, deep: bool = False, today: date | None = None, tell: Tell = silent) -> Iterator[Fault]:
    """Yields every fault; with `today`, captures of a later day are faults too. A damaged file yields only that fault: nothing
    that is read from it can be trusted. `tell` counts captures."""
    damaged = [Fault(db.label, f"is damaged: {what}", RECOVERY) for what in db.damage()]
    yield from damaged
    if damaged:
        return
    yield from _readable("the stored contents", chain(_blobs(db), _lost_contents(db)))
    yield from _of_the_future(db, today) if today else ()
    rows = list(_rows_of_captures(db))
    for number, row in enumerate(rows, 1):
        yield from _readable(row.capture_id, _of_capture(db, row, deep))
        tell(number, len(rows))
    yield from _readable("the weeks", chain(_weeks(db), _readiness(db)))
    yield from _readable("the windows", chain(_windows(db), _missing_windows(db)))


def _readable(where: str, faults: Iterator[Fault]) -> Iterator[Fault]:
    """Passes the faults on; a value that makes a check fail (an unreadable key or date) is a fault itself."""
    try:
        yield from faults
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        yield Fault(where, f"holds a value that the program never writes: {type(error).__name__}: {error}", RECOVERY)


def _of_capture(db: Database, row: _Row, deep: bool) -> Iterator[Fault]:
    stored = _stored(row)
    yield from _capture(db, stored)
    if deep:
        yield from _contents(db, stored)


def _blobs(db: Database) -> Iterator[Fault]:
    sizes = db.execute("SELECT content_hash, size FROM finra_otc_transparency_raw ORDER BY content_hash").fetchall()
    for content_hash, size in sizes:
        try:
            read = sum(map(len, contents.read_raw(db, content_hash)))
        except PartitionError as error:
            yield Fault(f"blob {content_hash[:16]}", error.message, _doctor_of(db, content_hash))
            continue
        if read != size:
            yield Fault(f"blob {content_hash[:16]}", f"holds {read:,} bytes, recorded are {size:,}; only a backup is right", None)


def _lost_contents(db: Database) -> Iterator[Fault]:
    """The contents of captures and daily lists whose bytes are missing; replaced and refused ones and kept responses included."""
    lost = db.execute(
        """
        SELECT v.capture_id, v.content_hash, c.week_ending FROM finra_otc_transparency_content v
        LEFT JOIN finra_otc_transparency_capture c ON c.capture_id = v.capture_id
        WHERE NOT EXISTS (SELECT 1 FROM finra_otc_transparency_raw r WHERE r.content_hash = v.content_hash)
        ORDER BY v.capture_id, v.ingest_no, v.content_hash
        """
    ).fetchall()
    for capture_id, content_hash, week in lost:
        remedy = f"spine doctor --weeks {week}" if week else None
        yield Fault(capture_id, f"its bytes {content_hash[:16]} are gone", remedy)


def _of_the_future(db: Database, today: date) -> Iterator[Fault]:
    """The captures of a day after today that are not withdrawn: they hide every revision until then."""
    for capture_id, run_date in captures.later_than(db, today):
        yield Fault(
            capture_id, f"is of {run_date}, a day after today, and hides every revision until then",
            gaps.WITHDRAW_FUTURE,
        )


def _rows_of_captures(db: Database) -> list[_Row]:
    rows = db.execute(
        """
        SELECT c.capture_key, c.capture_id, c.week_ending, c.tier, c.run_date, c.captured_at, c.content_hash,
               raw.metadata_json, c.row_count, c.total_shares, done.metadata_json, done.row_count, c.normalized_at
        FROM finra_otc_transparency_capture c
        LEFT JOIN core_manifest raw ON raw.capture_id = c.capture_id AND raw.stage = 'RAW'
        LEFT JOIN core_manifest done ON done.capture_id = c.capture_id AND done.stage = 'NORMALIZED'
        ORDER BY c.week_ending, c.tier, c.run_date
        """
    )
    return [_Row._make(row) for row in rows.fetchall()]


def _stored(row: _Row) -> Stored:
    raw, done = (json.loads(text) if text else None for text in (row.raw, row.done))
    partition = Partition(date.fromisoformat(row.week), row.tier)
    ingest_no, stage_no = (None if facts is None else facts["ingest_no"] for facts in (raw, done))
    own = (row.capture_key, row.capture_id, partition, row.run_date, row.captured_at, row.content_hash)
    capture = Capture(*own, ingest_no or 0, stage_no)
    made_of = done or raw
    manifest_hash = made_of["sha256"] if made_of else None
    normalized = done if row.normalized_at else None
    return Stored(capture, raw is not None, manifest_hash, row.row_count, row.total_shares, normalized, row.manifest_rows)


def _capture(db: Database, stored: Stored) -> Iterator[Fault]:
    """Whether a capture has its bytes, and whether its rows, sums and measures are those recorded."""
    capture, week = stored.capture, stored.capture.partition.week
    where, again = capture.capture_id, f"spine rebuild {week}"
    if not stored.has_raw_row:
        yield Fault(where, "has no RAW row in core_manifest", f"spine doctor --weeks {week}")
    if stored.manifest_hash and stored.manifest_hash != capture.content_hash:
        yield Fault(where, f"core_manifest names the bytes {stored.manifest_hash[:16]}, not {capture.content_hash[:16]}", again)
    if stored.normalized is None:
        return
    count, total = _sums(db, _VOLUME_SUMS, capture.capture_key)
    for name, recorded in (("the capture", stored.row_count), ("core_manifest", stored.manifest_rows)):
        if count != recorded:
            yield Fault(where, f"has {count:,} rows, {name} says {recorded or 0:,}", again)
    if not _near(total, stored.total_shares):
        yield Fault(where, f"its rows sum to {_shown(total)} shares, the capture says {_shown(stored.total_shares)}", again)
    yield from _measures(db, capture, total, again)
    yield from _firm_totals(db, capture, total, again)


def _measures(db: Database, capture: Capture, total: float, again: str) -> Iterator[Fault]:
    """Whether venues, symbols and tier each sum to the rows, and the venues' shares to 1; not where CALC is not done."""
    tier = db.execute(
        "SELECT total_shares FROM finra_otc_transparency_tier_measure WHERE capture_key = ?", (capture.capture_key,)
    ).fetchone()
    if tier is None:
        return
    (of_tier,) = tier
    _, venues = _sums(db, _VENUE_SUMS, capture.capture_key)
    _, symbols = _sums(db, _SYMBOL_SUMS, capture.capture_key)
    for name, value in (("the tier", of_tier), ("the venues", venues), ("the symbols", symbols)):
        if not _near(value, total):
            yield Fault(capture.capture_id, f"{name} sum to {_shown(value)} shares, its rows to {_shown(total)}", again)
    (share,) = db.execute(
        "SELECT SUM(share) FROM finra_otc_transparency_venue_measure WHERE capture_key = ?", (capture.capture_key,)
    ).fetchone()
    if share is not None and abs(share - 1) > 1e-9:
        yield Fault(capture.capture_id, f"the venues' shares sum to {share}", again)


def _firm_totals(db: Database, capture: Capture, total: float, again: str) -> Iterator[Fault]:
    """Firm totals that measures rest on have no less than the rows; lines without a symbol are in the totals alone."""
    count, firms = _sums(db, _FIRM_SUMS, capture.capture_key)
    if count and firms < total and not _near(firms, total):
        yield Fault(capture.capture_id, f"its firm totals sum to {_shown(firms)} shares, its rows to {_shown(total)}", again)


def _contents(db: Database, stored: Stored) -> Iterator[Fault]:
    """Whether the rows and firm totals are those of the bytes, field by field."""
    from market_spine.app.content import read

    capture = stored.capture
    if stored.normalized is None:
        return
    try:
        made_of = capture if capture.stage_no is None else capture._replace(ingest_no=capture.stage_no)
        reading = read(db, made_of)
    except PartitionError as error:
        week = capture.partition.week
        yield Fault(capture.capture_id, f"its bytes cannot be read: {error.message}", f"spine doctor --weeks {week} --deep")
        return
    for difference in verify_rows.differences(db, capture, reading):
        yield Fault(capture.capture_id, difference, f"spine rebuild {capture.partition.week}")


def _weeks(db: Database) -> Iterator[Fault]:
    """Whether each week-level result is the sum of its captures' measures, where these still exist."""
    for week in map(_WeekSums._make, db.execute(_WEEK_SUMS).fetchall()):
        again, recorded = f"spine rebuild {week.week}", f"the week says {_shown(week.recorded)}"
        if week.parts != 3 or not _near(week.split, week.recorded):
            yield Fault(week.capture_id, f"its tiers sum to {_shown(week.split)} shares, {recorded}", again)
        if week.tiers == 3 and not _near(week.measured, week.recorded):
            yield Fault(week.capture_id, f"its captures measure {_shown(week.measured)} shares, {recorded}", again)


def _readiness(db: Database) -> Iterator[Fault]:
    """Whether the stored readiness of each week is what its captures give now."""
    for week in readiness.judged_weeks(db):
        for difference in readiness.differences(db, week):
            where = f"{week} / {difference.tier}" if difference.tier else str(week)
            yield Fault(where, difference.what, gaps.judge_command(week))


def _windows(db: Database) -> Iterator[Fault]:
    """Whether each window is what the captures it is made of give, figure by figure."""
    for each in windows.differences(db):
        yield Fault(each.plan.where, each.what, f"spine rebuild {each.plan.week}" if each.is_of_figures else RECOVERY)


def _missing_windows(db: Database) -> Iterator[Fault]:
    weeks = db.execute("SELECT DISTINCT week_ending FROM finra_otc_transparency_capture").fetchall()
    for plan in windows.missing(db, [date.fromisoformat(week) for (week,) in weeks], lost=True):
        yield Fault(plan.where, "is not made", make_command(db))


def _doctor_of(db: Database, content_hash: str) -> str | None:
    """The command that shows how to recover a content, for the newest week that has it."""
    (week,) = db.execute(
        "SELECT MAX(week_ending) FROM finra_otc_transparency_capture WHERE content_hash = ?", (content_hash,)
    ).fetchone()
    return f"spine doctor --weeks {week} --deep" if week else None


def _sums(db: Database, statement: str, capture_key: int) -> tuple[int, float]:
    """The number of rows and their shares, summed exactly: whole shares and millionths separately."""
    count, whole, rest = db.execute(statement, (capture_key,)).fetchone()
    return count, whole_or_fraction(int(whole or 0) * MICRO + int(rest or 0))


def _near(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and abs(a - b) <= _NEAR * max(abs(a), abs(b))


def _shown(value: float | None) -> str:
    return "none" if value is None else figure(millionths(value))


_VOLUME_SUMS = """
SELECT COUNT(*), SUM(CAST(total_shares AS BIGINT)),
       SUM(CAST(ROUND((total_shares - CAST(total_shares AS BIGINT)) * 1000000) AS BIGINT))
FROM finra_otc_transparency_volume WHERE capture_key = ?
"""
_VENUE_SUMS = """
SELECT COUNT(*), SUM(CAST(total_shares AS BIGINT)),
       SUM(CAST(ROUND((total_shares - CAST(total_shares AS BIGINT)) * 1000000) AS BIGINT))
FROM finra_otc_transparency_venue_measure WHERE capture_key = ?
"""
_SYMBOL_SUMS = """
SELECT COUNT(*), SUM(CAST(total_shares AS BIGINT)),
       SUM(CAST(ROUND((total_shares - CAST(total_shares AS BIGINT)) * 1000000) AS BIGINT))
FROM finra_otc_transparency_symbol_measure WHERE capture_key = ?
"""
_FIRM_SUMS = """
SELECT COUNT(*), SUM(CAST(f.total_shares AS BIGINT)),
       SUM(CAST(ROUND((f.total_shares - CAST(f.total_shares AS BIGINT)) * 1000000) AS BIGINT))
FROM finra_otc_transparency_capture c JOIN finra_otc_transparency_firm_total f ON f.capture_key = c.capture_key
WHERE c.capture_key = ? AND c.basis = 'firm_total'
"""
_WEEK_SUMS = """
SELECT w.capture_id, w.week_ending, w.total_shares,
       (SELECT SUM(s.total_shares) FROM finra_otc_transparency_week_tier s WHERE s.week_key = w.week_key),
       (SELECT COUNT(*) FROM finra_otc_transparency_week_tier s WHERE s.week_key = w.week_key),
       (SELECT SUM(m.total_shares) FROM finra_otc_transparency_tier_measure m
        WHERE m.capture_key IN (w.nms_tier_1_key, w.nms_tier_2_key, w.otc_key)),
       (SELECT COUNT(*) FROM finra_otc_transparency_tier_measure m
        WHERE m.capture_key IN (w.nms_tier_1_key, w.nms_tier_2_key, w.otc_key))
FROM finra_otc_transparency_week w ORDER BY w.week_ending, w.run_date
"""
