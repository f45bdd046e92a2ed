"""A run with a window also covers what is open outside it, and what its source reports as new or changed."""

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
    """The plan with everything the run works on, the result of the sweep, and the warnings to report."""

    plan: Plan
    swept: sweep.Sweep | None = None
    remarks: tuple[Outcome, ...] = ()


def widen(run: Run, source: Source | None, plan: Plan) -> Wide:
    """Queries the database and the source. Unless dry, the run stores how far back the weeks go and what the folder holds."""
    queried = source if Phase.INGEST in plan.phases else None
    if plan.sweeps and not run.dry:
        coverage.record(run, plan)
    wide = _with_changes(run, queried, plan) if queried and plan.sweeps else Wide(plan)
    if plan.sweeps:  # after the changes: one of an early week opens the weeks between it and the window
        wide = wide._replace(plan=_with_open(run, wide.plan))
    if queried and queried.sweeps:
        wide = wide._replace(plan=wide.plan._replace(turns=checks.turns(run, queried, plan)))
    return wide


def _with_open(run: Run, plan: Plan) -> Plan:
    partitions, weeks = coverage.find_open(run, plan)
    revised = tuple(partition for partition in plan.revised if partition not in partitions)
    plan = plan._replace(revised=revised, open=partitions, open_weeks_results=weeks)
    if plan.open_count:
        covered = {partition.week_ending for partition in partitions}
        names = [str(one) for one in (*partitions, *(week for week in weeks if week not in covered))]
        more = ", …" if len(names) > _SHOWN else ""
        _log.info("+%d open from earlier weeks: %s%s", len(names), ", ".join(names[:_SHOWN]), more, extra={"event": "widened"})
    return plan


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
    revised = (*(swept.partitions if swept else ()), *(seen.changed if seen else ()))
    return Wide(plan._replace(revised=revised), swept, tuple(remarks))
