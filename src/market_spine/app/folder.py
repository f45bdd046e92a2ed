"""What is new or changed in a source's folder outside a run's window: by name, size and modification time, then by content."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from market_spine.app import checks, coverage
from market_spine.app.context import Run
from market_spine.app.plan import Plan
from market_spine.app.source import Source
from market_spine.categories import Category
from market_spine.core import anomalies
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import Partition

_NAMES_SHOWN = 5


class Look(NamedTuple):
    """The partitions to compare, those to leave alone, and the files that match no partition."""

    changed: tuple[Partition, ...]
    left_alone: Mapping[Partition, str]
    unknown: tuple[str, ...]


def look(run: Run, source: Source, plan: Plan) -> Look | None:
    """Lists the folder and compares it with what was recorded; None for a source that has no folder. Writes nothing."""
    listing = source.listing()
    if listing is None:
        return None
    known = checks.recorded(run.db, source.name)
    outside = {p: mark for p, mark in listing.files.items() if p.tier in plan.tiers and _is_earlier(p, plan)}
    changed = {p: mark for p, mark in outside.items() if p not in known or known[p].fingerprint != mark}
    seen_tiers = {partition.tier for partition in known}
    left_alone = _before(changed, {t: w for t, w in coverage.first_weeks(run.db, plan).items() if t not in seen_tiers})
    wanted = sorted(changed.keys() - left_alone.keys(), reverse=True)
    return Look(tuple(wanted), left_alone, listing.unknown)


def record(run: Run, source: Source, plan: Plan, seen: Look) -> None:
    """Records what is left alone, so that it is ingested once it changes, and updates the anomaly of the unknown files."""
    if seen.left_alone:
        with run.db.transaction():
            checks.record(run, source.name, seen.left_alone, None)
    if seen.unknown:
        names = {"files": list(seen.unknown[:1000])}
        anomalies.observe(run, Category.UNKNOWN_FILE, _oldest_week(run, plan), _message(seen.unknown), details=names)
    elif _is_reported(run):
        anomalies.resolve_category(run.db, Category.UNKNOWN_FILE, "no such file is left", run.now)


def remark(plan: Plan, seen: Look) -> Outcome:
    """The warning that names the unknown files; it does not change the exit code."""
    message = f"{Category.UNKNOWN_FILE}: {_message(seen.unknown)}"
    hint = "rename a weekly file with spine import; move others out of the data folder"
    return Outcome(Phase.INGEST, Status.WARNING, min(plan.weeks), None, message, category=Category.UNKNOWN_FILE, hint=hint)


def _is_earlier(partition: Partition, plan: Plan) -> bool:
    """Whether it lies before the newest week and outside the window; weeks after the newest are not ingested early."""
    return partition.week_ending not in plan.weeks and partition.week_ending < max(plan.weeks)


def _before(changed: Mapping[Partition, str], first_weeks: Mapping[str, date]) -> dict[Partition, str]:
    """Of a tier whose files are listed for the first time, those of weeks that nobody has requested."""
    return {p: mark for p, mark in changed.items() if p.tier in first_weeks and p.week_ending < first_weeks[p.tier]}


def _message(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return f"files whose names match no partition: {shown}{more}"


def _oldest_week(run: Run, plan: Plan) -> date:
    """The oldest week requested: it stays the same from run to run, so that there is one anomaly."""
    return min(coverage.first_weeks(run.db, plan).values())


def _is_reported(run: Run) -> bool:
    """Whether an anomaly of unknown files is open."""
    row = run.db.execute(
        "SELECT 1 FROM core_anomalies WHERE severity = 'WARN' AND resolved_at IS NULL AND category = ?",
        (Category.UNKNOWN_FILE.value,),
    ).fetchone()
    return row is not None
