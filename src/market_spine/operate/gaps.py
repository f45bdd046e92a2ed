"""What is not there and should be, stage by stage, each with the command that mends it; also what lies about without an owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum

from market_spine import captures, executions, publication
from market_spine.app import calc, normalize
from market_spine.app.run import Run
from market_spine.ask.history import CURRENT, PRUNED, WITHDRAWN, Entry, list_captures
from market_spine.db import Database
from market_spine.operate import raw_rows
from market_spine.operate.pipelines import command_for
from market_spine.partition import TIERS, Partition
from market_spine.publication import PublicationState


class Kind(str, Enum):
    """What sort of gap it is; it decides how it is mended."""

    RAW = "RAW"
    NORMALIZED = "NORMALIZED"
    CALC = "CALC"
    WEEK = "WEEK"
    BYTES = "BYTES"
    MANIFEST = "MANIFEST"
    ORPHANS = "ORPHANS"
    SCHEMA = "SCHEMA"


_BACKUP = "restore a backup: workflows/incident/DATABASE_RECOVERY.md"


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is not as it should be, and the command for it."""

    kind: Kind
    week: date | None
    tier: str | None
    what: str
    command: str

    @property
    def where(self) -> str:
        return " / ".join(str(part) for part in (self.week, self.tier) if part) or "database"

    def entry(self) -> dict[str, object]:
        """The gap, for machines."""
        return {"kind": self.kind.value, "week_ending": self.week, "tier": self.tier, "what": self.what, "command": self.command}


def find_gaps(run: Run, weeks: Sequence[date], tiers: Sequence[str] = TIERS) -> list[Gap]:
    """Every gap of these partitions, oldest week first, and then what concerns the whole database."""
    found: list[Gap] = []
    for week in sorted(weeks):
        entries = list_captures(run.db, week)
        for tier in tiers:
            found += of_partition(run, Partition(week, tier), [e for e in entries if e.tier == tier and e.state != PRUNED])
        if calc.week_is_pending(run, week):
            command = command_for("compute_weekly_totals", week)
            found.append(Gap(Kind.WEEK, week, None, "week totals and tier split are missing or stale", command))
        found += _damaged(run.db, week, entries)
    return found + orphans(run.db)


def of_partition(run: Run, partition: Partition, entries: Sequence[Entry]) -> Iterator[Gap]:
    """What a partition lacks, first stage first; `entries` are its captures, oldest first."""
    week, tier = partition.week_ending, partition.tier
    standing = [entry for entry in entries if entry.state != WITHDRAWN]
    withdrawn = entries[-1] if entries and entries[-1].state == WITHDRAWN else None
    if withdrawn:
        yield Gap(
            Kind.RAW,
            week,
            tier,
            f"withdrawn ({withdrawn.withdrawn_reason}); a good capture is awaited",
            _fetch(run.db, week, tier),
        )
    elif not standing and (absent := _absent(run, partition)):
        yield Gap(Kind.RAW, week, tier, absent, _fetch(run.db, week, tier))
    for capture in normalize.pending(run, partition):
        failed = normalize.failed_before(run, capture)
        what = "could not be normalized" if failed else "is not normalized"
        command = command_for("normalize_week", week, tier)
        yield Gap(Kind.NORMALIZED, week, tier, f"capture …:{capture.capture_id[-8:]} {what}", command)
    for capture in calc.pending(run, partition):
        command = command_for("compute_venue_volume", week, tier)
        yield Gap(Kind.CALC, week, tier, f"capture …:{capture.capture_id[-8:]} is not measured", command)


def _fetch(db: Database, week: date, tier: str) -> str:
    """The command that asks for a partition where the newest run did; it is not said when that is the default, files."""
    source = executions.last_source(db) or "file"
    return f"spine backfill --from {week} --to {week} --tiers {tier}" + ("" if source == "file" else f" --source {source}")


def publication_state(run: Run, partition: Partition) -> PublicationState:
    """What an absence means on the run's day; without a calendar, that it is missing."""
    if run.expected.calendar is None:
        return PublicationState.MISSING
    return publication.state(partition, run.run_date, run.expected.grace_days, run.expected.calendar)


def _absent(run: Run, partition: Partition) -> str | None:
    """What to say of a partition that is not there; None while it is not due."""
    state = publication_state(run, partition)
    if state is PublicationState.AWAITING:
        return None
    due = publication.due_date(partition, run.expected.calendar or publication.EXCHANGE)
    return f"{'missing' if state is PublicationState.MISSING else 'late'}, was due {due}"


