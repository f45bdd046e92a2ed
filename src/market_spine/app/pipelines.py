"""The pipelines by name: one phase of one partition, for `spine run` and for the work queue.

    ingest_week  →  normalize_week  →  compute_venue_volume, compute_venue_share, compute_hhi     (a tier)
                                    →  compute_tier_split, compute_weekly_totals                  (a week)
    capture_week: all of these for a tier, and for the week once its tiers are measured; what one reads the one before hands over

The measures of a tier are stored together, in one transaction with their one manifest row, and so are those of a week: the
first compute pipeline stores them, the others have nothing to do. Each pipeline ends by evaluating the week's readiness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial

from market_spine.app import calc, normalize
from market_spine.app.context import Run
from market_spine.app.plan import Plan, only
from market_spine.app.scheduler import follow_windows, guarded, run_schedule
from market_spine.app.source import Source
from market_spine.core import captures, manifest
from market_spine.errors import PrerequisiteMissing, UsageError
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import DOMAIN, TIERS, Partition

Work = Callable[[Run, Source | None, Plan], Iterator[Outcome]]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a pipeline does, and the stage it reads: one that reads none uses a source. `of_week` means that it takes no tier."""

    work: Work
    says: str
    reads: str | None
    of_week: bool = False

    @property
    def reads_rows(self) -> bool:
        """Whether it reads rows of the database, which must not change before it writes."""
        return self.reads in (manifest.NORMALIZED, manifest.CALC)


def run_pipeline(name: str, run: Run, source: Source | None, week_ending: date, tier: str | None) -> list[Outcome]:
    """Runs `finra.otc_transparency.ingest_week` (short `ingest_week`) and the like; without a tier, of every tier ready for it.

    A partition that fails is a FAILED outcome and an anomaly, as in a weekly run. Raises PrerequisiteMissing when its
    input does not exist yet, and UsageError for an unknown name or a tier given to a pipeline of a week.
    """
    pipeline = find(name)
    if pipeline.of_week and tier is not None:
        raise UsageError(f"{name} is for a whole week and takes no tier", hint="leave the tier out")
    plan = Plan((week_ending,), TIERS if tier is None else (Partition(week_ending, tier).tier,), only(Phase.CALC))
    outcomes = list(pipeline.work(run, source, plan))
    return outcomes + _judge(run, plan, outcomes)


def find(name: str) -> Pipeline:
    """The pipeline of that name. Raises UsageError."""
    short = name.removeprefix(f"{DOMAIN}.")
    if short not in PIPELINES:
        raise UsageError(f"there is no pipeline {name!r}", hint=f"the pipelines of {DOMAIN} are {', '.join(PIPELINES)}")
    return PIPELINES[short]


def needs_source(name: str) -> bool:
    """Whether the pipeline uses a source."""
    return find(name).reads is None


def command_for(pipeline: str, week_ending: date, tier: str | None = None) -> str:
    """The command line that runs it."""
    return f"spine run {DOMAIN}.{pipeline} {week_ending}" + (f" {tier}" if tier else "")


def _judge(run: Run, plan: Plan, outcomes: list[Outcome]) -> list[Outcome]:
    """The week's readiness, unless the work already includes it."""
    if any(outcome.phase is Phase.READINESS for outcome in outcomes):
        return []
    return run_schedule(run, None, Plan(plan.weeks, plan.tiers, only(Phase.READINESS)), lambda outcome: None).outcomes


def _ingest(run: Run, source: Source | None, plan: Plan) -> Iterator[Outcome]:
    yield from run_schedule(run, source, Plan(plan.weeks, plan.tiers, only(Phase.INGEST)), lambda outcome: None).outcomes


def _capture(run: Run, source: Source | None, plan: Plan) -> Iterator[Outcome]:
    """Every phase of a tier, as far as none fails; then the week, if this was its last tier."""
    for phase in (_ingest, _normalize_pending, _measure_pending, _measure_complete):
        outcomes = list(phase(run, source, plan))
        yield from outcomes
        if any(outcome.status in (Status.FAILED, Status.AWAITING, Status.LATE) for outcome in outcomes):
            return


