"""CALC: the measures of a tier, as soon as it is normalized, and of a week, once its three tiers are measured."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from market_spine import clock
from market_spine.app.context import Run
from market_spine.app.forecast import Used, UsedTiers
from market_spine.categories import Category
from market_spine.core import anomalies, captures, events, manifest
from market_spine.core.captures import Capture
from market_spine.core.events import Kind
from market_spine.core.manifest import StageRow
from market_spine.db import Database
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import DOMAIN, TIERS, WHOLE_WEEK, Partition, generate_capture_id, partition_key
from market_spine.query import as_of

if TYPE_CHECKING:
    from market_spine.measure.facts import Facts
    from market_spine.measure.measures import TierMeasures

CROSS_TIER_STAGE = Category.INCOMPLETE_INPUT.stage


class WeekResult(NamedTuple):
    """A week-level result: its identity, and the capture keys by tier it is made from."""

    capture_id: str
    week: str
    run_date: str
    captured_at: str
    keys: Mapping[str, int]


def pending(run: Run, partition: Partition) -> list[Capture]:
    """The captures whose measures are missing or made from older rows."""
    stored = captures.of_partition(run.db, partition, manifest.CALC)
    standing = [c for c in run.forecast.standing(stored, partition, manifest.CALC) if run.works_on(c.run_date)]
    return [capture for capture in standing if capture.stage_no != capture.ingest_no]


def measure(run: Run, capture: Capture) -> Outcome:
    """Stores a capture's measures, in one transaction with their manifest row."""
    if run.dry:
        run.forecast.measure(capture)
        return Outcome.of(Phase.CALC, Status.DONE, capture.partition, "Would be measured", capture_id=capture.capture_id)
    measured = run.take_over(capture.capture_id, capture.ingest_no) or _measured_again(run, capture)
    with run.db.transaction():
        if not run.force and captures.is_made(run.db, capture, manifest.CALC):
            message = "Already measured, by a worker or another run"
            return Outcome.of(Phase.CALC, Status.SKIPPED, capture.partition, message, capture_id=capture.capture_id)
        made = _store_measures(run, capture, measured)
        anomalies.resolve_stage(run.db, capture.partition.key, manifest.CALC, f"measured as {capture.capture_id}", run.now)
        run.judge(capture.partition.week_ending)
    tier = measured.tier
    hhi = "" if tier.hhi is None else f", HHI {tier.hhi:.4f}"
    message = f"Measured {tier.venue_count:,} venues, {tier.symbol_count:,} symbols{hhi}"
    return Outcome.of(Phase.CALC, Status.DONE, capture.partition, message, capture_id=capture.capture_id, rows=made)


def _measured_again(run: Run, capture: Capture) -> TierMeasures:
    """The measures of rows that an earlier run stored."""
    from market_spine.measure import facts as facts_of
    from market_spine.measure.measures import measure_tier

    return measure_tier(facts_of.from_tables(run.db, capture.capture_key))


def remake(run: Run, capture: Capture, facts: Facts) -> None:
    """Deletes a capture's measures and computes them again from its rows."""
    from market_spine.measure.measures import measure_tier

    _store_measures(run, capture, measure_tier(facts))


def _store_measures(run: Run, capture: Capture, measured: TierMeasures) -> int:
    """Replaces a capture's measures and their manifest row; returns how many rows. Call it inside a transaction."""
    from market_spine.measure.tier_tables import TIER_TABLES

    made = 0
    for table in TIER_TABLES:
        run.db.execute(table.clear, (capture.capture_key,))
        columns = table.columns(measured)
        run.db.bulk_columns(table.table, {"capture_key": capture.capture_key}, columns)
        made += len(next(iter(columns.values())))
    manifest.record_stage(
        run.db, manifest.CALC, capture.partition, capture.capture_id, row_count=made,
        metadata={"ingest_no": capture.ingest_no}, captured_at=capture.captured_at, now=run.now,
    )
    subject = events.subject_of(capture.partition.key)
    events.record(
        run.db, Kind.CAPTURE_MEASURED, subject, run.stamp, capture_id=capture.capture_id, ingest_no=capture.ingest_no
    )
    return made


