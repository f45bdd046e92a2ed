"""The four phases over all partitions, in order; the run, its result and its exit code.

The names in __all__ are a public interface; they are the functions that the run itself uses.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial

from market_spine import clock, exit_rule
from market_spine.app import calc, checks, ingest, normalize, readiness, sweep, windows
from market_spine.app.agenda import Agenda, Ask
from market_spine.app.context import Run
from market_spine.app.plan import Plan
from market_spine.app.readiness import Findings, evaluate_readiness
from market_spine.app.source import Source
from market_spine.app.widen import Wide, widen
from market_spine.categories import Category
from market_spine.core import anomalies, manifest
from market_spine.core.anomalies import record_anomaly
from market_spine.core.manifest import (
    check_revision_needed_via_hash,
    check_revision_needed_via_metadata,
    check_stage_ready,
    check_tier_completeness,
    compute_content_hash,
)
from market_spine.errors import ConfigurationError, DatabaseError, DatabaseLost, MarketSpineError, PartitionError, RunLocked
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import Partition, generate_capture_id, parse_week_list, weeks_back

__all__ = [
    "Plan",
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
Tell = Callable[[Outcome], None]


def calculate_target_weeks(lookback_weeks: int, reference_date: date | None = None) -> list[date]:
    """The last `lookback_weeks` Fridays up to and including the reference (default: today in New York), newest first."""
    return weeks_back(lookback_weeks, reference_date or clock.market_date())


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
        """0 success, 1 some partitions failed, 2 every partition failed that could have been available."""
        return exit_rule.of_outcomes(self.outcomes, self.plan.partitions)


class _Stop(Exception):
    """A partition failed, and --fail-fast is set."""


def run_schedule(run: Run, source: Source | None, plan: Plan, tell: Tell) -> Result:
    """Runs the phases. One partition's failure stops no other; every outcome is reported as it happens.

    A dry run takes the same steps: each phase reads and decides, and instead of acting adds to the run's forecast, which the
    later phases read too.
    """
    wide = widen(run, source, plan)
    result = Result(wide.plan)

    def note(outcome: Outcome) -> None:
        result.outcomes.append(outcome)
        tell(outcome)
        if plan.fail_fast and outcome.status in (Status.FAILED, Status.HELD):
            raise _Stop

    try:
        for remark in wide.remarks:
            note(remark)
        for phase in plan.phases:
            for outcome in _PHASES[phase](run, source, result.plan):
                note(outcome)
            if phase is Phase.INGEST:
                result.plan = result.plan.with_taken(result.outcomes)
                if wide.swept and not wide.swept.problem and not run.dry:
                    sweep.record(run, _tiers_swept(run, wide, result))
    except _Stop:
        for outcome in _readiness(run, source, result.plan):
            result.outcomes.append(outcome)
            tell(outcome)
    return result


def _tiers_swept(run: Run, wide: Wide, result: Result) -> list[str]:
    """The swept tiers in which no stored partition failed. One that was never captured does not count: it is open, and each run
    requests it again."""
    failed = {outcome.where for outcome in result.of(Phase.INGEST) if outcome.status is Status.FAILED}
    lost = [p for p in wide.plan.partitions if str(p) in failed and manifest.newest_raw(p.week_ending, p.tier, run.db)]
    return [tier for tier in (wide.swept.tiers if wide.swept else ()) if tier not in {partition.tier for partition in lost}]


def _ingest(run: Run, source: Source | None, plan: Plan) -> Iterator[Outcome]:
    if source is None:
        raise ValueError("the ingest phase needs a source")
    agenda = Agenda(run, plan, moves=source.sweeps)
    for ask in agenda:
        outcome = guarded(run, Phase.INGEST, ask.partition, partial(_ingest_partition, run, source, ask))
        agenda.note(ask, outcome)
        if not (ask.again and outcome.status is Status.SKIPPED):
            yield outcome


def _ingest_partition(run: Run, source: Source, ask: Ask) -> Outcome:
    decision = ingest.decide(run, source, ask.partition, swept=ask.outside, whole=ask.whole)
    if isinstance(decision, ingest.Absence) or decision.offer is None or not decision.offer.fingerprint:
        return ingest.carry_out(run, decision)
    if run.dry:
        return ingest.carry_out(run, decision)
    with run.db.transaction():
        outcome = ingest.carry_out(run, decision)
        checks.record(run, source.name, {ask.partition: decision.offer.fingerprint}, decision.content_hash)
    return outcome


def _normalize(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for partition in plan.partitions if plan.phases[0] is Phase.NORMALIZE else ():
        if not check_stage_ready(partition.week, partition.tier, manifest.RAW, run.db):
            yield _without_raw(run, partition)
    pending = [capture for partition in plan.partitions for capture in normalize.pending(run, partition)]
    for capture in pending:
        yield guarded(run, Phase.NORMALIZE, capture.partition, partial(normalize.normalize, run, capture))
    done = {capture.partition for capture in pending}
    for partition in plan.partitions:
        if partition not in done and (hold := normalize.standing_hold(run, partition)):
            yield guarded(run, Phase.NORMALIZE, partition, partial(normalize.review, run, partition, hold))


def _without_raw(run: Run, partition: Partition) -> Outcome:
    """A warning; for a partition that is due also an anomaly, which the stage closes once it succeeds."""
    message = "RAW stage missing, nothing to normalize"
    if not (run.dry or run.expected.awaits(partition, run.run_date)):
        anomalies.observe(run, Category.MISSING_DEPENDENCY, partition, message, details={"stage": manifest.RAW})
    return Outcome.of(Phase.NORMALIZE, Status.WARNING, partition, message)


def _calc(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for partition in plan.partitions:
        for capture in calc.pending(run, partition):
            yield guarded(run, Phase.CALC, partition, partial(calc.measure, run, capture))
    for week in plan.all_weeks:
        yield guarded(run, Phase.CALC, week, partial(calc.measure_week, run, week))
    if plan.all_weeks:
        yield from follow_windows(run, plan.all_weeks[0])


def follow_windows(run: Run, week: date) -> Iterator[Outcome]:
    """Makes the windows of what changed; only a failure is an outcome, filed under that week."""
    if not run.dry:
        followed = guarded(run, Phase.CALC, week, partial(windows.follow, run, week))
        if followed.status is Status.FAILED:
            yield followed


def _readiness(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for week in plan.all_weeks:
        judged = _judge(run, week)
        issues = judged.issues()
        status = Status.NOT_READY if issues else Status.READY
        message = f"Not ready: {'; '.join(issues)}" if issues else "Ready"
        details = {"blocking_issues": issues, "only_awaits": judged.only_awaits}
        yield Outcome(Phase.READINESS, status, week, None, message, details=details)


def _judge(run: Run, week: date) -> Findings:
    now, calendar = run.present or run.now, run.expected.calendar
    if run.dry:
        return readiness.look(week, run.db, now, calendar, run.forecast).week
    with run.within(week):
        return readiness.evaluate(week, run.db, readiness.READY_FOR, now=now, calendar=calendar)


_PHASES: dict[Phase, Callable[[Run, Source | None, Plan], Iterator[Outcome]]] = {
    Phase.INGEST: _ingest,
    Phase.NORMALIZE: _normalize,
    Phase.CALC: _calc,
    Phase.READINESS: _readiness,
}


def guarded(run: Run, phase: Phase, where: Partition | date, work: Callable[[], Outcome]) -> Outcome:
    """The only function that catches a partition's failure: it is logged, recorded as an anomaly and counted."""
    try:
        with run.within(where.week_ending if isinstance(where, Partition) else where):
            return work()
    except DatabaseLost as error:
        if run.dry:
            raise  # a dry run reads one snapshot, and the snapshot is lost with its connection
        run.db.reconnect()  # raises when the database stays unavailable: then the run ends
        run.dimensions.forget()
        return _failed(run, phase, where, Category.DATABASE_LOST, error)
    except (DatabaseError, RunLocked, ConfigurationError):
        raise
    except PartitionError as error:
        return _failed(run, phase, where, error.category, error, capture_id=error.capture_id)
    except Exception as error:
        log.debug("traceback of %s in %s", where, phase.value, exc_info=True)
        return _failed(run, phase, where, Category.UNEXPECTED, error)


def _failed(
    run: Run, phase: Phase, where: Partition | date, category: Category, error: Exception, capture_id: str | None = None
) -> Outcome:
    if isinstance(error, MarketSpineError):
        message, details = error.message, dict[str, object](hint=error.hint)
        if isinstance(error, PartitionError) and error.ingest_no is not None:
            details["ingest_no"] = error.ingest_no
    else:
        message = f"{type(error).__name__}: {error}; a fault of the program, report it with what spine anomalies --json shows"
        details = {"hint": None, "traceback": traceback.format_exc(limit=20)}
    if not run.dry:
        anomalies.observe(run, category, where, message, stage=STAGE_OF_PHASE[phase], details=details, capture_id=capture_id)
    hint = str(details["hint"]) if details["hint"] else None
    week, tier = (where.week_ending, where.tier) if isinstance(where, Partition) else (where, None)
    message = f"{category}: {message}"
    return Outcome(phase, Status.FAILED, week, tier, message, category=category, capture_id=capture_id, hint=hint)
