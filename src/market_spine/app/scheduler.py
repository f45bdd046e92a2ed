"""The four phases over all partitions, in order; the run, its result and its exit code.

The names imported here are promised to be found here; they are the functions the run itself works with.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import NamedTuple

from market_spine import anomalies, clock, manifest
from market_spine.anomalies import record_anomaly
from market_spine.app import calc, ingest, normalize, readiness, sweep
from market_spine.app.readiness import evaluate_readiness
from market_spine.app.run import Run
from market_spine.app.source import Source
from market_spine.errors import ConfigurationError, DatabaseError, DatabaseLost, MarketSpineError, PartitionError, RunLocked
from market_spine.manifest import (
    check_revision_needed_via_hash,
    check_revision_needed_via_metadata,
    check_stage_ready,
    check_tier_completeness,
    compute_content_hash,
)
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import Partition, generate_capture_id, parse_week_list, partition_key, weeks_back

__all__ = [
    "calculate_target_weeks",
    "check_revision_needed_via_hash",
    "check_revision_needed_via_metadata",
    "check_stage_ready",
    "check_tier_completeness",
    "compute_content_hash",
    "evaluate_readiness",
    "generate_capture_id",
    "guarded",
    "parse_week_list",
    "record_anomaly",
    "run_schedule",
]

log = logging.getLogger("market_spine")

STAGE_OF_PHASE = {Phase.INGEST: manifest.RAW, Phase.NORMALIZE: manifest.NORMALIZED, Phase.CALC: manifest.CALC}
PHASES_OF_STAGE = {
    "ingest": (Phase.INGEST, Phase.READINESS),
    "normalize": (Phase.NORMALIZE, Phase.READINESS),
    "calc": (Phase.CALC, Phase.READINESS),
    "readiness": (Phase.READINESS,),
    "all": (Phase.INGEST, Phase.NORMALIZE, Phase.CALC, Phase.READINESS),
}

Tell = Callable[[Outcome], None]


def calculate_target_weeks(lookback_weeks: int, reference_date: date | None = None) -> list[date]:
    """The last `lookback_weeks` Fridays up to and including the reference (default: today in New York), newest first."""
    return weeks_back(lookback_weeks, reference_date or clock.market_date())


class Plan(NamedTuple):
    """What a run is to look at: weeks × tiers, and which phases."""

    weeks: tuple[date, ...]
    tiers: tuple[str, ...]
    only_stage: str = "all"
    fail_fast: bool = False
    sweeps: bool = False  # also what was revised outside these weeks
    revised: tuple[Partition, ...] = ()

    @property
    def partitions(self) -> list[Partition]:
        return [Partition(week, tier) for week in self.weeks for tier in self.tiers] + list(self.revised)

    @property
    def all_weeks(self) -> tuple[date, ...]:
        """The weeks, and those of the revised partitions."""
        return tuple(dict.fromkeys((*self.weeks, *(partition.week_ending for partition in self.revised))))

    @property
    def asks_for_revisions(self) -> bool:
        return self.sweeps and Phase.INGEST in self.phases

    @property
    def phases(self) -> tuple[Phase, ...]:
        return PHASES_OF_STAGE[self.only_stage]


@dataclass(slots=True)
class Result:
    """What a run did: every outcome, in order."""

    plan: Plan
    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, phase: Phase, *statuses: Status) -> int:
        return sum(outcome.phase is phase and outcome.status in statuses for outcome in self.outcomes)

    def of(self, phase: Phase) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.phase is phase]

    @property
    def exit_code(self) -> int:
        """0 all well, 1 some partitions failed, 2 every partition failed that could have been there."""
        failed = {outcome.where for outcome in self.outcomes if outcome.status is Status.FAILED}
        if not failed:
            return 0
        awaited = {outcome.where for outcome in self.outcomes if outcome.status is Status.AWAITING}
        return 2 if {str(partition) for partition in self.plan.partitions} - awaited <= failed else 1


class _Stop(Exception):
    """--fail-fast met a failure."""


def run_schedule(run: Run, source: Source | None, plan: Plan, tell: Tell) -> Result:
    """Walks the phases. One partition's failure stops no other; every outcome is told as it happens."""
    swept = sweep.ask(run, source, plan.weeks, plan.tiers) if source and plan.asks_for_revisions else None
    plan = plan._replace(revised=swept.partitions) if swept else plan
    result = Result(plan)

    def note(outcome: Outcome) -> None:
        result.outcomes.append(outcome)
        tell(outcome)
        if plan.fail_fast and outcome.status is Status.FAILED:
            raise _Stop

    try:
        if swept and swept.problem:
            note(sweep.note_problem(run, sweep.outcome_of(swept.problem, plan.weeks)))
        for phase in plan.phases:
            for outcome in _PHASES[phase](run, source, plan):
                note(outcome)
            if phase is Phase.INGEST and swept and not swept.problem:
                failed = {outcome.tier for outcome in result.of(phase) if outcome.status is Status.FAILED}
                sweep.record(run, [tier for tier in swept.tiers if tier not in failed])
    except _Stop:
        for outcome in _readiness(run, source, plan):
            result.outcomes.append(outcome)
            tell(outcome)
    return result