def measure_week(run: Run, week_ending: date) -> Outcome:
    """Computes the week's totals and tier split from the current captures, unless the stored ones were made from these."""
    if run.as_observed:
        return _measure_days(run, week_ending)
    outcome, used = _look_at_week(run, week_ending)
    if run.dry:
        _foresee_week(run, outcome, used)
    elif outcome.status is Status.DONE:
        with run.db.transaction():  # a worker may have made it, or changed a tier, since we looked
            outcome, used = _look_at_week(run, week_ending)
            _act_on_week(run, outcome, used)
    else:
        _act_on_week(run, outcome, used)
    return outcome


def _look_at_week(run: Run, week_ending: date) -> tuple[Outcome, UsedTiers]:
    """What there is to do for a week, and the tiers to do it from."""
    week = week_ending.isoformat()
    used = run.forecast.used_tiers(_current_tiers(run.db, week), week_ending)
    awaited = [t for t in TIERS if t not in used and run.expected.awaits(Partition(week_ending, t), run.run_date)]
    outcome = decide_week(week_ending, used, awaited, is_fresh=_is_fresh(run.db, week, _made_from(used)))
    if outcome.status is Status.DONE:
        outcome = outcome._replace(capture_id=generate_capture_id(DOMAIN, week, WHOLE_WEEK, run.run_date))
    return outcome, used


def decide_week(week_ending: date, used: Collection[str], awaited: Collection[str], *, is_fresh: bool) -> Outcome:
    """What to do for a week of which the tiers `used` are measured and those `awaited` are not yet due; `is_fresh` when its
    stored result was made from exactly these."""
    missing = [tier for tier in TIERS if tier not in used]
    details = {"measured_tiers": sorted(used)}
    if missing and all(tier in awaited for tier in missing):
        message = f"Awaiting tiers [{', '.join(missing)}], cross-tier calcs follow"
        return Outcome(Phase.CALC, Status.AWAITING, week_ending, None, message, details=details)
    if missing:
        due = [tier for tier in missing if tier not in awaited]
        message = f"Missing tiers [{', '.join(due)}], skipping cross-tier calcs"
        expected = [tier for tier in TIERS if tier not in awaited]
        details |= {"expected_tiers": expected, "actual_tiers": [tier for tier in TIERS if tier in used]}
        return Outcome(Phase.CALC, Status.WARNING, week_ending, None, message, details=details)
    if is_fresh:
        return Outcome(Phase.CALC, Status.SKIPPED, week_ending, None, "Week totals and tier split are up to date")
    return Outcome(Phase.CALC, Status.DONE, week_ending, None, "Week totals and tier split")


def _act_on_week(run: Run, outcome: Outcome, used: UsedTiers) -> None:
    week = outcome.week_ending.isoformat()
    key = partition_key(week)
    if outcome.status is Status.AWAITING:
        anomalies.resolve_stage(run.db, key, CROSS_TIER_STAGE, "nothing is missing that is due", run.now)
    elif outcome.status is Status.WARNING:
        tiers = {name: outcome.details[name] for name in ("expected_tiers", "actual_tiers")}
        anomalies.observe(run, Category.INCOMPLETE_INPUT, outcome.week_ending, outcome.message, details=tiers)
    elif outcome.status is Status.SKIPPED:
        _resolve_all(run, key, "every tier is measured")
    else:
        keys = {tier: row.capture_key for tier, row in used.items()}
        result = WeekResult(str(outcome.capture_id), week, run.run_date.isoformat(), run.stamp, keys)
        store_week(run, result, _made_from(used))
        _resolve_all(run, key, f"measured as {outcome.capture_id}")
        run.judge(week)


def _foresee_week(run: Run, outcome: Outcome, used: UsedTiers) -> None:
    """What _act_on_week would have stored and resolved."""
    week = outcome.week_ending
    if outcome.status is not Status.WARNING:
        run.forecast.resolve(week, None, CROSS_TIER_STAGE, *([] if outcome.status is Status.AWAITING else [manifest.CALC]))
    if outcome.status is Status.DONE:
        run.forecast.measure_week(week, str(outcome.capture_id), _made_from(used), run.stamp)


