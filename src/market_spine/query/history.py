"""The captures: when and why each was taken, its last completed stage, and whether it is current."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from market_spine.db import Database
from market_spine.errors import NotFound, UsageError
from market_spine.partition import DOMAIN, TIERS
from market_spine.query.as_of import current_captures, end_of

CURRENT, SUPERSEDED, WITHDRAWN, UNFINISHED, PRUNED = "current", "superseded", "withdrawn", "unfinished", "pruned"
HELD = "held"


@dataclass(frozen=True, slots=True)
class Entry:
    """One capture. `state` is current, superseded, withdrawn, held, unfinished (not normalized) or pruned (a tombstone);
    `published_on`, `revised_on` are the dates that most of its rows have."""

    capture_key: int
    capture_id: str
    week: str
    tier: str
    run_date: str
    captured_at: str
    reason: str | None
    stage: str | None
    rows: int | None
    shares: float | None
    content_hash: str
    state: str
    pinned_as: str | None
    withdrawn_reason: str | None
    published_on: str | None = None
    revised_on: str | None = None
    held_reason: str | None = None  # also of a content that waits beside the rows of another one

    def entry(self) -> dict[str, object]:
        """The capture, for machines."""
        return {
            "capture_id": self.capture_id, "week_ending": self.week, "tier": self.tier, "run_date": self.run_date,
            "captured_at": self.captured_at, "reason": self.reason, "stage": self.stage, "rows": self.rows,
            "shares": self.shares, "content_hash": self.content_hash, "state": self.state,
            "is_current": self.state == CURRENT, "pinned_as": self.pinned_as, "withdrawn_reason": self.withdrawn_reason,
            "published_on": self.published_on, "revised_on": self.revised_on,
            "held_reason": self.held_reason,
        }


def list_captures(db: Database, week: date | None = None, tiers: Sequence[str] = TIERS) -> list[Entry]:
    """Every capture of these partitions, by week and tier, oldest first; includes the tombstones of pruned ones."""
    entries = [_entry(_Row._make(row)) for row in (_of_week(db, week) if week else _all(db))]
    entries += [_tombstone(row) for row in _pruned(db, week, {entry.capture_id for entry in entries})]
    return sorted((e for e in entries if e.tier in tiers), key=lambda e: (e.week, e.tier, e.run_date))


def captures_between(db: Database, first: date, last: date) -> list[Entry]:
    """Every capture of these weeks that is kept, by week and tier, oldest first; one statement, however many weeks."""
    rows = db.execute(_COLUMNS + "WHERE c.week_ending BETWEEN ? AND ?", (first.isoformat(), last.isoformat())).fetchall()
    return sorted((_entry(_Row._make(row)) for row in rows), key=lambda e: (e.week, e.tier, e.run_date))


def newest_weeks(db: Database, count: int, tiers: Sequence[str] = TIERS, as_of: date | None = None) -> list[date]:
    """The newest weeks that have a current capture of one of these tiers, now or at the end of a day; newest first."""
    captures = current_captures(db, end_of(as_of) if as_of else None, tiers=tiers)
    return [date.fromisoformat(week) for week in sorted({capture.week for capture in captures}, reverse=True)[:count]]


def find_capture(db: Database, text: str) -> Entry:
    """The capture with that id or pin name, or whose id ends with it (`OTC:2025-12-26:20260109`). Raises NotFound, UsageError."""
    ids = [
        capture_id
        for (capture_id,) in db.execute(
            """
            SELECT capture_id FROM finra_otc_transparency_capture
            WHERE capture_id = ? OR pinned_as = ? OR capture_id LIKE ? ESCAPE '\\' ORDER BY capture_id
            """,
            (text, text, "%:" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")),
        )
    ]
    if text in ids:
        ids = [text]
    if not ids:
        raise NotFound(f"there is no capture {text!r}", hint="spine captures")
    if len(ids) > 1:
        raise UsageError(f"{text!r} may be {len(ids)} captures, {ids[0]} for one", hint="write the whole capture id")
    week = date.fromisoformat(ids[0].split(":")[-2])
    return next(entry for entry in list_captures(db, week) if entry.capture_id == ids[0])


def last_two(db: Database, week: date, tier: str) -> tuple[Entry, Entry]:
    """The last two normalized captures of a partition, the older one first. Raises NotFound when there are fewer."""
    good = [entry for entry in list_captures(db, week, (tier,)) if entry.state in (CURRENT, SUPERSEDED, WITHDRAWN, HELD)]
    if len(good) < 2:
        raise NotFound(
            f"{week} / {tier} has {len(good)} normalized captures; a difference needs two", hint=f"spine captures {week}"
        )
    return good[-2], good[-1]


class _Row(NamedTuple):
    """A row of _COLUMNS; `raw` is the metadata of the capture's RAW row, `current` its key where it is the current one."""

    capture_key: int
    capture_id: str
    week: str
    tier: str
    run_date: str
    captured_at: str
    raw: str | None
    calc: str | None
    row_count: int | None
    lines: int | None
    shares: float | None
    content_hash: str
    normalized_at: str | None
    withdrawn_at: str | None
    current: int | None
    pinned_as: str | None
    withdrawn_reason: str | None
    published_on: str | None
    revised_on: str | None
    held_at: str | None
    held_reason: str | None


