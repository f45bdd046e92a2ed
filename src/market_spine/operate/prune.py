"""Prune removes old captures and keeps a tombstone of each. Pin: a capture that is never pruned.

A capture is old when no day of the retention period shows it: its age counts from the day it ceased to be current, not from
the day it was captured. Four are never pruned: the current capture of a partition, the last good one where none is current, the
newest one (else content that was refused or withdrawn would look new when it is offered again), and a pinned one. The cost: for
the days on which a pruned capture was current, its rows can no longer be queried; week-level results and their splits stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from market_spine import clock
from market_spine.app.context import Run
from market_spine.core import events, executions
from market_spine.core.events import Kind
from market_spine.db import Database, Tell, silent
from market_spine.errors import NotFound, UsageError
from market_spine.operate.operation import record_action
from market_spine.partition import DOMAIN, partition_key
from market_spine.query import as_of
from market_spine.query.history import CURRENT, HELD, PRUNED, UNFINISHED, Entry, find_capture, list_captures


@dataclass(frozen=True, slots=True)
class Pruning:
    """A capture to remove, with the size of its stored bytes (0 where another capture has the same)."""

    entry: Entry
    bytes: int

    @property
    def capture_id(self) -> str:
        return self.entry.capture_id


def plan(run: Run, older_than_days: int) -> list[Pruning]:
    """What a prune would remove. Raises UsageError for a negative age."""
    if older_than_days < 0:
        raise UsageError(f"an age of {older_than_days} days makes no sense", hint="spine prune --older-than 730 --dry-run")
    first_kept = run.run_date - timedelta(days=older_than_days)
    chosen = choose(list_captures(run.db), as_of.current_until(run.db), first_kept)
    return [Pruning(entry, size) for entry, size in zip(chosen, _sizes(run.db, chosen), strict=True)]


def choose(entries: Iterable[Entry], until: Mapping[str, str | None], first_kept: date) -> list[Entry]:
    """The captures to remove: no rule keeps them, and no day from `first_kept` on shows them. `until` holds by capture id when
    each ceased to be current (None: it is; no entry: it never was, and is kept)."""
    moment = as_of.end_of(first_kept)
    return [
        entry
        for entry in _prunable(entries)
        if entry.run_date < first_kept.isoformat() and (until.get(entry.capture_id, "") or "9") < moment
    ]


def prune(run: Run, older_than_days: int, reason: str, tell: Tell = silent) -> list[Pruning]:
    """Removes what `plan` names, each capture in a transaction of its own, and returns what it removed."""
    prunings = plan(run, older_than_days)
    rule = f"older than {older_than_days} days on {run.run_date}; not current, last good, newest or pinned"
    for number, pruning in enumerate(prunings, 1):
        with run.db.transaction():
            _bury(run, pruning.entry, rule, reason)
            _remove(run.db, pruning.entry)
            events.record(
                run.db, Kind.CAPTURE_PRUNED, f"{pruning.entry.week}/{pruning.entry.tier}", run.stamp,
                capture_id=pruning.capture_id, rule=rule, reason=reason,
            )
            record_action(run.db, "prune", pruning.capture_id, reason, run.now, {"rule": rule})
            run.judge(pruning.entry.week)  # a withdrawn capture that is removed no longer blocks its week
        tell(number, len(prunings))
    return prunings


def pin(db: Database, capture: str, name: str, reason: str, now: datetime) -> Entry:
    """Names a capture and keeps it from ever being pruned. Raises UsageError when the name is taken."""
    entry = find_capture(db, capture)
    with db.transaction():
        pinned = db.execute("SELECT capture_id FROM finra_otc_transparency_capture WHERE pinned_as = ?", (name,))
        (holder,) = pinned.fetchone() or (None,)
        if holder not in (None, entry.capture_id):
            raise UsageError(f"{name!r} is the pin of {holder}", hint="choose another name, or unpin that one")
        _set_pin(db, entry, name, now)
        record_action(db, "pin", entry.capture_id, reason, now, {"name": name})
    return find_capture(db, entry.capture_id)


def unpin(db: Database, capture: str, reason: str, now: datetime) -> Entry:
    """Removes a pin. Raises NotFound when there is none."""
    entry = find_capture(db, capture)
    if entry.pinned_as is None:
        raise NotFound(f"{entry.capture_id} is not pinned", hint=f"spine captures {entry.week} {entry.tier}")
    with db.transaction():
        _set_pin(db, entry, None, now)
        record_action(db, "unpin", entry.capture_id, reason, now, {"name": entry.pinned_as})
    return find_capture(db, entry.capture_id)


def _prunable(entries: Iterable[Entry]) -> list[Entry]:
    """Those that no rule keeps."""
    by_partition: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.state != PRUNED:
            by_partition.setdefault((entry.week, entry.tier), []).append(entry)
    return [
        entry
        for captures in by_partition.values()
        for entry in captures
        if entry.pinned_as is None and entry not in _kept(captures)
    ]


def _kept(of_partition: list[Entry]) -> list[Entry]:
    """The newest, and the current or else the last good one, of a partition's captures, oldest first."""
    good = [entry for entry in of_partition if entry.state == CURRENT]
    good = good or [entry for entry in of_partition if entry.state not in (UNFINISHED, HELD)][-1:]
    return [of_partition[-1], *good]


