"""What should be there by the publication calendar, against what is: for the API's doctor."""

from __future__ import annotations

from datetime import date
from typing import Any

from market_spine import manifest, pipelines, publication
from market_spine.db import Database
from market_spine.partition import TIERS, Partition, weeks_back
from market_spine.publication import PublicationState

_MADE_BY = {manifest.RAW: "ingest_week", manifest.NORMALIZED: "normalize_week", manifest.CALC: "compute_venue_volume"}


def examine(db: Database, weeks: int, run_date: date) -> list[dict[str, Any]]:
    """Every partition of the last so many weeks, newest first: its state, the stages it has, and what makes the next one."""
    found = []
    for week in weeks_back(weeks, run_date):
        stages = manifest.current_stages(manifest.week_rows(week, db))
        found += [_partition(Partition(week, tier), stages.get(tier, frozenset()), run_date) for tier in TIERS]
    return found


def _partition(partition: Partition, stages: frozenset[str], run_date: date) -> dict[str, Any]:
    lacking = next((stage for stage in _MADE_BY if stage not in stages), None)
    state, remedy = "complete", None
    if lacking == manifest.RAW:
        state = publication.state(partition, run_date).value
    elif lacking is not None:
        state = "incomplete"
    if lacking is not None and state != PublicationState.AWAITING.value:
        remedy = pipelines.command_for(_MADE_BY[lacking], partition.week_ending, partition.tier)
    return {
        "week_ending": partition.week, "tier": partition.tier, "state": state, "due": str(publication.due_date(partition)),
        "stages": [stage for stage in _MADE_BY if stage in stages], "gap": remedy is not None, "remedy": remedy,
    }  # fmt: skip
