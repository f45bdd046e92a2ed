"""Which capture of a partition was the current one: now, or as of a past moment.

As of a past moment that is the newest capture that was normalized by then and neither withdrawn nor held at that time, so that a
later restatement, rollback, release or rebuild does not change the result. Of a capture that was pruned since, only its tombstone
is left: the result then reports that, and never shows another capture instead. From the time it was pruned on it was not current.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from itertools import groupby
from typing import NamedTuple

from market_spine import clock
from market_spine.db import Database
from market_spine.partition import DOMAIN, TIERS

Interval = tuple[str, "str | None"]


@dataclass(frozen=True, slots=True)
class Known:
    """A capture and its history; `measured_at` is None until CALC, `pruned_at` unless it was pruned."""

    week: str
    tier: str
    run_date: str
    capture_key: int
    capture_id: str
    normalized_at: str | None
    measured_at: str | None
    pruned_at: str | None = None


@dataclass(frozen=True, slots=True)
class KnownWeek:
    """A week-level result."""

    week: str
    week_key: int
    capture_id: str


class _Result(NamedTuple):
    """A row of finra_otc_transparency_week."""

    week: str
    first_key: int
    second_key: int
    otc_key: int
    week_key: int
    capture_id: str
    captured_at: str


@dataclass(frozen=True, slots=True)
class Spell:
    """From the end of `day` on this capture was the current one of its partition; None: it had none."""

    day: str
    capture: Known | None


@dataclass(frozen=True, slots=True)
class WeekSpell:
    """From the end of `day` on this was the current result of its week; None: it had none."""

    day: str
    result: KnownWeek | None


def day_of(moment: str) -> str:
    """The day in New York of a stamp: whatever has it was known from the end of that day on."""
    return clock.market_date(datetime.fromisoformat(moment)).isoformat()


def end_of(day: date) -> str:
    """The end of a day in New York, as times are stored: whatever has an earlier stamp was known on that day."""
    midnight = datetime.combine(day + timedelta(days=1), time(), clock.market_zone())
    return clock.stamp(midnight.astimezone(timezone.utc))


def current_captures(
    db: Database, before: str | None = None, weeks: Iterable[date] | None = None, tiers: Sequence[str] = TIERS
) -> list[Known]:
    """The current capture of every partition (of these weeks and tiers), by week and tier; `before` is what end_of returns."""
    current: dict[tuple[str, str], Known] = {}
    barred = _barred(db)
    for capture in _every(db, weeks, before):
        if capture.tier in tiers and _was_valid(capture, barred.get(capture.capture_id, ()), before):
            current[capture.week, capture.tier] = capture
    return [current[key] for key in sorted(current)]


def was_normalized(db: Database, week: date, tier: str, before: str | None = None) -> bool:
    """Whether the partition had a normalized capture by then, current or not."""
    captures = (capture for capture in _every(db, [week], before) if capture.tier == tier)
    return any(capture.normalized_at is not None and capture.normalized_at < (before or "9") for capture in captures)


def spells(db: Database, weeks: Iterable[date] | None = None, tiers: Sequence[str] = TIERS) -> dict[tuple[str, str], list[Spell]]:
    """By week and tier, which captures were current, one after the other; a partition that never had one is left out."""
    by_partition: dict[tuple[str, str], list[Known]] = {}
    for capture in _every(db, weeks, "9"):
        if capture.tier in tiers:
            by_partition.setdefault((capture.week, capture.tier), []).append(capture)
    barred = _barred(db)
    changes = {key: _spells(by_partition[key], barred) for key in sorted(by_partition)}
    return {key: of_partition for key, of_partition in changes.items() if of_partition}


def _spells(captures: Sequence[Known], barred: Mapping[str, Sequence[Interval]]) -> list[Spell]:
    """Of one partition, its captures by run date."""
    changes: list[Spell] = []
    for day in sorted({clock.market_date(datetime.fromisoformat(moment)) for moment in _moments(captures, barred)}):
        before = end_of(day)
        valid = [c for c in captures if _was_valid(c, barred.get(c.capture_id, ()), before)]
        current = valid[-1] if valid else None
        if current != (changes[-1].capture if changes else None):
            changes.append(Spell(day.isoformat(), current))
    return changes


def _moments(captures: Iterable[Known], barred: Mapping[str, Sequence[Interval]]) -> set[str]:
    """When another one of these captures may have become current."""
    moments = {capture.normalized_at for capture in captures if capture.normalized_at}
    return moments | {
        moment for capture in captures for spell in barred.get(capture.capture_id, ()) for moment in spell if moment
    }


def current_weeks(db: Database, captures: Iterable[Known], before: str | None = None) -> list[KnownWeek]:
    """The week-level results made from exactly these captures by then, by week; a week without one is left out."""
    keys: dict[str, dict[str, int]] = {}
    for capture in captures:
        keys.setdefault(capture.week, {})[capture.tier] = capture.capture_key
    made = _results(db, before or "9")
    wanted: list[tuple[str | int, ...]] = [(week, *(keys[week].get(tier, 0) for tier in TIERS)) for week in sorted(keys)]
    return [made[key] for key in wanted if key in made]


def _results(db: Database, before: str) -> dict[tuple[str | int, ...], KnownWeek]:
    """The newest result by then of each week and the captures it was made from, in one statement for however many weeks."""
    rows = db.execute(
        """
        SELECT week_ending, nms_tier_1_key, nms_tier_2_key, otc_key, week_key, capture_id, captured_at
        FROM finra_otc_transparency_week WHERE captured_at < ? ORDER BY run_date
        """,
        (before,),
    )
    made: dict[tuple[str | int, ...], KnownWeek] = {}
    for values in rows:
        row = _Result._make(values)
        made[row.week, row.first_key, row.second_key, row.otc_key] = KnownWeek(row.week, row.week_key, row.capture_id)
    return made


def week_spells(db: Database, of_partitions: Mapping[tuple[str, str], Sequence[Spell]]) -> dict[str, list[WeekSpell]]:
    """By week, which results were current, one after the other; `of_partitions` is what `spells` returns for every tier."""
    rows = db.execute(
        """
        SELECT week_ending, nms_tier_1_key, nms_tier_2_key, otc_key, week_key, capture_id, captured_at
        FROM finra_otc_transparency_week ORDER BY week_ending, run_date
        """
    ).fetchall()
    by_week = groupby((_Result._make(row) for row in rows), key=lambda result: result.week)
    return {week: _week_spells([of_partitions.get((week, t), ()) for t in TIERS], list(results)) for week, results in by_week}


def _week_spells(of_tiers: Sequence[Sequence[Spell]], results: Sequence[_Result]) -> list[WeekSpell]:
    days = {spell.day for of_tier in of_tiers for spell in of_tier} | {day_of(result.captured_at) for result in results}
    changes: list[WeekSpell] = []
    for day in sorted(days):
        keys = tuple(_key_on(of_tier, day) for of_tier in of_tiers)
        fitting = [r for r in results if (r.first_key, r.second_key, r.otc_key) == keys and day_of(r.captured_at) <= day]
        current = KnownWeek(fitting[-1].week, fitting[-1].week_key, fitting[-1].capture_id) if fitting else None
        if current != (changes[-1].result if changes else None):
            changes.append(WeekSpell(day, current))
    return changes


def _key_on(of_tier: Sequence[Spell], day: str) -> int:
    """The key of the capture that was current at the end of a day, 0 for none."""
    current = next((spell.capture for spell in reversed(of_tier) if spell.day <= day), None)
    return current.capture_key if current else 0


def current_until(db: Database) -> dict[str, str | None]:
    """By capture id, when each capture was current for the last time; None while it is. Captures that never were current are
    left out."""
    by_partition: dict[tuple[str, str], list[Known]] = {}
    for capture in _captures(db, None):
        by_partition.setdefault((capture.week, capture.tier), []).append(capture)
    barred = _barred(db)
    until: dict[str, str | None] = {}
    for captures in by_partition.values():
        until |= _current_until(sorted(captures, key=lambda capture: capture.run_date), barred)
    return until


def _current_until(captures: Sequence[Known], barred: Mapping[str, Sequence[Interval]]) -> dict[str, str | None]:
    """The same for one partition, whose captures are sorted by run date: what was current between one change and the next."""
    last: dict[str, str | None] = {}
    for until in (*sorted(_moments(captures, barred)), None):
        candidates = [c for c in captures if _was_valid(c, barred.get(c.capture_id, ()), until)]
        if candidates:
            last[candidates[-1].capture_id] = until
    return last


def days_of_change(db: Database, week: date, since: date) -> list[date]:
    """The days in New York, from `since` on, at whose end the week may differ from the end of the day before."""
    captures = _captures(db, [week]) + _tombstones(db, [week], "9")
    moments = [moment for capture in captures for moment in (capture.normalized_at, capture.measured_at)]
    barred = _barred(db)
    moments += [moment for capture in captures for spell in barred.get(capture.capture_id, ()) for moment in spell]
    days = {clock.market_date(datetime.fromisoformat(moment)) for moment in moments if moment}
    return sorted(day for day in days | {since} if day >= since)


def _was_valid(capture: Known, barred: Sequence[Interval], before: str | None) -> bool:
    """Whether the capture was normalized, and neither withdrawn, held nor pruned at that moment; None is now."""
    limit = before or "9"
    if capture.normalized_at is None or capture.normalized_at >= limit or (capture.pruned_at or "9") < limit:
        return False
    return not any(since < limit and (until is None or until >= limit) for since, until in barred)


def _every(db: Database, weeks: Iterable[date] | None, before: str | None) -> list[Known]:
    """The captures by run date, those that were pruned after `before` among them."""
    kept = _captures(db, weeks)
    kept_ids = {capture.capture_id for capture in kept}
    gone = [capture for capture in _tombstones(db, weeks, before) if capture.capture_id not in kept_ids]
    return sorted(kept + gone, key=lambda capture: capture.run_date)


def _captures(db: Database, weeks: Iterable[date] | None) -> list[Known]:
    if weeks is None:
        rows = db.execute(
            """
            SELECT c.week_ending, c.tier, c.run_date, c.capture_key, c.capture_id, c.normalized_at, m.created_at
            FROM finra_otc_transparency_capture c
            LEFT JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'CALC'
            """
        ).fetchall()
        return [Known(*row) for row in rows]
    rows = []
    for week in weeks:
        rows += db.execute(
            """
            SELECT c.week_ending, c.tier, c.run_date, c.capture_key, c.capture_id, c.normalized_at, m.created_at
            FROM finra_otc_transparency_capture c
            LEFT JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'CALC'
            WHERE c.week_ending = ?
            """,
            (week.isoformat(),),
        ).fetchall()
    return [Known(*row) for row in rows]


def _tombstones(db: Database, weeks: Iterable[date] | None, before: str | None) -> list[Known]:
    """The pruned captures; for the present they do not matter, since a current capture is never pruned."""
    if before is None:
        return []
    rows = db.execute(
        """
        SELECT json_extract(partition_key, '$.week_ending'), json_extract(partition_key, '$.tier'), run_date, capture_key,
               capture_id, normalized_at, measured_at, pruned_at
        FROM core_tombstones WHERE domain = ?
        """,
        (DOMAIN,),
    ).fetchall()
    wanted = None if weeks is None else {week.isoformat() for week in weeks}
    gone = (Known(*row) for row in rows)
    return [capture for capture in gone if wanted is None or capture.week in wanted]


def _barred(db: Database) -> dict[str, list[Interval]]:
    """When each capture was withdrawn or held, and until when (None: to this day)."""
    barred: dict[str, list[Interval]] = {}
    rows = db.execute(
        """
        SELECT capture_id, withdrawn_at, undone_at FROM finra_otc_transparency_withdrawal
        UNION ALL
        SELECT capture_id, held_at, released_at FROM finra_otc_transparency_hold WHERE has_rows = 1
        """
    )
    for capture_id, since, until in rows:
        barred.setdefault(capture_id, []).append((since, until))
    return barred
