"""Rebuild: drops NORMALIZED and CALC and makes them again from the RAW bytes alone. Queries as of any day do not change.

A capture is rebuilt in one transaction, under its old dates; one that cannot be rebuilt (its bytes are damaged) keeps its rows.
What was never normalized is left to the next run: a whole capture, or a replay that waits beside the rows of another content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from typing import NamedTuple

from market_spine.app import calc, normalize, windows
from market_spine.app.calc import WeekResult
from market_spine.app.context import Run
from market_spine.app.scheduler import follow_windows, guarded
from market_spine.core import anomalies, manifest
from market_spine.core.captures import Capture
from market_spine.db import Database, Tell, silent
from market_spine.errors import PartitionError
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, Partition


def rebuild(
    run: Run, week: date | None, tell: Callable[[Outcome], None] = lambda outcome: None, done: Tell = silent
) -> list[Outcome]:
    """Rebuilds every capture of a week (of all weeks), the week-level results and the windows; returns the outcomes. `done`
    counts weeks."""
    outcomes = []
    weeks = [week] if week else _weeks(run.db)
    for number, of_week in enumerate(weeks, 1):
        for outcome in (*_remake_captures(run, of_week), *_remake_results(run, of_week)):
            outcomes.append(outcome)
            tell(outcome)
        done(number, len(weeks))
    outcomes += _remake_windows(run, outcomes)
    return outcomes


def _remake_windows(run: Run, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Computes the windows of the rebuilt weeks again; only a failure is an outcome."""
    weeks = {outcome.week_ending.isoformat() for outcome in outcomes if outcome.status is Status.DONE}
    if not weeks:
        return []
    first = date.fromisoformat(min(weeks))
    remade = guarded(run, Phase.CALC, first, partial(windows.remake, run, first, weeks))
    return [remade] if remade.status is Status.FAILED else list(follow_windows(run, first))


def _weeks(db: Database) -> list[date]:
    rows = db.execute("SELECT DISTINCT week_ending FROM finra_otc_transparency_capture ORDER BY week_ending").fetchall()
    return [date.fromisoformat(week) for (week,) in rows]


def _remake_captures(run: Run, week: date) -> Iterator[Outcome]:
    for capture, normalized_at in _normalized(run.db, week):
        yield guarded(run, Phase.NORMALIZE, capture.partition, partial(_remake_capture, run, capture, normalized_at))


def _remake_capture(run: Run, capture: Capture, normalized_at: str) -> Outcome:
    try:
        with run.db.transaction():
            facts = normalize.remake(run, capture, normalized_at)
            calc.remake(run, capture, facts)
            note = f"rebuilt from its bytes on {run.run_date}"
            anomalies.resolve_damage(run.db, capture.partition.key, capture.capture_id, note, run.now)
            run.judge(capture.partition.week_ending)
    except BaseException as error:
        run.dimensions.forget()
        if isinstance(error, PartitionError):
            error.capture_id = capture.capture_id
        raise
    rows = len(facts.shares)
    message = f"Rebuilt {rows:,} rows from {capture.content_hash[:8]} (capture …:{capture.capture_id[-8:]})"
    return Outcome.of(Phase.NORMALIZE, Status.DONE, capture.partition, message, capture_id=capture.capture_id, rows=rows)


class _Row(NamedTuple):
    """A normalized capture beside its RAW and NORMALIZED rows of core_manifest."""

    capture_key: int
    capture_id: str
    tier: str
    run_date: str
    captured_at: str
    content_hash: str
    raw: str
    done: str | None
    normalized_at: str


def _normalized(db: Database, week: date) -> list[tuple[Capture, str]]:
    """The normalized captures, withdrawn ones too, each with the content of its rows and the time of normalization."""
    rows = db.execute(
        """
        SELECT c.capture_key, c.capture_id, c.tier, c.run_date, c.captured_at, c.content_hash, raw.metadata_json,
               done.metadata_json, c.normalized_at
        FROM finra_otc_transparency_capture c
        JOIN core_manifest raw ON raw.capture_id = c.capture_id AND raw.stage = 'RAW'
        LEFT JOIN core_manifest done ON done.capture_id = c.capture_id AND done.stage = 'NORMALIZED'
        WHERE c.week_ending = ? AND c.normalized_at IS NOT NULL ORDER BY c.run_date, c.tier
        """,
        (week.isoformat(),),
    ).fetchall()
    normalized = []
    for row in map(_Row._make, rows):
        made_of = json.loads(row.done or row.raw)["ingest_no"]
        own = (row.capture_key, row.capture_id, Partition(week, row.tier), row.run_date, row.captured_at, row.content_hash)
        normalized.append((Capture(*own, made_of, made_of), row.normalized_at))
    return normalized


def _remake_results(run: Run, week: date) -> Iterator[Outcome]:
    for result, made_from in _results(run.db, week):
        yield guarded(run, Phase.CALC, week, partial(_remake_result, run, week, result, made_from))


def _remake_result(run: Run, week: date, result: WeekResult, made_from: dict[str, dict[str, object]]) -> Outcome:
    with run.db.transaction():
        calc.store_week(run, result, made_from)
        run.judge(week)
    message = f"Rebuilt week totals and tier split (…:{result.capture_id[-8:]})"
    return Outcome(Phase.CALC, Status.DONE, week, None, message, capture_id=result.capture_id)


class _WeekRow(NamedTuple):
    """A week-level result, with the key of the capture of each tier."""

    capture_id: str
    week: str
    run_date: str
    captured_at: str
    nms_tier_1_key: int
    nms_tier_2_key: int
    otc_key: int

    def result(self) -> WeekResult:
        keys = {NMS_TIER_1: self.nms_tier_1_key, NMS_TIER_2: self.nms_tier_2_key, OTC: self.otc_key}
        return WeekResult(self.capture_id, self.week, self.run_date, self.captured_at, keys)


def _results(db: Database, week: date) -> list[tuple[WeekResult, dict[str, dict[str, object]]]]:
    """The week's results whose captures are all still measured (a pruned one leaves its results as they are)."""
    measured = {
        key: {"capture_id": capture_id, "ingest_no": json.loads(metadata)["ingest_no"]}
        for key, capture_id, metadata in db.execute(
            """
            SELECT c.capture_key, c.capture_id, m.metadata_json FROM finra_otc_transparency_capture c
            JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = ? WHERE c.week_ending = ?
            """,
            (manifest.CALC, week.isoformat()),
        )
    }
    rows = db.execute(
        """
        SELECT capture_id, week_ending, run_date, captured_at, nms_tier_1_key, nms_tier_2_key, otc_key
        FROM finra_otc_transparency_week WHERE week_ending = ? ORDER BY run_date
        """,
        (week.isoformat(),),
    ).fetchall()
    results = (_WeekRow._make(row).result() for row in rows)
    return [
        (result, {tier: measured[key] for tier, key in result.keys.items()})
        for result in results
        if measured.keys() >= set(result.keys.values())
    ]