class _Tombstone(NamedTuple):
    """A row of core_tombstones."""

    capture_key: int
    capture_id: str
    week: str
    tier: str
    run_date: str
    captured_at: str
    row_count: int | None
    shares: float | None
    content_hash: str
    reason: str


_COLUMNS = """
SELECT c.capture_key, c.capture_id, c.week_ending, c.tier, c.run_date, c.captured_at, raw.metadata_json, calc.stage,
       c.row_count, raw.row_count, c.total_shares, c.content_hash, c.normalized_at, c.withdrawn_at, now.capture_key,
       c.pinned_as, c.withdrawn_reason, c.published_on, c.revised_on, c.held_at, h.reason
FROM finra_otc_transparency_capture c
LEFT JOIN core_manifest raw ON raw.capture_id = c.capture_id AND raw.stage = 'RAW'
LEFT JOIN core_manifest calc ON calc.capture_id = c.capture_id AND calc.stage = 'CALC'
LEFT JOIN finra_otc_transparency_current now ON now.capture_key = c.capture_key
LEFT JOIN finra_otc_transparency_hold h ON h.capture_id = c.capture_id AND h.released_at IS NULL
"""


def _all(db: Database) -> list[tuple[object, ...]]:
    return db.execute(_COLUMNS).fetchall()


def _of_week(db: Database, week: date) -> list[tuple[object, ...]]:
    return db.execute(_COLUMNS + "WHERE c.week_ending = ?", (week.isoformat(),)).fetchall()


def _pruned(db: Database, week: date | None, kept: set[str]) -> list[_Tombstone]:
    rows = db.execute(
        """
        SELECT capture_key, capture_id, json_extract(partition_key, '$.week_ending'), json_extract(partition_key, '$.tier'),
               run_date, captured_at, row_count, total_shares, content_hash, reason
        FROM core_tombstones WHERE domain = ?
        """,
        (DOMAIN,),
    ).fetchall()
    gone = (_Tombstone._make(row) for row in rows)
    return [row for row in gone if row.capture_id not in kept and (week is None or row.week == week.isoformat())]


def _entry(row: _Row) -> Entry:
    normalized = row.normalized_at
    state = WITHDRAWN if row.withdrawn_at else UNFINISHED if not normalized else CURRENT if row.current else SUPERSEDED
    state = HELD if row.held_at and not row.withdrawn_at else state
    return Entry(
        row.capture_key, row.capture_id, row.week, row.tier, row.run_date, row.captured_at,
        reason=json.loads(row.raw).get("reason") if row.raw else None,
        stage="CALC" if row.calc else "NORMALIZED" if normalized else "RAW" if row.raw else None,
        rows=row.row_count if normalized else row.lines, shares=row.shares, content_hash=row.content_hash[:16], state=state,
        pinned_as=row.pinned_as, withdrawn_reason=row.withdrawn_reason, published_on=row.published_on, revised_on=row.revised_on,
        held_reason=row.held_reason,
    )


def _tombstone(row: _Tombstone) -> Entry:
    return Entry(
        row.capture_key, row.capture_id, row.week, row.tier, row.run_date, row.captured_at, reason=None, stage=None,
        rows=row.row_count, shares=row.shares, content_hash=row.content_hash[:16], state=PRUNED, pinned_as=None,
        withdrawn_reason=row.reason,
    )