def _damaged(db: Database, week: date, entries: Sequence[Entry]) -> Iterator[Gap]:
    """The captures whose bytes are gone or no longer hash to their name."""
    rows = db.execute(
        "SELECT capture_id, content_hash, tier FROM finra_otc_transparency_capture WHERE week_ending = ?", (week.isoformat(),)
    ).fetchall()
    intact = {content_hash: captures.is_intact(db, content_hash) for content_hash in {row[1] for row in rows}}
    for capture_id, content_hash, tier in rows:
        if not intact[content_hash]:
            current = any(entry.capture_id == capture_id and entry.state == CURRENT for entry in entries)
            note = "" if current else "; it is not current, so only a backup has them"
            command = f"{_fetch(db, week, tier)} --force"
            what = f"the raw bytes {content_hash[:16]} of capture …:{capture_id[-8:]} are damaged{note}"
            yield Gap(Kind.BYTES, week, tier, what, command)


def orphans(db: Database) -> list[Gap]:
    """Rows of captures that do not exist, and captures without their RAW row. No table is scanned: keys are skipped through."""
    found = []
    for table, statement in _ORPHANS.items():
        keys = [row[0] for row in db.execute(statement).fetchall()]
        if keys:
            what = f"{table} has rows of {len(keys)} captures that do not exist: {', '.join(map(str, keys[:5]))}"
            found.append(Gap(Kind.ORPHANS, None, None, what, "spine doctor --fix"))
    for lost in raw_rows.find(db):
        partition, what = lost.partition, f"capture …:{lost.capture_id[-8:]} has no RAW row in core_manifest"
        kind, command = (Kind.MANIFEST, "spine doctor --fix") if lost.is_intact else (Kind.BYTES, _BACKUP)
        found.append(Gap(kind, partition.week_ending, partition.tier, what, command))
    return found


def remove_orphans(db: Database) -> int:
    """Removes what `orphans` finds; derived rows only. Answers of how many captures."""
    removed = 0
    with db.transaction():
        for table, statement in _ORPHANS.items():
            for row in db.execute(statement).fetchall():
                db.execute(_REMOVE[table], (row[0],))
                removed += 1
    return removed


_ORPHANS = {
    "finra_otc_transparency_volume": """
        WITH RECURSIVE found (capture_key) AS (
            SELECT (SELECT MIN(capture_key) FROM finra_otc_transparency_volume)
            UNION ALL
            SELECT (SELECT MIN(f.capture_key) FROM finra_otc_transparency_volume f WHERE f.capture_key > found.capture_key)
            FROM found WHERE found.capture_key IS NOT NULL)
        SELECT capture_key FROM found WHERE capture_key IS NOT NULL AND NOT EXISTS
            (SELECT 1 FROM finra_otc_transparency_capture c WHERE c.capture_key = found.capture_key)
        """,
    "finra_otc_transparency_venue_measure": """
        WITH RECURSIVE found (capture_key) AS (
            SELECT (SELECT MIN(capture_key) FROM finra_otc_transparency_venue_measure)
            UNION ALL
            SELECT (SELECT MIN(f.capture_key) FROM finra_otc_transparency_venue_measure f
                    WHERE f.capture_key > found.capture_key)
            FROM found WHERE found.capture_key IS NOT NULL)
        SELECT capture_key FROM found WHERE capture_key IS NOT NULL AND NOT EXISTS
            (SELECT 1 FROM finra_otc_transparency_capture c WHERE c.capture_key = found.capture_key)
        """,
    "finra_otc_transparency_symbol_measure": """
        WITH RECURSIVE found (capture_key) AS (
            SELECT (SELECT MIN(capture_key) FROM finra_otc_transparency_symbol_measure)
            UNION ALL
            SELECT (SELECT MIN(f.capture_key) FROM finra_otc_transparency_symbol_measure f
                    WHERE f.capture_key > found.capture_key)
            FROM found WHERE found.capture_key IS NOT NULL)
        SELECT capture_key FROM found WHERE capture_key IS NOT NULL AND NOT EXISTS
            (SELECT 1 FROM finra_otc_transparency_capture c WHERE c.capture_key = found.capture_key)
        """,
    "finra_otc_transparency_tier_measure": """
        SELECT m.capture_key FROM finra_otc_transparency_tier_measure m WHERE NOT EXISTS
            (SELECT 1 FROM finra_otc_transparency_capture c WHERE c.capture_key = m.capture_key)
        """,
    "core_manifest": """
        SELECT DISTINCT m.capture_id FROM core_manifest m
        WHERE m.domain = 'finra.otc_transparency' AND json_extract(m.partition_key, '$.tier') IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM finra_otc_transparency_capture c WHERE c.capture_id = m.capture_id)
        """,
}
_REMOVE = {
    "finra_otc_transparency_volume": "DELETE FROM finra_otc_transparency_volume WHERE capture_key = ?",
    "finra_otc_transparency_venue_measure": "DELETE FROM finra_otc_transparency_venue_measure WHERE capture_key = ?",
    "finra_otc_transparency_symbol_measure": "DELETE FROM finra_otc_transparency_symbol_measure WHERE capture_key = ?",
    "finra_otc_transparency_tier_measure": "DELETE FROM finra_otc_transparency_tier_measure WHERE capture_key = ?",
    "core_manifest": "DELETE FROM core_manifest WHERE capture_id = ?",
}