def _measure_days(run: Run, week_ending: date) -> Outcome:
    """After content was loaded under a past day: the week's results as of that day, and as of every later day it changes."""
    made = [day for day in as_of.days_of_change(run.db, week_ending, run.run_date) if _measure_day(run, week_ending, day)]
    if not made:
        return Outcome(Phase.CALC, Status.SKIPPED, week_ending, None, "No week totals to make as of any day")
    message = f"Week totals and tier split as of {', '.join(map(str, made))}"
    return Outcome(Phase.CALC, Status.DONE, week_ending, None, message)


def _measure_day(run: Run, week_ending: date, day: date) -> bool:
    """Stores the week's result as of the end of a day, unless it exists or a tier was missing; returns whether it did."""
    before, week = as_of.end_of(day), week_ending.isoformat()
    seen = run.forecast.known(as_of.current_captures(run.db, before, [week_ending]), week_ending, run.stamp)
    measured = [c for c in seen if not c.pruned_at and c.measured_at is not None and c.measured_at < before]
    if len(measured) < len(TIERS) or as_of.current_weeks(run.db, seen, before):
        return False
    keys = {capture.tier: capture.capture_key for capture in measured}
    rows = run.forecast.rows(manifest.week_rows(week, run.db), week_ending)
    numbers = {row.capture_id: row.metadata["ingest_no"] for row in rows if row.stage == manifest.CALC and row.tier}
    made_from = {c.tier: {"capture_id": c.capture_id, "ingest_no": numbers[c.capture_id]} for c in measured}
    capture_id, moment = generate_capture_id(DOMAIN, week, WHOLE_WEEK, day), clock.stamp(clock.moment_of(day))
    if run.dry:
        run.forecast.measure_week(week_ending, capture_id, made_from, moment)
        return True
    with run.db.transaction():
        store_week(run, WeekResult(capture_id, week, day.isoformat(), moment, keys), made_from)
    return True


def week_is_pending(run: Run, week_ending: date) -> bool:
    """Whether every tier of the week is measured, and its results are missing or were made from other captures."""
    used = _current_tiers(run.db, week_ending.isoformat())
    return len(used) == len(TIERS) and not _is_fresh(run.db, week_ending.isoformat(), _made_from(used))


class _Totals(NamedTuple):
    """A row of _TIER_TOTALS."""

    shares: float
    ats_shares: float
    trades: int
    notional: float | None


def _made_from(used: UsedTiers) -> dict[str, dict[str, object]]:
    return {tier: {"capture_id": row.capture_id, "ingest_no": row.ingest_no} for tier, row in used.items()}


def _resolve_all(run: Run, key: str, note: str) -> None:
    """Resolves the week's open anomalies: a tier that was missing, a calculation that failed."""
    for stage in (CROSS_TIER_STAGE, manifest.CALC):
        anomalies.resolve_stage(run.db, key, stage, note, run.now)


def _current_tiers(db: Database, week: str) -> dict[str, Used]:
    """The current capture of each tier of the week for which it is measured."""
    rows = db.execute(
        """
        SELECT c.tier, c.capture_key, c.capture_id, m.metadata_json
        FROM finra_otc_transparency_current c
        JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'CALC'
        WHERE c.week_ending = ?
        """,
        (week,),
    ).fetchall()
    return {tier: Used(key, capture_id, json.loads(metadata)["ingest_no"]) for tier, key, capture_id, metadata in rows}


def _is_fresh(db: Database, week: str, made_from: dict[str, dict[str, object]]) -> bool:
    """Whether the week's current result was made from exactly these captures."""
    rows = db.execute("SELECT capture_id FROM finra_otc_transparency_current_week WHERE week_ending = ?", (week,))
    return is_made_from(manifest.week_rows(week, db), {capture_id for (capture_id,) in rows}, made_from)


def is_made_from(rows: Iterable[StageRow], current: Collection[str], made_from: Mapping[str, Mapping[str, object]]) -> bool:
    """Whether one of the week's current results, of its manifest rows, was made from exactly these captures."""
    return any(r.tier is None and r.capture_id in current and r.metadata.get("made_from") == made_from for r in rows)


