"""Runs the four phases in this process: what the command does once its options are read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from market_spine import clock
from market_spine.app.context import Expectations, Run
from market_spine.app.plan import OPEN_WEEKS, phases_of
from market_spine.app.scheduler import Plan, Result, run_schedule
from market_spine.app.source import Source
from market_spine.db import Database
from market_spine.outcome import Phase, Status
from market_spine.partition import TIERS, weeks_back


def schedule(
    db: Database, source: Source, day: date, *, weeks: Sequence[date] | None = None, tiers: tuple[str, ...] = TIERS,
    dry: bool = False, force: bool = False, sweeps: bool = True, only: str = "all", open_weeks: int = OPEN_WEEKS,
    **expected: Any,
) -> Result:
    """One run of that day over those weeks, or the last six."""
    run = Run(db, day, clock.moment_of(day), f"run-{day}", force=force, expected=Expectations(**expected), dry=dry)
    plan = Plan(tuple(weeks or weeks_back(6, day)), tiers, phases_of(only), sweeps=sweeps, open_weeks=open_weeks)
    return run_schedule(run, source, plan, lambda outcome: None)


def ingested(result: Result) -> dict[str, tuple[Status, str | None]]:
    """Partition → how it fared in the ingest phase, and why."""
    return {outcome.where: (outcome.status, outcome.reason) for outcome in result.of(Phase.INGEST)}


def open_anomalies(db: Database) -> list[tuple[str, str, str]]:
    """(severity, category, partition_key) of what stands open, gravest first."""
    rows = db.execute(
        "SELECT severity, category, partition_key FROM core_anomalies WHERE resolved_at IS NULL ORDER BY severity, category, id"
    ).fetchall()
    return [tuple(row) for row in rows]
