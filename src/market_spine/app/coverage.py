"""core_coverage and what is open: no week between the first one requested and the window is forgotten.

A partition outside the window is open when it is due and has no current capture, when a stage of it is behind, or when its
newest content was refused. A week is open when its tiers are measured and its own results are missing or made from other
captures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import NamedTuple

from market_spine.app import calc, normalize
from market_spine.app.context import Run
from market_spine.app.plan import Plan
from market_spine.db import Database
from market_spine.partition import DOMAIN, Partition


class Open(NamedTuple):
    """What is open outside a window."""

    partitions: tuple[Partition, ...] = ()
    weeks: tuple[date, ...] = ()  # whose own results are behind


def known_weeks(db: Database) -> dict[str, date]:
    """By tier, the first week that a window requested or a capture holds."""
    rows = db.execute(
        """
        SELECT tier, first_week FROM core_coverage WHERE domain = ?
        UNION ALL
        SELECT tier, MIN(week_ending) FROM finra_otc_transparency_capture GROUP BY tier
        """,
        (DOMAIN,),
    ).fetchall()
    known = sorted((week, tier) for tier, week in rows)
    return {tier: date.fromisoformat(week) for week, tier in reversed(known)}


def first_weeks(db: Database, plan: Plan) -> dict[str, date]:
    """The same for the tiers of a plan; its window counts."""
    known = known_weeks(db)
    return {tier: min(min(plan.weeks), known.get(tier, min(plan.weeks))) for tier in plan.tiers}


def record(run: Run, plan: Plan) -> None:
    """Stores the first weeks before the source is queried: an outage on the first Friday loses nothing. Earlier records are kept
    beside it, for questions about the past."""
    rows = run.db.execute("SELECT tier, MIN(first_week) FROM core_coverage WHERE domain = ? GROUP BY tier", (DOMAIN,))
    kept = dict(rows.fetchall())
    first = {tier: week.isoformat() for tier, week in first_weeks(run.db, plan).items()}
    earlier = {tier: week for tier, week in first.items() if tier not in kept or week < kept[tier]}
    if not earlier:
        return
    with run.db.transaction():
        for tier, week in earlier.items():
            run.db.execute(
                "INSERT INTO core_coverage (domain, tier, first_week, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (DOMAIN, tier, week, run.stamp),
            )


def find_open(run: Run, plan: Plan) -> Open:
    """What is open outside the plan's window, newest first. Writes nothing."""
    reach = min(plan.weeks) - timedelta(weeks=plan.open_weeks)
    outside = [p for p in _behind(run.db) if p.week_ending not in plan.weeks and p.tier in plan.tiers]
    unfinished = {p for p in outside if _is_unfinished(run, p, reach)}
    weeks = [week for week in _weeks_behind(run.db) if week not in plan.weeks and calc.week_is_pending(run, week)]
    first = first_weeks(run.db, plan)
    opened = _missing(run, plan, _reaching(first, plan.revised), reach).difference(plan.revised)
    partitions = unfinished | _missing(run, plan, first, reach) | opened
    return Open(tuple(sorted(partitions, reverse=True)), tuple(sorted(weeks, reverse=True)))


def _reaching(first: Mapping[str, date], revised: Iterable[Partition]) -> dict[str, date]:
    """The first weeks once these partitions are held: a change of an early week opens the weeks between it and the window."""
    return {tier: min([week, *(p.week_ending for p in revised if p.tier == tier)]) for tier, week in first.items()}


def _is_unfinished(run: Run, partition: Partition, reach: date) -> bool:
    """Whether a stage of it can be completed. Refused or held content is tried again as far back as `reach`, no farther: without
    other content or an operator it is refused each time."""
    waiting = normalize.pending(run, partition)
    if waiting and (partition.week_ending >= reach or not all(normalize.failed_before(run, capture) for capture in waiting)):
        return True
    if partition.week_ending >= reach and normalize.standing_hold(run, partition) is not None:
        return True
    return bool(calc.pending(run, partition))


def _missing(run: Run, plan: Plan, first: Mapping[str, date], reach: date) -> set[Partition]:
    """What is due before the window, back to `reach` or its tier's first week, and has no current capture."""
    oldest = min(plan.weeks)
    start = max(min(first.values()), reach)
    expected = _between(start, oldest, first)
    return {p for p in expected - _current(run.db, start, oldest) if not run.expected.awaits(p, run.run_date)}


def _between(start: date, end: date, first: Mapping[str, date]) -> set[Partition]:
    weeks = [end - timedelta(weeks=n) for n in range(1, (end - start).days // 7 + 1)]
    return {Partition(week, tier) for week in weeks for tier, first_week in first.items() if week >= first_week}


def _current(db: Database, start: date, end: date) -> set[Partition]:
    rows = db.execute(
        "SELECT week_ending, tier FROM finra_otc_transparency_current WHERE week_ending >= ? AND week_ending < ?",
        (start.isoformat(), end.isoformat()),
    )
    return {Partition(date.fromisoformat(week), tier) for week, tier in rows}


def _behind(db: Database) -> set[Partition]:
    """The partitions with a capture that is held, or of which a stage is missing or was made from older content than the
    preceding one."""
    rows = db.execute(
        """
        SELECT c.week_ending, c.tier
        FROM finra_otc_transparency_capture c
        JOIN core_manifest raw ON raw.capture_id = c.capture_id AND raw.stage = 'RAW'
        LEFT JOIN core_manifest typed ON typed.capture_id = c.capture_id AND typed.stage = 'NORMALIZED'
        LEFT JOIN core_manifest measured ON measured.capture_id = c.capture_id AND measured.stage = 'CALC'
        WHERE c.withdrawn_at IS NULL
          AND (typed.id IS NULL OR measured.id IS NULL OR c.held_at IS NOT NULL
               OR json_extract(typed.metadata_json, '$.ingest_no') <> json_extract(raw.metadata_json, '$.ingest_no')
               OR json_extract(measured.metadata_json, '$.ingest_no') <> json_extract(typed.metadata_json, '$.ingest_no'))
        """
    )
    return {Partition(date.fromisoformat(week), tier) for week, tier in rows}


def _weeks_behind(db: Database) -> list[date]:
    """The weeks whose three current captures are measured, and that have no result of exactly these. Comparing keys is enough:
    the transaction that replaces a capture's rows also deletes the results made from them."""
    rows = db.execute(
        """
        SELECT t1.week_ending
        FROM finra_otc_transparency_current t1
        JOIN finra_otc_transparency_current t2 ON t2.week_ending = t1.week_ending AND t2.tier = 'NMS_TIER_2'
        JOIN finra_otc_transparency_current t3 ON t3.week_ending = t1.week_ending AND t3.tier = 'OTC'
        JOIN core_manifest m1 ON m1.capture_id = t1.capture_id AND m1.stage = 'CALC'
        JOIN core_manifest m2 ON m2.capture_id = t2.capture_id AND m2.stage = 'CALC'
        JOIN core_manifest m3 ON m3.capture_id = t3.capture_id AND m3.stage = 'CALC'
        WHERE t1.tier = 'NMS_TIER_1' AND NOT EXISTS (
          SELECT 1 FROM finra_otc_transparency_week w
          JOIN core_manifest m ON m.capture_id = w.capture_id AND m.stage = 'CALC'
          WHERE w.week_ending = t1.week_ending
            AND w.nms_tier_1_key = t1.capture_key AND w.nms_tier_2_key = t2.capture_key AND w.otc_key = t3.capture_key)
        """
    )
    return [date.fromisoformat(week) for (week,) in rows]