def _normalize_pending(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for partition in plan.partitions:
        for capture in normalize.pending(run, partition):
            yield guarded(run, Phase.NORMALIZE, partition, partial(normalize.normalize, run, capture))


def _measure_pending(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for partition in plan.partitions:
        for capture in calc.pending(run, partition):
            yield guarded(run, Phase.CALC, partition, partial(calc.measure, run, capture))


def _measure_complete(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for week in plan.weeks:
        if _week_gap(run, week) is None:
            yield guarded(run, Phase.CALC, week, partial(calc.measure_week, run, week))


def _normalize(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for partition in _having(plan, partial(_raw_gap, run)):
        pending = normalize.pending(run, partition)
        if not pending:
            yield Outcome.of(Phase.NORMALIZE, Status.SKIPPED, partition, "Already normalized")
        for capture in pending:
            yield guarded(run, Phase.NORMALIZE, partition, partial(normalize.normalize, run, capture))


def _measure(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for partition in _having(plan, partial(_normalized_gap, run)):
        pending = captures.of_partition(run.db, partition, manifest.CALC)[-1:] if run.force else calc.pending(run, partition)
        if not pending:
            yield Outcome.of(Phase.CALC, Status.SKIPPED, partition, "Already measured")
        for capture in pending:
            yield guarded(run, Phase.CALC, partition, partial(calc.measure, run, capture))
    yield from _cascade(run, plan)
    yield from follow_windows(run, plan.weeks[0])


def _cascade(run: Run, plan: Plan) -> Iterator[Outcome]:
    """Replaces a week-level result that was made from older captures."""
    for week in plan.weeks:
        known = any(row.tier is None and row.stage == manifest.CALC for row in manifest.week_rows(week, run.db))
        if known and _week_gap(run, week) is None:
            outcome = guarded(run, Phase.CALC, week, partial(calc.measure_week, run, week))
            if outcome.status is not Status.SKIPPED:
                yield outcome


def _measure_week(run: Run, _source: Source | None, plan: Plan) -> Iterator[Outcome]:
    for week in plan.weeks:
        gap = _week_gap(run, week)
        if gap is not None:
            raise gap
        yield guarded(run, Phase.CALC, week, partial(calc.measure_week, run, week))


def _having(plan: Plan, gap_of: Callable[[Partition], PrerequisiteMissing | None]) -> list[Partition]:
    """The partitions that have their prerequisite. Raises the first gap when none has."""
    gaps = {partition: gap_of(partition) for partition in plan.partitions}
    ready = [partition for partition, gap in gaps.items() if gap is None]
    if not ready:
        raise next(gap for gap in gaps.values() if gap is not None)
    return ready


def _raw_gap(run: Run, partition: Partition) -> PrerequisiteMissing | None:
    rows = manifest.standing(manifest.week_rows(partition.week_ending, run.db, partition.tier))
    return None if any(row.stage == manifest.RAW for row in rows) else _missing(manifest.RAW, partition, "ingest_week")


def _normalized_gap(run: Run, partition: Partition) -> PrerequisiteMissing | None:
    """None once the newest capture is normalized, held or not; one that failed is ignored where there are rows to measure."""
    if (gap := _raw_gap(run, partition)) is not None:
        return gap
    has_current = captures.current(run.db, partition) is not None or normalize.standing_hold(run, partition) is not None
    for capture in normalize.pending(run, partition):
        if not (has_current and normalize.failed_before(run, capture)):
            return _missing(manifest.NORMALIZED, partition, "normalize_week")
    return None if has_current else _missing(manifest.NORMALIZED, partition, "normalize_week")


def _week_gap(run: Run, week_ending: date) -> PrerequisiteMissing | None:
    for tier in TIERS:
        partition = Partition(week_ending, tier)
        if (gap := _normalized_gap(run, partition)) is not None:
            return gap
        if calc.pending(run, partition):
            return _missing(manifest.CALC, partition, "compute_venue_volume")
    return None


def _missing(stage: str, partition: Partition, pipeline: str) -> PrerequisiteMissing:
    hint = command_for(pipeline, partition.week_ending, partition.tier)
    return PrerequisiteMissing(f"prerequisite missing: {stage} of {partition}", hint=hint, stage=stage)


STAGES: dict[str, Pipeline] = {
    "ingest_week": Pipeline(_ingest, "take what the source offers, when it is new", None),
    "normalize_week": Pipeline(_normalize, "make typed rows of the raw bytes", manifest.RAW),
    "compute_venue_volume": Pipeline(_measure, "measure a tier: volume by venue", manifest.NORMALIZED),
    "compute_venue_share": Pipeline(_measure, "measure a tier: each venue's share", manifest.NORMALIZED),
    "compute_hhi": Pipeline(_measure, "measure a tier: concentration", manifest.NORMALIZED),
    "compute_tier_split": Pipeline(_measure_week, "measure a week: each tier's share", manifest.CALC, of_week=True),
    "compute_weekly_totals": Pipeline(_measure_week, "measure a week: totals", manifest.CALC, of_week=True),
}
PIPELINES = {"capture_week": Pipeline(_capture, "take what is new, and make and measure its rows", None), **STAGES}
