"""What a content was judged by, as it is stored: the contents by capture and hash, the decisions and the limits."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple

from market_spine.core.captures import Current
from market_spine.core.holds import Hold
from market_spine.gates.past import Limits, Other, Past, Week
from market_spine.partition import Partition

Names = list[tuple[str, str]]


class Inputs(NamedTuple):
    """What a content was judged by; other contents by capture id and hash."""

    weeks: Names
    others: Names
    replaced: Names
    current: Current | None
    twin: Partition | None
    decision: Hold | None
    levels: list[date]
    limits: Limits


def past_json(past: Past, limits: Limits) -> str:
    """The text that `read` reads."""
    current = past.current
    document = {
        "weeks": _names(past.weeks), "others": _names(past.others), "replaced": _names([past.replaced] if past.replaced else []),
        "current": None if current is None else [current.capture_id, current.row_count, float(current.total_shares)],
        "twin": None if past.twin is None else [past.twin.week, past.twin.tier],
        "decision": None if past.decision is None else list(past.decision),
        "levels": [day.isoformat() for day in past.levels], "limits": list(limits),
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True)


def read(text: str) -> Inputs:
    """What a content was judged by."""
    known: dict[str, Any] = json.loads(text)
    weeks, others, replaced = ([(name, content) for name, content in known[key]] for key in ("weeks", "others", "replaced"))
    twin, current, decision = known["twin"], known["current"], known["decision"]
    return Inputs(
        weeks, others, replaced,
        Current(*current) if current else None,
        Partition(date.fromisoformat(twin[0]), twin[1]) if twin else None,
        Hold(*decision) if decision else None,
        [date.fromisoformat(day) for day in known["levels"]],
        Limits(*known["limits"]),
    )


def _names(contents: Iterable[Week | Other]) -> Names:
    return [(content.capture_id, content.content_hash) for content in contents]
