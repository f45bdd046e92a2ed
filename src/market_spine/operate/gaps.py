"""What is missing, stage by stage, each with what closes it; also rows without an owner."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import NamedTuple

from market_spine.app import windows
from market_spine.app.context import Run
from market_spine.app.pipelines import command_for
from market_spine.app.source import DEFAULT_DATA_DIR
from market_spine.calendar import publication
from market_spine.calendar.publication import PublicationState
from market_spine.core import captures, contents, executions
from market_spine.core.captures import Capture
from market_spine.core.executions import Asked
from market_spine.db import Database
from market_spine.operate import raw_rows
from market_spine.operate.evidence import Evidence
from market_spine.operate.evidence import read as read_evidence
from market_spine.operate.windows import make_command
from market_spine.partition import TIERS, Partition, partition_of
from market_spine.query.history import CURRENT, PRUNED, UNFINISHED, WITHDRAWN, list_captures


class Kind(str, Enum):
    """What sort of gap it is: the stage that is not done, or what else is wrong."""

    RAW = "RAW"
    NORMALIZED = "NORMALIZED"
    CALC = "CALC"
    WEEK = "WEEK"
    READINESS = "READINESS"
    BYTES = "BYTES"
    MANIFEST = "MANIFEST"
    ORPHANS = "ORPHANS"
    SCHEMA = "SCHEMA"
    FUTURE = "FUTURE"
    HELD = "HELD"
    WINDOWS = "WINDOWS"


class Remedy(str, Enum):
    """What closes a gap. Content that was refused or damaged is fetched again before it is normalized."""

    FETCH = "FETCH"
    FETCH_AGAIN = "FETCH_AGAIN"  # even if unchanged: the stored bytes are damaged
    NORMALIZE = "NORMALIZE"
    CALC = "CALC"
    JUDGE = "JUDGE"
    RESTORE_ROW = "RESTORE_ROW"
    REMOVE = "REMOVE"
    MIGRATE = "MIGRATE"
    WINDOWS = "WINDOWS"
    BACKUP = "BACKUP"  # the source no longer has what is lost
    WITHDRAW = "WITHDRAW"  # an operator's decision, never made by --fix


WITHDRAW_FUTURE = 'spine rollback --future --reason "a run dated in the future"'


@dataclass(frozen=True, slots=True)
class Gap:
    """Something missing or wrong, what closes it, and the command for that; None where only a backup helps."""

    kind: Kind
    week: date | None
    tier: str | None
    what: str
    remedy: Remedy
    command: str | None

    @property
    def where(self) -> str:
        return " / ".join(str(part) for part in (self.week, self.tier) if part) or "database"

    @property
    def first_command(self) -> str | None:
        """What to type first: of a held capture what shows why, before anything is fetched again."""
        return explain_command(self.week, self.tier) if self.kind is Kind.HELD else self.command

    def entry(self) -> dict[str, object]:
        """The gap, for machines."""
        return {
            "kind": self.kind.value, "week_ending": self.week, "tier": self.tier, "what": self.what,
            "remedy": self.remedy.value, "command": self.command,
        }


class _Content(NamedTuple):
    """The content of a capture, or of its firm totals; `kept` is None where its bytes are gone."""

    week: str
    tier: str
    capture_id: str
    content_hash: str
    kept: str | None


def find_gaps(
    run: Run, weeks: Sequence[date], tiers: Sequence[str] = TIERS, today: date | None = None, *, deep: bool = False
) -> list[Gap]:
    """Every gap of these partitions, oldest week first, and then what concerns the whole database: orphans, windows that are
    missing, and captures of a day after `today`. `deep` also hashes the stored contents of these weeks."""
    gaps: list[Gap] = []
    first, last = min(weeks, default=date.min), max(weeks, default=date.min)
    evidence = read_evidence(run.db, first, last)
    contents_of = _contents(run.db, first, last)
    for week in sorted(weeks):
        for tier in tiers:
            gaps += of_partition(run, Partition(week, tier), evidence)
        gaps += of_week(evidence, week)
        gaps += _lost_or_damaged(run.db, week, contents_of.get(week, ()), deep)
    return gaps + orphans(run.db) + missing_windows(run.db, weeks) + (of_the_future(run.db, today) if today else [])


def missing_windows(db: Database, weeks: Sequence[date]) -> list[Gap]:
    """The windows that end with these weeks and are not made, in one gap: one command makes them all."""
    if not (missing := windows.missing(db, weeks)):
        return []
    what = f"{len(missing)} windows are not made; the first is the {missing[0].where}"
    return [Gap(Kind.WINDOWS, None, None, what, Remedy.WINDOWS, make_command(db))]


def of_the_future(db: Database, today: date) -> list[Gap]:
    """The captures of a day after today that are not withdrawn: until then they hide every revision."""
    gaps = []
    for capture_id, run_date in captures.later_than(db, today):
        partition = partition_of(capture_id)
        what = f"capture …:{capture_id[-8:]} is of {run_date}, a day after today, and hides every revision until then"
        gaps.append(Gap(Kind.FUTURE, partition.week_ending, partition.tier, what, Remedy.WITHDRAW, WITHDRAW_FUTURE))
    return gaps


def of_partition(run: Run, partition: Partition, evidence: Evidence) -> Iterator[Gap]:
    """The gaps of a partition, first stage first."""
    week, tier = partition.week_ending, partition.tier
    entries, fetch = evidence.entries_of(partition), fetch_from(evidence.asked, week, tier)
    standing = [entry for entry in entries if entry.state != WITHDRAWN]
    withdrawn = entries[-1] if entries and entries[-1].state == WITHDRAWN else None
    if withdrawn:
        what = f"withdrawn ({withdrawn.withdrawn_reason}); a good capture is awaited"
        yield Gap(Kind.RAW, week, tier, what, Remedy.FETCH, fetch)
    elif not standing and (absent := _absent(run, partition)):
        yield Gap(Kind.RAW, week, tier, absent, Remedy.FETCH, fetch)
    hold = evidence.hold_on(partition)
    if hold is not None:
        what = f"capture …:{str(hold.capture_id)[-8:]} is held: {hold.metadata.get('reason')}"
        yield Gap(Kind.HELD, week, tier, what, Remedy.FETCH, fetch)
    for capture in evidence.to_normalize(run, partition):
        if hold is None or capture.capture_id != hold.capture_id:
            yield _not_normalized(evidence, capture, fetch)
    for capture in evidence.to_measure(run, partition):
        command = command_for("compute_venue_volume", week, tier)
        yield Gap(Kind.CALC, week, tier, f"capture …:{capture.capture_id[-8:]} is not measured", Remedy.CALC, command)


def _not_normalized(evidence: Evidence, capture: Capture, fetch: str) -> Gap:
    """The gap of a capture that is not normalized; where its content was refused, other content has to be fetched."""
    week, tier, name = capture.partition.week_ending, capture.partition.tier, f"capture …:{capture.capture_id[-8:]}"
    if not evidence.failures(capture):
        command = command_for("normalize_week", week, tier)
        return Gap(Kind.NORMALIZED, week, tier, f"{name} is not normalized", Remedy.NORMALIZE, command)
    what = f"{name} could not be normalized; another file is needed"
    if evidence.is_damaged(capture):
        return Gap(Kind.NORMALIZED, week, tier, what, Remedy.FETCH_AGAIN, f"{fetch} --force")
    return Gap(Kind.NORMALIZED, week, tier, what, Remedy.FETCH, fetch)


def of_week(evidence: Evidence, week: date) -> Iterator[Gap]:
    """Results of the week that are missing or computed from other captures, and a stored readiness that is out of date."""
    if evidence.lacks_results(week):
        command = command_for("compute_weekly_totals", week)
        yield Gap(Kind.WEEK, week, None, "week totals and tier split are missing or stale", Remedy.CALC, command)
    elif different := evidence.differences(week):
        yield Gap(Kind.READINESS, week, None, different[0].what, Remedy.JUDGE, judge_command(week))


def judge_command(week: date) -> str:
    """The command that measures what is left and evaluates the week again, without fetching anything."""
    return f"run_finra_weekly_schedule --weeks {week} --only-stage calc"


def explain_command(week: date | str | None, tier: str | None) -> str:
    """The command that shows why a capture is held, and what to do about it."""
    return f"spine gates explain {week} {tier}"


def fetch_command(db: Database, week: date, tier: str) -> str:
    """The command that fetches a partition from the source of the newest run; defaults are left out."""
    return fetch_from(executions.last_source(db), week, tier)


def fetch_from(last: Asked, week: date, tier: str) -> str:
    """The same for a source that is known."""
    return f"spine backfill --weeks {week} --tiers {tier}{_options_of(last)}"


def _source_options(db: Database) -> str:
    """The options that name the source of the newest run."""
    return _options_of(executions.last_source(db))


def _options_of(last: Asked) -> str:
    if last.source != "file":
        return f" --source {last.source}"
    return "" if last.data_dir in (None, DEFAULT_DATA_DIR) else f" --data-dir {shlex.quote(last.data_dir)}"


def publication_state(run: Run, partition: Partition) -> PublicationState:
    """What an absence means on the run's day; without a calendar, that it is missing."""
    if run.expected.calendar is None:
        return PublicationState.MISSING
    return publication.state(partition, run.run_date, run.expected.grace_days, run.expected.calendar)