def store_week(run: Run, result: WeekResult, made_from: Mapping[str, Mapping[str, object]]) -> None:
    """Stores the week's totals and tier split, from its tiers' measures, and their manifest row. Call it inside a transaction."""
    keys = result.keys
    tier_keys = tuple(keys[tier] for tier in TIERS)
    totals = {tier: _Totals._make(run.db.execute(_TIER_TOTALS, (keys[tier],)).fetchone()) for tier in TIERS}
    (symbols,) = run.db.execute(_SYMBOL_COUNT, tier_keys).fetchone()
    (venues,) = run.db.execute(_VENUE_COUNT, tier_keys).fetchone()
    shares, ats = _exact_sum([row.shares for row in totals.values()]), _exact_sum([row.ats_shares for row in totals.values()])
    notional, trades = _exact_sum([row.notional for row in totals.values()]), sum(row.trades for row in totals.values())
    identity, sums = (result.capture_id, result.week, result.run_date, result.captured_at), (shares, ats, trades, notional)
    (week_key,) = run.db.execute(_UPSERT_WEEK, (*identity, *tier_keys, *sums, symbols, venues)).fetchone()
    run.db.execute("DELETE FROM finra_otc_transparency_week_tier WHERE week_key = ?", (week_key,))
    run.db.bulk_insert(
        "finra_otc_transparency_week_tier",
        ("week_key", "tier", "total_shares", "total_trades", "total_notional", "share"),
        [(week_key, tier, t.shares, t.trades, t.notional, t.shares / shares if shares else None) for tier, t in totals.items()],
    )
    manifest.record_stage(
        run.db, manifest.CALC, result.week, result.capture_id, row_count=1 + len(TIERS), metadata={"made_from": made_from},
        captured_at=result.captured_at, now=run.now,
    )
    events.record(run.db, Kind.WEEK_MADE, result.week, run.stamp, result_id=result.capture_id, made_from=made_from)


def _exact_sum(values: list[float | None]) -> int | float | None:
    """A sum by millionths, so that no order of adding matters; None when any part is unknown."""
    from market_spine.parse.columns import millionths, whole_or_fraction

    known = [millionths(value) for value in values if value is not None]
    return whole_or_fraction(sum(known)) if len(known) == len(values) else None


_TIER_TOTALS = """
SELECT total_shares, ats_shares, total_trades, total_notional FROM finra_otc_transparency_tier_measure WHERE capture_key = ?
"""
_SYMBOL_COUNT = """
SELECT COUNT(DISTINCT i.symbol) FROM finra_otc_transparency_symbol_measure m
JOIN finra_otc_transparency_issue i ON i.issue_id = m.issue_id WHERE m.capture_key IN (?, ?, ?)
"""
_VENUE_COUNT = """
SELECT COUNT(*) FROM (
    SELECT DISTINCT v.venue_class, v.mpid, v.firm_crd, CASE WHEN v.mpid = '' AND v.firm_crd = 0 THEN v.venue_name ELSE '' END
    FROM finra_otc_transparency_venue_measure m JOIN finra_otc_transparency_venue v ON v.venue_id = m.venue_id
    WHERE m.capture_key IN (?, ?, ?)) AS venues
"""
_UPSERT_WEEK = """
INSERT INTO finra_otc_transparency_week (capture_id, week_ending, run_date, captured_at, nms_tier_1_key, nms_tier_2_key, otc_key,
    total_shares, ats_shares, total_trades, total_notional, symbol_count, venue_count)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (capture_id) DO UPDATE SET captured_at = excluded.captured_at, nms_tier_1_key = excluded.nms_tier_1_key,
    nms_tier_2_key = excluded.nms_tier_2_key, otc_key = excluded.otc_key, total_shares = excluded.total_shares,
    ats_shares = excluded.ats_shares, total_trades = excluded.total_trades, total_notional = excluded.total_notional,
    symbol_count = excluded.symbol_count, venue_count = excluded.venue_count
RETURNING week_key
"""
