"""Which items to enqueue: one pipeline of every tier, or everything that is due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from market_spine.app.pipelines import PIPELINES, STAGES
from market_spine.calendar.publication import EXCHANGE, Calendar, awaited
from market_spine.partition import TIERS, Partition
from market_spine.work.item import Request


def of_every_tier(request: dict[str, object]) -> list[Request]:
    """The request; without a tier, where its pipeline needs one, one for each tier. Raises UsageError."""
    pipeline = PIPELINES.get(str(request["pipeline"]))
    tiers: Iterable[str | None] = TIERS if pipeline and not pipeline.of_week and request["tier"] is None else [None]
    return [Request(**request | ({"tier": tier} if tier else {})) for tier in tiers]  # type: ignore[arg-type]


def due(weeks: Sequence[date], day: date, priority: int = 0, calendar: Calendar = EXCHANGE) -> list[Request]:
    """Every pipeline of what is published by that day; those of a week once all its tiers are. An earlier stage has the higher
    priority. What has ended is done again: ingest finds the revisions, the others skip what is up to date."""
    published = [(week, tier) for week in weeks for tier in TIERS if not awaited(Partition(week, tier), day, calendar)]
    whole = [(week, None) for week in weeks if all((week, tier) in published for tier in TIERS)]
    requests: list[Request] = []
    for rank, (name, pipeline) in enumerate(STAGES.items()):
        keys: Sequence[tuple[date, str | None]] = whole if pipeline.of_week else published
        requests += [Request(name, week, tier, priority=priority - rank, rerun=True) for week, tier in keys]
    return requests