def _absent(run: Run, partition: Partition) -> str | None:
    """Why a partition counts as absent; None while it is not due."""
    state = publication_state(run, partition)
    if state is PublicationState.AWAITING:
        return None
    due = publication.due_date(partition, run.expected.calendar or publication.EXCHANGE)
    return f"{'missing' if state is PublicationState.MISSING else 'late'}, was due {due}"


def _contents(db: Database, first: date, last: date) -> dict[date, list[_Content]]:
    """The contents of the captures of these weeks and of their firm totals, by week; their bytes are not read."""
    rows = db.execute(
        """
        SELECT c.week_ending, c.tier, c.capture_id, c.content_hash, r.content_hash FROM finra_otc_transparency_capture c
        LEFT JOIN finra_otc_transparency_raw r ON r.content_hash = c.content_hash
        WHERE c.week_ending BETWEEN ? AND ?
        UNION
        SELECT c.week_ending, c.tier, c.capture_id, v.totals_hash, r.content_hash FROM finra_otc_transparency_capture c
        JOIN finra_otc_transparency_version v ON v.capture_id = c.capture_id AND v.content_hash = c.content_hash
        LEFT JOIN finra_otc_transparency_raw r ON r.content_hash = v.totals_hash
        WHERE c.week_ending BETWEEN ? AND ? AND v.totals_hash IS NOT NULL
        """,
        (first.isoformat(), last.isoformat()) * 2,
    ).fetchall()
    by_week: dict[date, list[_Content]] = {}
    for content in map(_Content._make, rows):
        by_week.setdefault(date.fromisoformat(content.week), []).append(content)
    return by_week


