"""Retry: exactly what failed in a run, again, with its run date and its arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from market_spine.app.run import Run
from market_spine.app.scheduler import Plan, Tell, run_schedule
from market_spine.app.source import Source
from market_spine.db import Database
from market_spine.errors import NotFound, UsageError
from market_spine.outcome import Outcome, Phase
from market_spine.partition import DOMAIN, TIERS

_REPEATABLE = ("weekly_schedule", "backfill", "retry", "doctor --fix")


@dataclass(frozen=True, slots=True)
class Failed:
    """The tiers of a week that failed: at the source, or later, with their bytes in. Neither where only the week itself did."""

    at_source: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    def plans(self, week: date) -> list[Plan]:
        """What repeats just that: the whole way for the first, only what follows the bytes for the others."""
        plans = [Plan((week,), self.at_source)] if self.at_source else []
        plans += [Plan((week,), self.later, "normalize")] if self.later else []
        return [*plans, Plan((week,), self.later, "calc")] if self.later or not plans else plans


@dataclass(frozen=True, slots=True)
class Retry:
    """What is to be repeated, and with what."""

    execution_id: str
    run_date: date
    arguments: Mapping[str, Any]
    weeks: Mapping[date, Failed]


def find_failed(db: Database, execution_id: str) -> Retry:
    """What failed in a run; of a run that never finished, all of it. Raises NotFound, or UsageError for what is no ingest."""
    row = db.execute(
        "SELECT run_date, arguments_json, outcomes_json, pipeline FROM core_executions WHERE execution_id = ?", (execution_id,)
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no run {execution_id}", hint="SELECT execution_id, started_at, exit_code FROM core_executions")
    if row[3] not in _REPEATABLE and not row[3].startswith(f"{DOMAIN}."):
        raise UsageError(f"{execution_id} was a {row[3]}", hint=f"run spine {row[3]} again")
    arguments, outcomes = json.loads(row[1]), json.loads(row[2]) if row[2] else None
    weeks = _all(arguments) if outcomes is None else _failed(outcomes)
    return Retry(execution_id, date.fromisoformat(row[0]), arguments, weeks)


def repeat(run: Run, source: Source | None, retry: Retry, tell: Tell) -> list[Outcome]:
    """Runs it, oldest week first."""
    outcomes = []
    for week, failed in retry.weeks.items():
        for plan in failed.plans(week):
            outcomes += run_schedule(run, source if Phase.INGEST in plan.phases else None, plan, tell).outcomes
    return outcomes


def _failed(outcomes: Mapping[str, Any]) -> dict[date, Failed]:
    found: dict[date, dict[str | None, str]] = {}
    for entry in outcomes.get("partitions", []):
        if entry["outcome"] == "failed":
            found.setdefault(date.fromisoformat(entry["week_ending"]), {}).setdefault(entry["tier"], entry["phase"])
    return {
        week: Failed(
            tuple(tier for tier in TIERS if tiers.get(tier) == "ingest"),
            tuple(tier for tier in TIERS if tiers.get(tier) in ("normalize", "calc")),
        )
        for week, tiers in sorted(found.items())
    }


def _all(arguments: Mapping[str, Any]) -> dict[date, Failed]:
    tiers = tuple(arguments.get("tiers") or TIERS)
    return {date.fromisoformat(week): Failed(tiers) for week in sorted(arguments.get("weeks", []))}
