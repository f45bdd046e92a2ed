"""A range of weeks, oldest first. The manifest decides what is left to do, so the same command resumes an interrupted run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from market_spine.app import calc, normalize
from market_spine.app.context import Run
from market_spine.app.plan import ALL_PHASES, Plan, only
from market_spine.app.report import entry
from market_spine.app.scheduler import Result, Tell, run_schedule
from market_spine.app.source import Source
from market_spine.core import captures, holds
from market_spine.errors import UsageError
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import Partition


@dataclass(frozen=True, slots=True)
class WeekDone:
    """The result of a week. `tiers` are those that were processed; `blocking` is empty when the week is ready."""

    week: date
    tiers: tuple[str, ...]
    ingested: int
    skipped: int
    awaiting: int
    failed: int
    blocking: tuple[str, ...]
    exit_code: int
    failures: tuple[Outcome, ...] = ()

    def entry(self) -> dict[str, object]:
        """The week, for machines."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        return facts | {"failures": [entry(outcome) for outcome in self.failures], "is_ready": not self.blocking}


def weeks_between(first: date, last: date) -> list[date]:
    """The Fridays from `first` to `last` inclusive, oldest first. Raises UsageError when there are none."""
    if first > last:
        raise UsageError(f"--from {first} is after --to {last}", hint=f"spine backfill --weeks {last}..{first}")
    return [first + timedelta(weeks=n) for n in range((last - first).days // 7 + 1)]


def backfill(
    run: Run, source: Source, weeks: Sequence[date], tiers: Sequence[str], tell: Tell, *, missing_only: bool = False
) -> Iterator[tuple[WeekDone, Result | None]]:
    """Runs every phase, week by week; the result is None for a week that `missing_only` skips as complete."""
    for week in weeks:
        wanted = tuple(tier for tier in tiers if not (missing_only and is_complete(run, Partition(week, tier))))
        if not wanted and not calc.week_is_pending(run, week):
            yield WeekDone(week, (), 0, 0, 0, 0, (), 0), None
            continue
        result = run_schedule(run, source, Plan((week,), wanted, ALL_PHASES if wanted else only(Phase.CALC)), tell)
        yield _summary(week, wanted, result), result


def is_complete(run: Run, partition: Partition) -> bool:
    """Whether the partition has a current capture, nothing of it is held, and every capture of it is normalized and measured."""
    has_current = captures.current(run.db, partition) is not None
    is_held = holds.standing(run.db, partition) is not None
    return has_current and not is_held and not normalize.pending(run, partition) and not calc.pending(run, partition)


def _summary(week: date, tiers: tuple[str, ...], result: Result) -> WeekDone:
    failures = tuple(outcome for outcome in result.outcomes if outcome.status in (Status.FAILED, Status.HELD))
    failed = {outcome.where for outcome in failures}
    blocking = [str(issue) for outcome in result.of(Phase.READINESS) for issue in _issues(outcome.details)]
    count: Callable[..., int] = result.count
    return WeekDone(
        week, tiers, count(Phase.INGEST, Status.DONE), count(Phase.INGEST, Status.SKIPPED),
        count(Phase.INGEST, Status.AWAITING), len(failed), tuple(blocking), result.exit_code, failures,
    )


def _issues(details: object) -> list[object]:
    issues = details.get("blocking_issues", []) if isinstance(details, dict) else []
    return list(issues)
