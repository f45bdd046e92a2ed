"""What a case found, fit for JSON, and whether it is what was aimed at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.contest import Standing, ratios

OURS = "market-spine"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure aimed at: `found` must be at most `limit`, or at least it when `at_least`."""

    text: str
    found: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.found >= self.limit if self.at_least else self.found <= self.limit


@dataclass(slots=True)
class Finding:
    """A case's results: `rows` of a table (dictionaries with the same keys), remarks, goals, and every single sample."""

    case: str
    about: str
    rounds: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    samples: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("about", "rounds", "rows", "remarks", "samples")}
        return plain | {"goals": [asdict(goal) | {"met": goal.met} for goal in self.goals]}


def table(standings: Mapping[str, Standing], rows: int) -> list[dict[str, Any]]:
    """A line for each contestant; the ratios are ours ÷ theirs."""
    ours = standings[OURS]
    return [_line(ours, standing, rows) for standing in standings.values()]


def samples(standings: Mapping[str, Standing]) -> dict[str, list[dict[str, float]]]:
    return {name: [asdict(usage) for usage in standing.usages] for name, standing in standings.items()}


def _line(ours: Standing, theirs: Standing, rows: int) -> dict[str, Any]:
    if theirs.absent:
        return {"what": theirs.name, "CPU s": theirs.absent}
    line: dict[str, Any] = {
        "what": theirs.name,
        "CPU s": round(theirs.middle("cpu"), 3),
        "wall s": round(theirs.middle("wall"), 3),
        "peak MB": round(theirs.middle("peak_mb"), 1),
    }
    if theirs is not ours:
        line["ours ÷ its CPU"] = round(ratios(ours, theirs, "cpu"), 3)
        line["ours ÷ its wall"] = round(ratios(ours, theirs, "wall"), 3)
    if theirs.database_bytes and rows:
        line |= {"bytes a row": round(theirs.database_bytes / rows, 1), "rows/s": round(rows / theirs.middle("wall"))}
    return line
