"""The status grid, weeks × tiers: the state of each partition, what blocks it, and the next command to type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from market_spine.app import readiness
from market_spine.app.context import Run
from market_spine.app.readiness import Findings
from market_spine.calendar.publication import PublicationState
from market_spine.categories import Category
from market_spine.core import manifest
from market_spine.operate import gaps
from market_spine.operate.anomalies import Anomaly, list_anomalies, resolve_command
from market_spine.operate.gaps import Gap
from market_spine.partition import TIERS, Partition
from market_spine.query.history import CURRENT, PRUNED, UNFINISHED, WITHDRAWN, Entry, list_captures

READY, AWAITING, LATE, MISSING, FAILED, PENDING = "ready", "awaiting", "late", "missing", "failed", "pending"
_OF_ABSENCE = {
    PublicationState.AWAITING: AWAITING,
    PublicationState.DUE: LATE,
    PublicationState.LATE: LATE,
    PublicationState.MISSING: MISSING,
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A partition. `state` is ready, awaiting, late, missing, failed, withdrawn or pending (a stage is left to be done);
    `revised` counts the captures the current one superseded; a ready one may have a `problem` too."""

    partition: Partition
    state: str
    stage: str | None = None
    revised: int = 0
    capture_id: str | None = None
    problem: str | None = None
    command: str | None = None

    def __str__(self) -> str:
        revised = f" (revised {self.revised})" if self.state == READY and self.revised else ""
        stage = f" ({self.stage})" if self.stage and self.state != READY else ""
        return f"{self.state}{revised}{stage}{' !' if self.state == READY and self.problem else ''}"

    def entry(self) -> dict[str, object]:
        """The cell, for machines."""
        return {
            "tier": self.partition.tier, "state": self.state, "stage": self.stage, "revised": self.revised,
            "capture_id": self.capture_id, "problem": self.problem, "command": self.command,
        }


@dataclass(frozen=True, slots=True)
class WeekStatus:
    """A row of the grid; `problem` is of the week itself. `findings` are those of the evaluation behind core_data_readiness."""

    week: date
    cells: tuple[Cell, ...]
    findings: Findings
    problem: str | None = None
    command: str | None = None

    @property
    def is_ready(self) -> bool:
        return not self.findings.issues()

    @property
    def blocks(self) -> list[str]:
        """What blocks it, in words."""
        of_cells = [f"{cell.partition.tier}: {cell.problem or cell.state}" for cell in self.cells if cell.state != READY]
        blocks = of_cells + ([self.problem] if self.problem else [])
        return blocks or self.findings.issues()

    def entry(self) -> dict[str, object]:
        """The week, for machines."""
        return {
            "week_ending": self.week, "is_ready": self.is_ready, "tiers": [cell.entry() for cell in self.cells],
            "blocks": self.blocks, "command": self.command,
        }


def examine(run: Run, weeks: Sequence[date]) -> list[WeekStatus]:
    """The state of these weeks on the run's day, in the order given."""
    return [_week(run, week) for week in weeks]


def next_command(weeks: Sequence[WeekStatus]) -> str | None:
    """The next command to type: for the gravest problem, the oldest first; None when nothing is wrong."""
    cells = [cell for week in sorted(weeks, key=lambda week: week.week) for cell in week.cells if cell.command]
    for state in (FAILED, PENDING, MISSING, WITHDRAWN, LATE, READY):
        if command := next((cell.command for cell in cells if cell.state == state), None):
            return command
    return next((week.command for week in sorted(weeks, key=lambda week: week.week) if week.command), None)


def command_against(run: Run, anomaly: Anomaly) -> str:
    """The command for an anomaly: what its week needs, or where that needs nothing, the one that resolves it."""
    of_week = examine(run, [date.fromisoformat(anomaly.week)]) if anomaly.week else []
    return next_command(of_week) or resolve_command(anomaly.id)


def judge(
    partition: Partition,
    entries: Sequence[Entry],
    absence: PublicationState,
    open_gaps: Sequence[Gap],
    faults: Sequence[Anomaly],
    *,
    is_ready: bool,
    fetch: str,
) -> Cell:
    """The state of a partition: from its captures (oldest first), what an absence means, its gaps, its unresolved errors, and
    whether the evaluation finds it ready. `fetch` is the command that fetches it."""
    current = next((entry for entry in entries if entry.state == CURRENT), None)
    newest = entries[-1] if entries else None
    shown = current or newest
    stage = shown.stage if shown else None
    capture_id = current.capture_id if current else None
    gap = open_gaps[0] if open_gaps else None
    fault = faults[0] if faults else None
    problem = f"{fault.category}: {fault.message}" if fault else gap.what if gap else None
    command = gap.command if gap else _command_for(fault, fetch) if fault else None
    if newest and newest.state == WITHDRAWN:
        return Cell(partition, WITHDRAWN, stage, 0, capture_id, problem, command)
    if current and is_ready:
        revised = sum(entry.state not in (UNFINISHED, CURRENT) for entry in entries[: entries.index(current)])
        return Cell(partition, READY, stage, revised, current.capture_id, problem, command)
    if not entries and (fault is None or fault.category in (Category.SOURCE_UNAVAILABLE, Category.LATE_DATA)):
        return Cell(partition, _OF_ABSENCE[absence], None, 0, None, problem, command)
    state = FAILED if fault else PENDING
    return Cell(partition, state, stage, 0, capture_id, problem, command)


def _command_for(fault: Anomaly, fetch: str) -> str:
    """For an error that left no gap behind: fetch again, or resolve it by hand."""
    return fetch if fault.stage == manifest.RAW else resolve_command(fault.id)


def _week(run: Run, week: date) -> WeekStatus:
    entries = [entry for entry in list_captures(run.db, week) if entry.state != PRUNED]
    open_ = list_anomalies(run.db, ("ERROR", "CRITICAL"), week, unresolved=True)
    judged = readiness.look(week, run.db, run.now, run.expected.calendar)
    cells = []
    for tier in TIERS:
        partition, of_tier = Partition(week, tier), [entry for entry in entries if entry.tier == tier]
        open_gaps = list(gaps.of_partition(run, partition, of_tier))
        faults, absence = [a for a in open_ if a.tier == tier], gaps.publication_state(run, partition)
        is_ready, fetch = not judged.tiers[tier].issues(), gaps.fetch_command(run.db, week, tier)
        cells.append(judge(partition, of_tier, absence, open_gaps, faults, is_ready=is_ready, fetch=fetch))
    problem, command = _of_week(run, week, [a for a in open_ if a.tier is None])
    return WeekStatus(week, tuple(cells), judged.week, problem, command)


def _of_week(run: Run, week: date, faults: Sequence[Anomaly]) -> tuple[str | None, str | None]:
    """What blocks the week itself: an error, results that are missing or stale, a stored readiness that is out of date."""
    gap = next(gaps.of_week(run, week), None)
    if faults:
        return f"{faults[0].category}: {faults[0].message}", gap.command if gap else resolve_command(faults[0].id)
    return (gap.what, gap.command) if gap else (None, None)
