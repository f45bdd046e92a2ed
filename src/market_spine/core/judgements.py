"""readiness.changed: what was judged of a week and its tiers, written as one event where they changed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.db import Connection


class Judged(NamedTuple):
    """Whether a week, or a partition of it, was ready, and what blocked it."""

    is_ready: bool
    issues: tuple[str, ...]


def record(connection: Connection, issues: Mapping[str, Sequence[str]], at: str) -> None:
    """Records what blocks each subject that changed: one event for a week and the tiers that changed with it; where only tiers
    did, one for each."""
    week = next((subject for subject in issues if "/" not in subject), None)
    if week is None:
        for subject, blocking in issues.items():
            events.record(connection, Kind.READINESS_CHANGED, subject, at, **_facts(blocking))
        return
    tiers = {subject.partition("/")[2]: _facts(blocking) for subject, blocking in issues.items() if subject != week}
    events.record(connection, Kind.READINESS_CHANGED, week, at, **_facts(issues[week]), **({"tiers": tiers} if tiers else {}))


def read(entry: Mapping[str, Any]) -> dict[str, Judged]:
    """By subject, what such an event says."""
    subject, body = entry["subject"], entry["body"]
    of_tiers = {f"{subject}/{tier}": facts for tier, facts in body.get("tiers", {}).items()}
    return {name: Judged(facts["ready"], tuple(facts["issues"])) for name, facts in {subject: body, **of_tiers}.items()}


def _facts(issues: Sequence[str]) -> dict[str, object]:
    return {"ready": not issues, "issues": list(issues)}
