"""A dry run: the same questions and decisions as a run, and nothing carried out."""

from __future__ import annotations

from market_spine.app import calc, ingest, normalize, sweep
from market_spine.app.run import Run
from market_spine.app.scheduler import Plan, Result, Tell
from market_spine.app.source import Source
from market_spine.errors import PartitionError
from market_spine.outcome import Outcome, Phase, Reason, Status
from market_spine.partition import Partition


def rehearse(run: Run, source: Source | None, plan: Plan, tell: Tell) -> Result:
    """What run_schedule would do with the same arguments now: its ingests, its skips, and what an earlier run left undone."""
    swept = sweep.ask(run, source, plan.weeks, plan.tiers) if source and plan.asks_for_revisions else None
    plan = plan._replace(revised=swept.partitions) if swept else plan
    result = Result(plan)
    if swept and swept.problem:
        result.outcomes.append(sweep.outcome_of(swept.problem, plan.weeks))
        tell(result.outcomes[-1])
    for partition in plan.partitions:
        if Phase.INGEST in plan.phases and source is not None:
            result.outcomes.append(_ingest(run, source, partition, swept=partition in plan.revised))
            tell(result.outcomes[-1])
    for phase, pending in ((Phase.NORMALIZE, normalize.pending), (Phase.CALC, calc.pending)):
        for partition in plan.partitions if phase in plan.phases else ():
            for capture in pending(run, partition):
                message = f"Would {phase.value}"
                result.outcomes.append(
                    Outcome.of(phase, Status.DONE, partition, message, reason="left undone", capture_id=capture.capture_id)
                )
                tell(result.outcomes[-1])
    return result


def _ingest(run: Run, source: Source, partition: Partition, *, swept: bool) -> Outcome:
    try:
        found = ingest.decide(run, source, partition, swept=swept)
        if isinstance(found, ingest.Absence):
            return ingest.absence_outcome(found)
    except PartitionError as error:
        said = f"{error.category}: {error.message}"
        return Outcome.of(Phase.INGEST, Status.FAILED, partition, said, category=error.category, hint=error.hint)
    status = Status.SKIPPED if found.reason is Reason.UNCHANGED else Status.DONE
    return Outcome.of(Phase.INGEST, status, partition, found.explanation, reason=found.reason.value)
