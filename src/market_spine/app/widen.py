"""A run with a window also looks outside it: at what is open, and at what its source shows to be new or changed."""

from __future__ import annotations

import logging
from typing import NamedTuple

from market_spine.app import checks, coverage, folder, sweep
from market_spine.app.context import Run
from market_spine.app.plan import Plan
from market_spine.app.source import Source
from market_spine.outcome import Outcome, Phase

_log = logging.getLogger("market_spine")
_SHOWN = 6


class Wide(NamedTuple):
    """The plan with all that it is to look at, what the sweep answered, and what there is to say of it."""

    plan: Plan
    swept: sweep.Sweep | None = None
    remarks: tuple[Outcome, ...] = ()


def widen(run: Run, source: Source | None, plan: Plan) -> Wide:
    """Asks the database and the source. Unless dry, the run keeps how far back the weeks go and what was seen in the folder."""
    asks = source if Phase.INGEST in plan.phases else None
    if plan.sweeps:
        if not run.dry:
            coverage.record(run, plan)
        plan = _with_open(run, plan)
    if asks is None:
        return Wide(plan)
    wide = _with_changes(run, asks, plan) if plan.sweeps else Wide(plan)
    if asks.sweeps:
        wide = wide._replace(plan=wide.plan._replace(turns=checks.turns(run, asks, plan)))
    return wide


def _with_open(run: Run, plan: Plan) -> Plan:
    found = coverage.find_open(run, plan)
    plan = plan._replace(open=found.partitions, open_weeks_results=found.weeks)
    if plan.open_count:
        names = [str(one) for one in (*found.partitions, *(week for week in found.weeks if week not in _weeks(found)))]
        more = ", …" if len(names) > _SHOWN else ""
        _log.info("+%d open from earlier weeks: %s%s", len(names), ", ".join(names[:_SHOWN]), more, extra={"event": "widened"})
    return plan


def _weeks(found: coverage.Open) -> set[object]:
    return {partition.week_ending for partition in found.partitions}


def _with_changes(run: Run, source: Source, plan: Plan) -> Wide:
    swept, seen, remarks = sweep.ask(run, source, plan.weeks, plan.tiers), folder.look(run, source, plan), []
    if swept and swept.problem:
        problem = sweep.outcome_of(swept.problem, plan.weeks)
        remarks.append(problem if run.dry else sweep.note_problem(run, problem))
    if seen:
        if seen.unknown:
            remarks.append(folder.remark(plan, seen))
        if not run.dry:
            folder.record(run, source, plan, seen)
    found = (*(swept.partitions if swept else ()), *(seen.changed if seen else ()))
    revised = tuple(partition for partition in found if partition not in plan.open)
    return Wide(plan._replace(revised=revised), swept, tuple(remarks))
