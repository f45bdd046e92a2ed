"""Which weeks and partitions were ready at a moment, and what blocked the others: the judgements of the log of events."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from datetime import date
from typing import Any, NamedTuple

from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.db import Database
from market_spine.query.views import View

Row = tuple[Any, ...]

READINESS = View("readiness", "week_ending, tier, is_ready, blocking_issues, judged_at", of_capture="", measured=False)


class Judgement(NamedTuple):
    """That a week, or with a tier one of its partitions, was judged; `seq` is its event."""

    seq: int
    week: str
    tier: str
    is_ready: int
    blocking_issues: str | None
    judged_at: str


def answer(
    db: Database, weeks: tuple[date, ...] | None, tiers: tuple[str, ...], before: str | None
) -> Generator[Row, None, None]:
    """A row for each week (without a tier) and each of its partitions, by week: the last judgement before a moment (a stamp).

    Raises NotFound when the log began later.
    """
    if before is not None:
        events.check_began(db, before)
    judged = {(judged.week, judged.tier): judged for judged in judgements(db, before)}
    asked = None if weeks is None else {str(week) for week in weeks}
    for week, tier in sorted(judged):
        if (asked is None or week in asked) and (not tier or tier in tiers):
            last = judged[week, tier]
            yield week, tier or None, last.is_ready, last.blocking_issues, last.judged_at


def judgements(db: Database, before: str | None = None) -> Iterator[Judgement]:
    """Every judgement before a moment (a stamp), oldest first."""
    rows = db.execute(
        """
        SELECT line FROM core_events WHERE json_extract(line, '$.kind') = ? AND json_extract(line, '$.at') < ? ORDER BY seq
        """,
        (Kind.READINESS_CHANGED.value, before or "9"),
    )
    for entry in (json.loads(line) for (line,) in rows):
        week, _, tier = entry["subject"].partition("/")
        issues = "; ".join(entry["body"]["issues"]) or None
        yield Judgement(entry["seq"], week, tier, int(entry["body"]["ready"]), issues, entry["at"])
