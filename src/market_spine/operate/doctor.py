"""Doctor --fix: closes gaps in the order of their dependencies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from market_spine.app import readiness
from market_spine.app.context import Run
from market_spine.app.plan import Plan, only
from market_spine.app.scheduler import run_schedule
from market_spine.app.source import Source
from market_spine.core import manifest
from market_spine.operate import gaps, raw_rows, windows
from market_spine.operate.gaps import Gap, Remedy
from market_spine.outcome import Outcome, Phase
from market_spine.partition import TIERS, Partition


def fix(run: Run, open_source: Callable[[], Source], open_gaps: Sequence[Gap]) -> list[Outcome]:
    """Fetches what is absent, refused or damaged, and then runs the later stages of every week that has a gap."""
    outcomes: list[Outcome] = []
    remedies = {gap.remedy for gap in open_gaps}
    if Remedy.REMOVE in remedies:
        gaps.remove_orphans(run.db)
    if Remedy.RESTORE_ROW in remedies:
        raw_rows.restore(run.db, run.now)
    wanted = _to_fetch(open_gaps)
    source = open_source() if wanted else None
    for partition, remedy in wanted.items():
        fetching = run.forced() if remedy is Remedy.FETCH_AGAIN else run
        plan = Plan((partition.week_ending,), (partition.tier,), only(Phase.INGEST))
        outcomes += run_schedule(fetching, source, plan, lambda outcome: None).outcomes
    for week in sorted({gap.week for gap in open_gaps if gap.week}):
        outcomes += _later_stages(run, week)
    if Remedy.WINDOWS in remedies and not run.dry:
        windows.make_missing(run)
    for week in [] if run.dry else readiness.judged_weeks(run.db):
        if readiness.differences(run.db, week):
            run.judge(week)
    return _last_judgements(outcomes)


def _last_judgements(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Without the judgements of a week between its stages: the last one counts."""
    last = {outcome.week_ending: n for n, outcome in enumerate(outcomes) if outcome.phase is Phase.READINESS}
    return [o for n, o in enumerate(outcomes) if o.phase is not Phase.READINESS or last[o.week_ending] == n]


def asks_source(open_gaps: Sequence[Gap]) -> bool:
    """Whether closing these gaps needs a request to the source."""
    return bool(_to_fetch(open_gaps))


def _to_fetch(open_gaps: Sequence[Gap]) -> dict[Partition, Remedy]:
    """The partitions to fetch, once each; damaged bytes are fetched even when the content is unchanged."""
    wanted: dict[Partition, Remedy] = {}
    for remedy in (Remedy.FETCH, Remedy.FETCH_AGAIN):
        wanted |= {Partition(gap.week, gap.tier): remedy for gap in open_gaps if gap.remedy is remedy and gap.week and gap.tier}
    return wanted


def _later_stages(run: Run, week: date) -> list[Outcome]:
    stored = tuple(tier for tier in TIERS if manifest.check_stage_ready(str(week), tier, manifest.RAW, run.db))
    plans = [Plan((week,), stored, only(Phase.NORMALIZE)), Plan((week,), TIERS, only(Phase.CALC))]
    done = [run_schedule(run, None, plan, lambda outcome: None) for plan in plans]
    return [outcome for result in done for outcome in result.outcomes]
