"""The sweep: which partitions outside a run's window were revised since the last successful sweep.

FINRA revises in place and late: eight recorded revisions came 7 to 164 days after publication, and a window of six weeks
sees three of them. A tier counts as swept through a day only when its partitions of that run were all taken: what failed
is found again by the next sweep, also once it has left the window.
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
    """What is to be asked for a tier: weeks from the oldest we hold, rows updated since the last sweep."""

    tier: str
    first_week: date
    since: date


class Sweep(NamedTuple):
    """What was found, or why nothing could be. `tiers` are those that were asked for."""

    tiers: tuple[str, ...]
    partitions: tuple[Partition, ...] = ()
    problem: SourceError | None = None


def ask(run: Run, source: Source, weeks: Sequence[date], tiers: tuple[str, ...]) -> Sweep | None:
    """Asks the source, in one query; None for one that cannot tell. Writes nothing."""
    if not source.sweeps:
        return None
    last_week = min(weeks) - timedelta(weeks=1)
    scopes = {tier: scope for tier in tiers if (scope := _scope(run.db, tier, last_week))}
    if not scopes:
        return Sweep(tiers)
    since = min(scope.since for scope in scopes.values())
    first_week = min(scope.first_week for scope in scopes.values())
    try:
        found = source.revised_since(since, first_week, last_week)
    except SourceError as error:
        return Sweep(tiers, problem=error)
    ours = (p for p in found if p.tier in scopes and p.week_ending >= scopes[p.tier].first_week)
    return Sweep(tiers, tuple(sorted(ours, reverse=True)))


def outcome_of(problem: SourceError, weeks: Sequence[date]) -> Outcome:
    """A sweep that failed is a warning: the next one begins where the last good one ended."""
    failed = Category.SWEEP_FAILED
    message = f"{failed}: revisions of earlier weeks are not known: {problem.message}; the next run asks again"
    return Outcome(Phase.INGEST, Status.WARNING, min(weeks), None, message, category=failed, hint=problem.hint)


def note_problem(run: Run, outcome: Outcome) -> Outcome:
    """Keeps the warning as an anomaly until a sweep goes well."""
    anomalies.observe(run, Category.SWEEP_FAILED, outcome.week_ending, outcome.message)
    return outcome


def record(run: Run, tiers: Iterable[str]) -> None:
    """Tiers whose sweep and partitions all went well are swept through the run date; a replay of a past day moves nothing."""
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
    """None where nothing is held outside the window. Without a sweep so far, everything since the oldest capture counts."""
    week, run_date = db.execute(
        "SELECT MIN(week_ending), MIN(run_date) FROM finra_otc_transparency_capture WHERE tier = ? AND week_ending <= ?",
        (tier, last_week.isoformat()),
    ).fetchone()
    if week is None:
        return None
    swept = db.execute("SELECT swept_through FROM core_sweeps WHERE domain = ? AND tier = ?", (DOMAIN, tier)).fetchone()
    return Scope(tier, date.fromisoformat(week), date.fromisoformat(swept[0] if swept else run_date))
