"""What is new or changed in a source's folder outside a run's window: by name, size and time of change, then by content."""

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
    """What there is to compare, what there is to leave alone, and the files that match no partition."""

    changed: tuple[Partition, ...]
    left_alone: Mapping[Partition, str]
    unknown: tuple[str, ...]


def look(run: Run, source: Source, plan: Plan) -> Look | None:
    """Lists the folder and compares it with what was recorded; None for a source that has no folder. Writes nothing."""
    listing = source.listing()
    if listing is None:
        return None
    known = checks.recorded(run.db, source.name)
    outside = {p: said for p, said in listing.files.items() if p.tier in plan.tiers and _is_earlier(p, plan)}
    changed = {p: said for p, said in outside.items() if p not in known or known[p].fingerprint != said}
    seen_tiers = {partition.tier for partition in known}
    left_alone = _before(changed, {t: w for t, w in coverage.first_weeks(run.db, plan).items() if t not in seen_tiers})
    wanted = sorted(changed.keys() - left_alone.keys(), reverse=True)
    return Look(tuple(wanted), left_alone, listing.unknown)


def record(run: Run, source: Source, plan: Plan, seen: Look) -> None:
    """Notes what is left alone, so that it is taken once it changes, and keeps the anomaly of the unknown files up to date."""
    if seen.left_alone:
        with run.db.transaction():
            checks.record(run, source.name, seen.left_alone, None)
    if seen.unknown:
        names = {"files": list(seen.unknown[:1000])}
        anomalies.observe(run, Category.UNKNOWN_FILE, _oldest_week(run, plan), _message(seen.unknown), details=names)
    elif _stands_open(run):
        anomalies.resolve_category(run.db, Category.UNKNOWN_FILE, "no such file is left", run.now)


def remark(plan: Plan, seen: Look) -> Outcome:
    """The warning that names the unknown files; it changes no exit code."""
    message = f"{Category.UNKNOWN_FILE}: {_message(seen.unknown)}"
    hint = "name weekly files like nms_tier_1_week_2025-12-26.psv, or move these out of the data folder"
    return Outcome(Phase.INGEST, Status.WARNING, min(plan.weeks), None, message, category=Category.UNKNOWN_FILE, hint=hint)


def _is_earlier(partition: Partition, plan: Plan) -> bool:
    """Whether it lies outside the window; weeks after its newest are not taken before their time."""
    return partition.week_ending not in plan.weeks and partition.week_ending < max(plan.weeks)


def _before(changed: Mapping[Partition, str], first_weeks: Mapping[str, date]) -> dict[Partition, str]:
    """On the first look at a tier's files, those of weeks that nobody has asked for."""
    return {p: said for p, said in changed.items() if p.tier in first_weeks and p.week_ending < first_weeks[p.tier]}


def _message(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return f"files whose names match no partition: {shown}{more}"


def _oldest_week(run: Run, plan: Plan) -> date:
    """The oldest week asked for: it stays the same from run to run, so that the anomaly is one."""
    return min(coverage.first_weeks(run.db, plan).values())


def _stands_open(run: Run) -> bool:
    found = run.db.execute(
        "SELECT 1 FROM core_anomalies WHERE severity = 'WARN' AND resolved_at IS NULL AND category = ?",
        (Category.UNKNOWN_FILE.value,),
    )
    return found.fetchone() is not None