def _lost_or_damaged(db: Database, week: date, stored: Sequence[_Content], deep: bool) -> Iterator[Gap]:
    """The contents whose bytes are gone, or with `deep` do not match their hash; a content of several captures is hashed once."""
    held = {content.kept for content in stored if content.kept} if deep else ()
    damaged = {content_hash for content_hash in held if not contents.is_intact(db, content_hash)}
    for content in stored:
        if content.kept is None or content.kept in damaged:
            state = "gone" if content.kept is None else "damaged"
            what = f"the raw bytes {content.content_hash[:16]} of capture …:{content.capture_id[-8:]} are {state}"
            yield _lost_bytes(db, Partition(week, content.tier), content.capture_id, what)


def _lost_bytes(db: Database, partition: Partition, capture_id: str, what: str) -> Gap:
    """The source still has the current content; bytes that it has replaced since are only in a backup."""
    week, tier = partition.week_ending, partition.tier
    newest = [entry for entry in list_captures(db, week, (tier,)) if entry.state != PRUNED][-1:]
    if any(entry.capture_id == capture_id and entry.state in (CURRENT, UNFINISHED) for entry in newest):
        return Gap(Kind.BYTES, week, tier, what, Remedy.FETCH_AGAIN, f"{fetch_command(db, week, tier)} --force")
    what += "; the source shows another content by now, so only a backup has them"
    return Gap(Kind.BYTES, week, tier, what, Remedy.BACKUP, None)