def _sizes(db: Database, chosen: list[Entry]) -> list[int]:
    """The stored bytes each prune frees; those of a content that several captures share are freed with the last of them."""
    ids = {entry.capture_id for entry in chosen}
    rows = db.execute(
        """
        SELECT v.capture_id, v.content_hash, LENGTH(r.content) FROM finra_otc_transparency_content v
        JOIN finra_otc_transparency_raw r ON r.content_hash = v.content_hash ORDER BY v.capture_id
        """
    ).fetchall()
    kept = {content_hash for capture_id, content_hash, _ in rows if capture_id not in ids}
    last = {content_hash: (capture_id, size) for capture_id, content_hash, size in rows if content_hash not in kept}
    freed = Counter[str]()
    for capture_id, size in last.values():
        freed[capture_id] += size
    return [freed[entry.capture_id] for entry in chosen]


class _Kept(NamedTuple):
    """What a tombstone keeps of a capture."""

    content_hash: str
    row_count: int | None
    total_shares: float | None
    captured_at: str
    run_date: str
    normalized_at: str | None
    measured_at: str | None


def _bury(run: Run, entry: Entry, rule: str, reason: str) -> None:
    """Writes the tombstone: hash, counts, times, who, by which rule and why."""
    kept = _Kept._make(
        run.db.execute(
            """
            SELECT c.content_hash, c.row_count, c.total_shares, c.captured_at, c.run_date, c.normalized_at, m.created_at
            FROM finra_otc_transparency_capture c
            LEFT JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'CALC'
            WHERE c.capture_key = ?
            """,
            (entry.capture_key,),
        ).fetchone()
    )
    run.db.execute("DELETE FROM core_tombstones WHERE capture_id = ?", (entry.capture_id,))
    run.db.execute(
        """
        INSERT INTO core_tombstones (capture_id, domain, partition_key, content_hash, row_count, total_shares, captured_at,
                                     capture_key, run_date, normalized_at, measured_at, pruned_at, pruned_by, rule, reason)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            entry.capture_id, DOMAIN, partition_key(entry.week, entry.tier), kept.content_hash, kept.row_count, kept.total_shares,
            kept.captured_at, entry.capture_key, kept.run_date, kept.normalized_at, kept.measured_at, run.stamp,
            executions.actor(), rule, reason,
        ),
    )


def _remove(db: Database, entry: Entry) -> None:
    """Everything of a capture but the week-level results it went into; its bytes when no other capture has them."""
    for statement in _OF_KEY:
        db.execute(statement, (entry.capture_key,))
    db.execute(
        """
        DELETE FROM finra_otc_transparency_raw
        WHERE content_hash IN (SELECT v.content_hash FROM finra_otc_transparency_content v WHERE v.capture_id = ?)
          AND NOT EXISTS (SELECT 1 FROM finra_otc_transparency_content v
                          WHERE v.content_hash = finra_otc_transparency_raw.content_hash AND v.capture_id <> ?)
        """,
        (entry.capture_id, entry.capture_id),
    )
    for statement in _OF_ID:
        db.execute(statement, (entry.capture_id,))


def _set_pin(db: Database, entry: Entry, name: str | None, now: datetime) -> None:
    db.execute(
        "UPDATE finra_otc_transparency_capture SET pinned_as = ?, pinned_at = ? WHERE capture_key = ?",
        (name, clock.stamp(now) if name else None, entry.capture_key),
    )
    subject = f"{entry.week}/{entry.tier}"
    events.record(db, Kind.CAPTURE_PINNED, subject, clock.stamp(now), capture_id=entry.capture_id, name=name)


_OF_KEY = (
    "DELETE FROM finra_otc_transparency_volume WHERE capture_key = ?",
    "DELETE FROM finra_otc_transparency_firm_total WHERE capture_key = ?",
    "DELETE FROM finra_otc_transparency_row_date WHERE capture_key = ?",
    "DELETE FROM finra_otc_transparency_venue_measure WHERE capture_key = ?",
    "DELETE FROM finra_otc_transparency_symbol_measure WHERE capture_key = ?",
    "DELETE FROM finra_otc_transparency_tier_measure WHERE capture_key = ?",
    "DELETE FROM finra_otc_transparency_capture WHERE capture_key = ?",
)
_OF_ID = (
    "DELETE FROM core_rejects WHERE capture_id = ?",
    "DELETE FROM finra_otc_transparency_response WHERE capture_id = ?",
    "DELETE FROM finra_otc_transparency_version WHERE capture_id = ?",
    "DELETE FROM core_manifest WHERE capture_id = ?",
)
