"""A dry run: the same questions and decisions as a run, and nothing carried out."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from market_spine.app import calc, ingest, normalize
from market_spine.app.agenda import Agenda, Ask
from market_spine.app.plan import Plan
from market_spine.app.run import Run
from market_spine.app.scheduler import Result, Tell
from market_spine.app.source import Source
from market_spine.app.widen import widen
from market_spine.errors import PartitionError
from market_spine.outcome import Outcome, Phase, Reason, Status


def rehearse(run: Run, source: Source | None, plan: Plan, tell: Tell) -> Result:
    """What run_schedule would do with the same arguments now: its ingests, its skips, and what an earlier run left undone."""
    wide = widen(run, source, plan, dry=True)
    result = Result(wide.plan)
    for outcome in chain(wide.remarks, _ingests(run, source, wide.plan), _left_undone(run, wide.plan)):
        result.outcomes.append(outcome)
        tell(outcome)
    result.plan = result.plan.with_taken(result.outcomes)
    return result


def _ingests(run: Run, source: Source | None, plan: Plan) -> Iterator[Outcome]:
    if source is None or Phase.INGEST not in plan.phases:
        return
    agenda = Agenda(run, plan, moves=source.sweeps)
    for ask in agenda:
        outcome = _ingest(run, source, ask)
        agenda.note(ask, outcome)
        if not (ask.again and outcome.status is Status.SKIPPED):
            yield outcome


def _left_undone(run: Run, plan: Plan) -> Iterator[Outcome]:
    for phase, pending in ((Phase.NORMALIZE, normalize.pending), (Phase.CALC, calc.pending)):
        for partition in plan.partitions if phase in plan.phases else ():
            for capture in pending(run, partition):
                message = f"Would {phase.value}"
                yield Outcome.of(phase, Status.DONE, partition, message, reason="left undone", capture_id=capture.capture_id)
    for week in plan.open_weeks_results if Phase.CALC in plan.phases else ():
        yield Outcome(Phase.CALC, Status.DONE, week, None, "Would calculate", reason="left undone")


def _ingest(run: Run, source: Source, ask: Ask) -> Outcome:
    partition = ask.partition
    try:
        found = ingest.decide(run, source, partition, swept=ask.outside, whole=ask.whole)
        if isinstance(found, ingest.Absence):
            return ingest.absence_outcome(found)
    except PartitionError as error:
        said = f"{error.category}: {error.message}"
        return Outcome.of(Phase.INGEST, Status.FAILED, partition, said, category=error.category, hint=error.hint)
    status = Status.SKIPPED if found.reason is Reason.UNCHANGED else Status.DONE
    return Outcome.of(Phase.INGEST, status, partition, found.explanation, reason=found.reason.value)
