"""Which weeks and partitions were ready at a moment, and what blocked the others: the judgements of the log of events."""

from __future__ import annotations

import json
from collections.abc import Generator
from datetime import date
from typing import Any

from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.db import Database
from market_spine.query.views import View

Row = tuple[Any, ...]

READINESS = View("readiness", "week_ending, tier, is_ready, blocking_issues, judged_at", of_capture="", measured=False)


def answer(
    db: Database, weeks: tuple[date, ...] | None, tiers: tuple[str, ...], before: str | None
) -> Generator[Row, None, None]:
    """A row for each week (without a tier) and each of its partitions, by week: the last judgement before a moment (a stamp).

    Raises NotFound when the log began later.
    """
    if before is not None:
        events.check_began(db, before)
    rows = db.execute(
        """
        SELECT line FROM core_events WHERE json_extract(line, '$.kind') = ? AND json_extract(line, '$.at') < ? ORDER BY seq
        """,
        (Kind.READINESS_CHANGED.value, before or "9"),
    )
    judged = {entry["subject"]: entry for entry in (json.loads(line) for (line,) in rows)}
    asked = None if weeks is None else {str(week) for week in weeks}
    for subject in sorted(judged):
        week, _, tier = subject.partition("/")
        if (asked is None or week in asked) and (not tier or tier in tiers):
            entry = judged[subject]
            issues = "; ".join(entry["body"]["issues"]) or None
            yield week, tier or None, int(entry["body"]["ready"]), issues, entry["at"]
