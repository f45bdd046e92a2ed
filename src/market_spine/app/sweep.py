"""The sweep: which partitions outside a run's window were revised since the last successful sweep.

FINRA revises in place and late: eight recorded revisions came 7 to 164 days after publication, and a window of six weeks
covers three of them. A tier counts as swept through a day only when all its partitions of that run were stored: the next
sweep lists again what failed, even after it has left the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from market_spine.app.context import Run
from market_spine.app.source import Source
from market_spine.categories import Category
from market_spine.core import anomalies
from market_spine.db import Database
from market_spine.errors import SourceError
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import DOMAIN, Partition


class Scope(NamedTuple):
    """What to query for a tier: weeks from the oldest stored one, rows updated since the last sweep."""

    tier: str
    first_week: date
    since: date


class Sweep(NamedTuple):
    """The revised partitions of `tiers`, or the problem with the query."""

    tiers: tuple[str, ...]
    partitions: tuple[Partition, ...] = ()
    problem: SourceError | None = None


def ask(run: Run, source: Source, weeks: Sequence[date], tiers: tuple[str, ...]) -> Sweep | None:
    """Queries the source once; None for one that cannot list revisions. Writes nothing."""
    if not source.sweeps:
        return None
    last_week = min(weeks) - timedelta(weeks=1)
    scopes = {tier: scope for tier in tiers if (scope := _scope(run.db, tier, last_week))}
    if not scopes:
        return Sweep(tiers)
    since = min(scope.since for scope in scopes.values())
    first_week = min(scope.first_week for scope in scopes.values())
    try:
        revised = source.revised_since(since, first_week, last_week)
    except SourceError as error:
        return Sweep(tiers, problem=error)
    ours = (p for p in revised if p.tier in scopes and p.week_ending >= scopes[p.tier].first_week)
    return Sweep(tiers, tuple(sorted(ours, reverse=True)))


def outcome_of(problem: SourceError, weeks: Sequence[date]) -> Outcome:
    """A sweep that failed is a warning: the next one starts where the last successful one ended."""
    failed = Category.SWEEP_FAILED
    message = f"{failed}: revisions of earlier weeks are not known: {problem.message}; the next run tries again"
    return Outcome(Phase.INGEST, Status.WARNING, min(weeks), None, message, category=failed, hint=problem.hint)


def note_problem(run: Run, outcome: Outcome) -> Outcome:
    """Records the warning as an anomaly, which stays open until a sweep succeeds."""
    anomalies.observe(run, Category.SWEEP_FAILED, outcome.week_ending, outcome.message)
    return outcome


def record(run: Run, tiers: Iterable[str]) -> None:
    """Marks tiers as swept through the run date; a replay of a past day moves no date back."""
    with run.db.transaction():
        for tier in tiers:
            run.db.execute(
                """
                INSERT INTO core_sweeps (domain, tier, swept_through, execution_id, updated_at) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (domain, tier) DO UPDATE SET
                    swept_through = excluded.swept_through, execution_id = excluded.execution_id, updated_at = excluded.updated_at
                WHERE excluded.swept_through > core_sweeps.swept_through
                """,
                (DOMAIN, tier, run.run_date.isoformat(), run.execution_id, run.stamp),
            )
        anomalies.resolve_category(run.db, Category.SWEEP_FAILED, "a later sweep went well", run.now)


def _scope(db: Database, tier: str, last_week: date) -> Scope | None:
    """None where nothing is stored outside the window. Before the first sweep, everything since the oldest capture counts."""
    week, run_date = db.execute(
        "SELECT MIN(week_ending), MIN(run_date) FROM finra_otc_transparency_capture WHERE tier = ? AND week_ending <= ?",
        (tier, last_week.isoformat()),
    ).fetchone()
    if week is None:
        return None
    row = db.execute("SELECT swept_through FROM core_sweeps WHERE domain = ? AND tier = ?", (DOMAIN, tier)).fetchone()
    (since,) = row or (run_date,)
    return Scope(tier, date.fromisoformat(week), date.fromisoformat(since))
