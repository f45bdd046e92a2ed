"""Retry: runs exactly the partitions that failed in a run again, with its arguments and today.

Archived files are not of today: they are loaded again under the day they were observed on, or they would become current."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from market_spine.app.context import Limits, Run
from market_spine.app.pipelines import PIPELINES
from market_spine.app.plan import Plan, only
from market_spine.app.scheduler import Tell, run_schedule
from market_spine.app.source import Source
from market_spine.categories import Category
from market_spine.db import Database
from market_spine.errors import NOT_OF_THE_CONTENT, NotFound, UsageError
from market_spine.operate.runs import FAILED
from market_spine.outcome import Outcome, Phase
from market_spine.partition import DOMAIN, TIERS

AT_SOURCE, DAMAGED, LATER = "at_source", "damaged", "later"
REPEATABLE = ("weekly_schedule", "backfill", "import", "retry", "doctor --fix")


@dataclass(frozen=True, slots=True)
class Failed:
    """The failed tiers of a week: those to fetch, because the source failed or its content was refused; those to fetch again,
    because the stored bytes are damaged; and those with only later stages to repeat. Without any, only the week itself failed."""

    at_source: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    @property
    def asks_source(self) -> bool:
        return bool(self.at_source or self.damaged)

    def plans(self, week: date) -> list[Plan]:
        """The plans that repeat just that: all phases where something is fetched, else only those after INGEST."""
        plans = [Plan((week,), tiers) for tiers in (self.at_source, self.damaged) if tiers]
        plans += [Plan((week,), self.later, only(Phase.NORMALIZE))] if self.later else []
        return [*plans, Plan((week,), self.later, only(Phase.CALC))] if self.later or not plans else plans


@dataclass(frozen=True, slots=True)
class Retry:
    """What is to be repeated, and with what."""

    execution_id: str
    arguments: Mapping[str, Any]
    weeks: Mapping[date, Failed]

    @property
    def asks_source(self) -> bool:
        return any(failed.asks_source for failed in self.weeks.values())

    @property
    def source(self) -> tuple[str, str, int, bool, bool]:
        """The options --source, --data-dir, --max-file-mb, --allow-links and --keep-wire of the run that failed."""
        given = self.arguments
        return (
            given.get("source", "file"), given.get("data_dir", ""), given.get("max_file_mb", 512),
            given.get("allow_links", False), given.get("keep_wire", False),
        )

    @property
    def limits(self) -> Limits:
        given = self.arguments
        rejects, kept = given.get("max_reject_percent", 5) / 100, given.get("min_kept_percent", 50) / 100
        return Limits(rejects, kept, given.get("accept_shrink", False))

    @property
    def as_observed_on(self) -> str | None:
        """The past day under which the run that failed loaded archived files."""
        return self.arguments.get("as_observed_on")

    @property
    def force(self) -> bool:
        return bool(self.arguments.get("force"))

    def repeated(self) -> dict[str, object]:
        """The arguments of the run that repeats it."""
        return {**self.arguments, "retry_of": self.execution_id, "weeks": [str(week) for week in self.weeks]}


def find_failed(db: Database, execution_id: str) -> Retry:
    """What failed in a run; of a run that never finished, all of it. Raises NotFound, or UsageError where it ingests nothing."""
    row = db.execute(
        "SELECT arguments_json, outcomes_json, pipeline FROM core_executions WHERE execution_id = ?", (execution_id,)
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no run {execution_id}", hint="spine runs")
    arguments_json, outcomes_json, pipeline = row
    if pipeline not in REPEATABLE and pipeline.removeprefix(f"{DOMAIN}.") not in PIPELINES:
        raise UsageError(f"{execution_id} was a {pipeline}, which fetches nothing to repeat", hint="spine doctor")
    arguments, outcomes = json.loads(arguments_json), json.loads(outcomes_json) if outcomes_json else None
    weeks = _all(arguments) if outcomes is None else failed_of(outcomes)
    return Retry(execution_id, arguments, weeks)


def repeat(run: Run, source: Source | None, retry: Retry, tell: Tell) -> list[Outcome]:
    """Runs it, oldest week first."""
    outcomes = []
    for week, failed in retry.weeks.items():
        for plan in failed.plans(week):
            repeating = run.forced() if failed.damaged and plan.tiers == failed.damaged else run
            outcomes += run_schedule(repeating, source if Phase.INGEST in plan.phases else None, plan, tell).outcomes
    return outcomes


def failed_of(outcomes: Mapping[str, Any]) -> dict[date, Failed]:
    ways: dict[date, dict[str | None, str]] = {}
    for entry in outcomes.get("partitions", []):
        if entry["outcome"] in FAILED:
            ways.setdefault(date.fromisoformat(entry["week_ending"]), {}).setdefault(entry["tier"], _way(entry))
    return {
        week: Failed(**{way: tuple(tier for tier in TIERS if tiers.get(tier) == way) for way in (AT_SOURCE, DAMAGED, LATER)})
        for week, tiers in sorted(ways.items())
    }


def _way(entry: Mapping[str, Any]) -> str:
    """How a failed partition is repeated. Content that was refused once would be refused again, so it is fetched first."""
    phase = Phase(entry["phase"])
    if phase is Phase.INGEST:
        return AT_SOURCE
    if phase is Phase.CALC or entry.get("reason") in NOT_OF_THE_CONTENT:
        return LATER
    return DAMAGED if entry.get("reason") == Category.RAW_DAMAGED else AT_SOURCE


def _all(arguments: Mapping[str, Any]) -> dict[date, Failed]:
    tiers = tuple(arguments.get("tiers") or TIERS)
    return {date.fromisoformat(week): Failed(tiers) for week in sorted(arguments.get("weeks", []))}
