"""core_source_checks: when a partition's whole content was last compared with what is stored, and whose turn it is.

Corrected names, deletions and moves between tiers leave no date at the source: only the content shows them. So each run
compares a share of the partitions whole, those first that have waited longest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple

from market_spine import clock
from market_spine.app.context import Run
from market_spine.app.plan import Plan
from market_spine.app.source import Source
from market_spine.db import Database
from market_spine.partition import DOMAIN, Partition

SETTLED_WEEKS = 13  # after it has left the window, a partition still takes its turn for this long
_NEVER = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Check(NamedTuple):
    """What a source reported of a partition when it was last compared; no hash for one that was only listed."""

    fingerprint: str
    content_hash: str | None
    checked_at: str


def recorded(db: Database, source: str) -> dict[Partition, Check]:
    """Every check of a source."""
    rows = db.execute(
        """
        SELECT week_ending, tier, fingerprint, content_hash, checked_at FROM core_source_checks WHERE domain = ? AND source = ?
        """,
        (DOMAIN, source),
    )
    return {Partition(date.fromisoformat(week), tier): Check._make(check) for week, tier, *check in rows}


def record(run: Run, source: str, fingerprints: Mapping[Partition, str], content_hash: str | None) -> None:
    """Records that these partitions were checked now. Call it inside a transaction."""
    for partition, fingerprint in fingerprints.items():
        run.db.execute(
            """
            INSERT INTO core_source_checks (domain, source, week_ending, tier, fingerprint, content_hash, checked_at)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (domain, source, week_ending, tier) DO UPDATE SET
                fingerprint = excluded.fingerprint, content_hash = excluded.content_hash, checked_at = excluded.checked_at
            """,
            (DOMAIN, source, partition.week, partition.tier, fingerprint, content_hash, run.stamp),
        )


def last_checked(run: Run, source: str, partition: Partition) -> datetime | None:
    """When its whole content was last compared."""
    row = run.db.execute(
        """
        SELECT checked_at FROM core_source_checks
        WHERE domain = ? AND source = ? AND week_ending = ? AND tier = ? AND content_hash IS NOT NULL
        """,
        (DOMAIN, source, partition.week, partition.tier),
    ).fetchone()
    (checked_at,) = row or (None,)
    at = datetime.fromisoformat(checked_at) if checked_at else None
    return at if at and _has_been(run, at) else None


def turns(run: Run, source: Source, plan: Plan) -> tuple[Partition, ...]:
    """The partitions to compare whole in this run. A run with a window takes turns within it and SETTLED_WEEKS before it; a run
    of named weeks knows of no others, and goes by the time since the last comparison."""
    day, share = run.run_date, run.expected.rehash_share
    settled = min(plan.weeks) - timedelta(weeks=SETTLED_WEEKS if plan.sweeps else 0)
    held = {
        partition: at if _has_been(run, at) else _NEVER
        for partition, at in _held(run.db, source.name, settled, max(plan.weeks)).items()
    }
    checked = {p: at for p, at in held.items() if p.tier in plan.tiers and (plan.sweeps or p.week_ending in plan.weeks)}
    turn = due(checked, day, share) if plan.sweeps else overdue(checked, day, share)
    left = beside(checked, _changes(run.db, settled, max(plan.weeks)))
    return tuple(dict.fromkeys((*left, *turn)))


def beside(checked: Mapping[Partition, datetime], changed: Mapping[date, datetime]) -> list[Partition]:
    """Those of which another tier changed after they were last compared: a run that was killed, or that the source failed,
    stored the change and did not come to the other tiers of its week."""
    return [partition for partition, at in checked.items() if at < changed.get(partition.week_ending, at)]


def due(checked: Mapping[Partition, datetime], day: date, share: float) -> list[Partition]:
    """Those whose turn it is, the longest unchecked first: enough that each has its turn once in round(1 / share) days with a
    run. What was compared on the same day counts, so that a repeated run does not compare the next ones."""
    if share <= 0:
        return []
    today = sum(clock.market_date(at) >= day for at in checked.values())
    waiting = sorted((at, partition) for partition, at in checked.items() if clock.market_date(at) < day)
    quota = -(-len(checked) // _rounds(share))
    return [partition for _, partition in waiting[: max(0, quota - today)]]


def overdue(checked: Mapping[Partition, datetime], day: date, share: float) -> list[Partition]:
    """Those that round(1 / share) weekly runs would have compared by now."""
    if share <= 0:
        return []
    return [partition for partition, at in checked.items() if day - clock.market_date(at) >= timedelta(weeks=_rounds(share) - 1)]


def _has_been(run: Run, at: datetime) -> bool:
    """Whether that day has come: what a run of a mistyped day compared is dated after every true run."""
    return clock.market_date(at) <= clock.market_date(run.present or run.now)


def _rounds(share: float) -> int:
    return max(1, round(1 / share))


def _changes(db: Database, first: date, last: date) -> dict[date, datetime]:
    """When a partition of each of these weeks last got another content than its first."""
    rows = db.execute(
        """
        SELECT c.week_ending, MAX(v.observed_at) FROM finra_otc_transparency_version v
        JOIN finra_otc_transparency_capture c ON c.capture_id = v.capture_id
        WHERE v.ingest_no > 1 AND c.week_ending BETWEEN ? AND ? GROUP BY c.week_ending
        """,
        (first.isoformat(), last.isoformat()),
    )
    return {date.fromisoformat(week): datetime.fromisoformat(at) for week, at in rows}


def _held(db: Database, source: str, first: date, last: date) -> dict[Partition, datetime]:
    """Every partition of these weeks that has a capture, and when its content was last compared, or else captured."""
    rows = db.execute(
        """
        SELECT c.week_ending, c.tier, COALESCE(MAX(s.checked_at), MAX(c.captured_at))
        FROM finra_otc_transparency_capture c
        LEFT JOIN core_source_checks s ON s.domain = ? AND s.source = ? AND s.week_ending = c.week_ending AND s.tier = c.tier
        WHERE c.week_ending BETWEEN ? AND ?
        GROUP BY c.week_ending, c.tier
        """,
        (DOMAIN, source, first.isoformat(), last.isoformat()),
    )
    return {Partition(date.fromisoformat(week), tier): datetime.fromisoformat(at) for week, tier, at in rows}
