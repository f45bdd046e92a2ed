"""Doctor --fix: mends gaps in the order in which one rests on another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from market_spine.app.run import Run
from market_spine.app.scheduler import Plan, run_schedule
from market_spine.app.source import Source
from market_spine.operate import gaps, raw_rows
from market_spine.operate.gaps import Gap, Kind
from market_spine.outcome import Outcome
from market_spine.partition import TIERS


def mend(run: Run, open_source: Callable[[], Source], found: Sequence[Gap]) -> list[Outcome]:
    """Asks the source for what is absent or damaged, and then walks the later stages of every week that has a gap."""
    outcomes: list[Outcome] = []
    if any(gap.kind is Kind.ORPHANS for gap in found):
        gaps.remove_orphans(run.db)
    if any(gap.kind is Kind.MANIFEST for gap in found):
        raw_rows.restore(run.db, run.now)
    wanted = [gap for gap in found if gap.kind in (Kind.RAW, Kind.BYTES) and gap.command.startswith("spine ")]
    source = open_source() if wanted else None
    for gap in dict.fromkeys((gap.week, gap.tier, gap.kind) for gap in wanted):
        week, tier, kind = gap
        if week and tier:
            forced = _forced(run) if kind is Kind.BYTES else run
            outcomes += run_schedule(forced, source, Plan((week,), (tier,), "ingest"), lambda outcome: None).outcomes
    for week in sorted({gap.week for gap in found if gap.week}):
        outcomes += _later_stages(run, week)
    return outcomes


def _later_stages(run: Run, week: date) -> list[Outcome]:
    done = [run_schedule(run, None, Plan((week,), TIERS, stage), lambda outcome: None) for stage in ("normalize", "calc")]
    return [outcome for result in done for outcome in result.outcomes]


def _forced(run: Run) -> Run:
    return Run(run.db, run.run_date, run.now, run.execution_id, limits=run.limits, force=True, expected=run.expected)