def orphans(db: Database) -> list[Gap]:
    """Rows of captures that do not exist, and captures without their RAW row. The statements skip from key to key."""
    gaps = []
    for table, statement in _ORPHANS.items():
        keys = [key for (key,) in db.execute(statement)]
        if keys:
            what = f"{table} has rows of {len(keys)} captures that do not exist: {', '.join(map(str, keys[:5]))}"
            gaps.append(Gap(Kind.ORPHANS, None, None, what, Remedy.REMOVE, f"spine doctor --last 1 --fix{_source_options(db)}"))
    for lost in raw_rows.find(db):
        partition, what = lost.partition, f"capture …:{lost.capture_id[-8:]} has no RAW row in core_manifest"
        if lost.is_intact:
            week, tier = partition.week_ending, partition.tier
            command = f"spine doctor --weeks {week} --fix{_source_options(db)}"
            gaps.append(Gap(Kind.MANIFEST, week, tier, what, Remedy.RESTORE_ROW, command))
        else:
            gaps.append(_lost_bytes(db, partition, lost.capture_id, f"{what}, and its bytes are lost"))
    return gaps


def remove_orphans(db: Database) -> int:
    """Removes what `orphans` finds, derived rows only; returns the number of captures."""
    removed = 0
    with db.transaction():
        for table, statement in _ORPHANS.items():
            for (key,) in db.execute(statement).fetchall():
                db.execute(_REMOVE[table], (key,))
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
    "finra_otc_transparency_firm_total": """
        WITH RECURSIVE found (capture_key) AS (
            SELECT (SELECT MIN(capture_key) FROM finra_otc_transparency_firm_total)
            UNION ALL
            SELECT (SELECT MIN(f.capture_key) FROM finra_otc_transparency_firm_total f WHERE f.capture_key > found.capture_key)
            FROM found WHERE found.capture_key IS NOT NULL)
        SELECT capture_key FROM found WHERE capture_key IS NOT NULL AND NOT EXISTS
            (SELECT 1 FROM finra_otc_transparency_capture c WHERE c.capture_key = found.capture_key)
        """,
    "finra_otc_transparency_tier_measure": """
        SELECT m.capture_key FROM finra_otc_transparency_tier_measure m WHERE NOT EXISTS
            (SELECT 1 FROM finra_otc_transparency_capture c WHERE c.capture_key = m.capture_key)
        """,
    "finra_otc_transparency_response": """
        SELECT DISTINCT r.capture_id FROM finra_otc_transparency_response r WHERE NOT EXISTS
            (SELECT 1 FROM finra_otc_transparency_version v WHERE v.capture_id = r.capture_id)
    """,
    "finra_otc_transparency_row_date": """
        SELECT DISTINCT d.capture_key FROM finra_otc_transparency_row_date d WHERE NOT EXISTS
            (SELECT 1 FROM finra_otc_transparency_capture c WHERE c.capture_key = d.capture_key)
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
    "finra_otc_transparency_response": "DELETE FROM finra_otc_transparency_response WHERE capture_id = ?",
    "finra_otc_transparency_firm_total": "DELETE FROM finra_otc_transparency_firm_total WHERE capture_key = ?",
    "finra_otc_transparency_row_date": "DELETE FROM finra_otc_transparency_row_date WHERE capture_key = ?",
    "core_manifest": "DELETE FROM core_manifest WHERE capture_id = ?",
}