def _ingest(run: Run, source: Source | None, plan: Plan) -> Iterator[Outcome]:
    if source is None:
        raise ValueError("the ingest phase needs a source")
    for partition in plan.partitions:
        work = partial(_ingest_partition, run, source, partition, swept=partition in plan.revised)
        yield guarded(run, Phase.INGEST, partition, work)


def _ingest_partition(run: Run, source: Source, partition: Partition, *, swept: bool) -> Outcome:
    return ingest.carry_out(run, ingest.decide(run, source, partition, swept=swept))


def _normalize(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for partition in plan.partitions if plan.only_stage == "normalize" else ():
        if not check_stage_ready(partition.week, partition.tier, manifest.RAW, run.db):
            yield Outcome.of(Phase.NORMALIZE, Status.WARNING, partition, "RAW stage missing, nothing to normalize")
    pending = [capture for partition in plan.partitions for capture in normalize.pending(run, partition)]
    for capture in pending:
        yield guarded(run, Phase.NORMALIZE, capture.partition, partial(normalize.normalize, run, capture))


def _calc(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for partition in plan.partitions:
        for capture in calc.pending(run, partition):
            yield guarded(run, Phase.CALC, partition, partial(calc.measure, run, capture))
    for week in plan.all_weeks:
        yield guarded(run, Phase.CALC, week, partial(calc.measure_week, run, week))


def _readiness(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for week in plan.all_weeks:
        judged = evaluate_readiness(week, run.db, readiness.READY_FOR, now=run.now, calendar=run.expected.calendar)
        status = Status.READY if judged.is_ready else Status.NOT_READY
        message = "Ready" if judged.is_ready else f"Not ready: {'; '.join(judged.blocking_issues)}"
        yield Outcome(Phase.READINESS, status, week, None, message, details={"blocking_issues": judged.blocking_issues})


_PHASES: dict[Phase, Callable[[Run, Source | None, Plan], Iterator[Outcome]]] = {
    Phase.INGEST: _ingest,
    Phase.NORMALIZE: _normalize,
    Phase.CALC: _calc,
    Phase.READINESS: _readiness,
}


def guarded(run: Run, phase: Phase, where: Partition | date, work: Callable[[], Outcome]) -> Outcome:
    """The one place where a partition's failure is caught: logged, recorded as an anomaly, counted."""
    try:
        return work()
    except DatabaseLost as error:
        run.db.reconnect()  # raises when the database stays away: then the run ends
        run.dimensions.forget()
        return _failed(run, phase, where, "DATABASE_LOST", error)
    except (DatabaseError, RunLocked, ConfigurationError):
        raise
    except PartitionError as error:
        return _failed(run, phase, where, error.category, error, capture_id=error.capture_id)
    except Exception as error:
        log.debug("traceback of %s in %s", where, phase.value, exc_info=True)
        return _failed(run, phase, where, "UNEXPECTED", error)


def _failed(
    run: Run, phase: Phase, where: Partition | date, category: str, error: Exception, capture_id: str | None = None
) -> Outcome:
    if isinstance(error, MarketSpineError):
        said, details = error.message, dict[str, object](hint=error.hint)
        if isinstance(error, PartitionError) and error.ingest_no is not None:
            details["ingest_no"] = error.ingest_no
    else:
        said = f"{type(error).__name__}: {error}; a fault of the program, report it with what spine anomalies --json shows"
        details = {"hint": None, "traceback": traceback.format_exc(limit=20)}
    key = where.key if isinstance(where, Partition) else partition_key(where.isoformat())
    anomalies.observe(
        run.db, severity=anomalies.ERROR, category=category, message=said, partition_key=key, stage=STAGE_OF_PHASE[phase],
        now=run.now, details=details, execution_id=run.execution_id, capture_id=capture_id,
    )  # fmt: skip
    hint = str(details["hint"]) if details["hint"] else None
    week, tier = (where.week_ending, where.tier) if isinstance(where, Partition) else (where, None)
    said = f"{category}: {said}"
    return Outcome(phase, Status.FAILED, week, tier, said, category=category, capture_id=capture_id, hint=hint)
