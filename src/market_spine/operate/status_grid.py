"""Weeks × tiers: the state of each partition, what blocks it and the next command; a pure function of what was read once.

`spine status`, the card, the page and the static report show the same cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import cached_property

from market_spine.app.context import Run
from market_spine.app.readiness import Findings
from market_spine.calendar.publication import PublicationState
from market_spine.categories import Category
from market_spine.core import manifest
from market_spine.operate import evidence, gaps
from market_spine.operate.anomalies import Anomaly, resolve_command
from market_spine.operate.evidence import Evidence
from market_spine.operate.gaps import Gap, Kind
from market_spine.partition import TIERS, Partition, weeks_back
from market_spine.query.history import CURRENT, HELD, UNFINISHED, WITHDRAWN, Entry


class CellState(str, Enum):
    """The state of a partition."""

    READY = "ready"
    HELD = "held"  # normalized, and kept from becoming current by a gate
    PENDING = "pending"  # a stage is left to be done
    AWAITING = "awaiting"
    DUE = "due"  # published today
    LATE = "late"  # within the days of grace
    MISSING = "missing"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    OUTSIDE = "outside"  # before the first week that was ever asked for

    def __str__(self) -> str:
        return self.value


GLYPHS: Mapping[CellState, str] = {
    CellState.READY: "●",
    CellState.HELD: "▲",
    CellState.PENDING: "◐",
    CellState.AWAITING: "·",
    CellState.DUE: "◌",
    CellState.LATE: "!",
    CellState.MISSING: "✕",
    CellState.FAILED: "✖",
    CellState.WITHDRAWN: "⊘",
    CellState.OUTSIDE: "–",
}
REVISED = "◉"
STRIP_WEEKS = 12
# Nobody need look at these; a week with any other state is blocked.
QUIET = frozenset({CellState.READY, CellState.AWAITING, CellState.DUE, CellState.OUTSIDE})
_OF_ABSENCE = {
    PublicationState.AWAITING: CellState.AWAITING,
    PublicationState.DUE: CellState.DUE,
    PublicationState.LATE: CellState.LATE,
    PublicationState.MISSING: CellState.MISSING,
}
_NEVER_SHOWN = (UNFINISHED, HELD, CURRENT)  # none of these is an older figure that the current capture replaced


@dataclass(frozen=True, slots=True)
class Cell:
    """A partition. `revised` counts the captures the current one replaced; a ready one may have a `problem` too."""

    partition: Partition
    state: CellState
    stage: str | None = None
    revised: int = 0
    capture_id: str | None = None
    problem: str | None = None
    command: str | None = None

    def __str__(self) -> str:
        revised = f" (revised {self.revised})" if self.state is CellState.READY and self.revised else ""
        stage = f" ({self.stage})" if self.stage and self.state is not CellState.READY else ""
        return f"{self.state}{revised}{stage}{' !' if self.state is CellState.READY and self.problem else ''}"

    @property
    def glyph(self) -> str:
        """One character; of a ready partition it shows whether it was revised."""
        return REVISED if self.state is CellState.READY and self.revised else GLYPHS[self.state]

    def entry(self) -> dict[str, object]:
        """The cell, for machines."""
        return {
            "tier": self.partition.tier, "state": self.state.value, "stage": self.stage, "revised": self.revised,
            "capture_id": self.capture_id, "problem": self.problem, "command": self.command, "glyph": self.glyph,
        }


class WeekState(str, Enum):
    """A week is ready, or awaits publication, or somebody has to look at it."""

    READY = "ready"
    AWAITING = "awaiting"
    BLOCKED = "blocked"
    OUTSIDE = "outside"


@dataclass(frozen=True)  # without slots: its state is worked out once, and asked for often
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

    @cached_property
    def state(self) -> WeekState:
        """Awaiting only where nothing but the publication of a tier is waited for."""
        if all(cell.state is CellState.OUTSIDE for cell in self.cells):
            return WeekState.OUTSIDE
        if self.is_ready:
            return WeekState.READY
        quiet = all(cell.state in QUIET for cell in self.cells) and not self.problem and not self.findings.critical
        return WeekState.AWAITING if quiet else WeekState.BLOCKED

    @property
    def blocks(self) -> list[str]:
        """What blocks it, in words."""
        of_cells = [
            f"{cell.partition.tier}: {cell.problem or cell.state}" for cell in self.cells if cell.state is not CellState.READY
        ]
        blocks = of_cells + ([self.problem] if self.problem else [])
        return blocks or self.findings.issues()

    def entry(self) -> dict[str, object]:
        """The week, for machines."""
        return {
            "week_ending": self.week, "is_ready": self.is_ready, "state": self.state.value,
            "tiers": [cell.entry() for cell in self.cells], "blocks": self.blocks, "command": self.command,
        }


def kept_weeks(day: date, first_weeks: Mapping[str, date]) -> list[date]:
    """Every week from the first that is kept to a day, newest first; at least those of a strip."""
    first = min(first_weeks.values(), default=day)
    return weeks_back(max(STRIP_WEEKS, (day - first).days // 7 + 1), day)


def read(run: Run, weeks: Sequence[date], first_weeks: Mapping[str, date] | None = None) -> list[WeekStatus]:
    """The state of these weeks on the run's day, in the order given; seven statements, however many weeks."""
    return grid(run, weeks, evidence.read(run.db, min(weeks), max(weeks), first_weeks))


def grid(run: Run, weeks: Iterable[date], stored: Evidence) -> list[WeekStatus]:
    """The same from what was read; of the run only its day, its time and what it expects count."""
    return [_week(run, week, stored) for week in weeks]


def tally(weeks: Iterable[WeekStatus]) -> dict[WeekState, int]:
    """How many weeks are ready, awaiting and blocked."""
    counts = Counter(week.state for week in weeks)
    return {state: counts[state] for state in (WeekState.READY, WeekState.AWAITING, WeekState.BLOCKED)}


def judge(
    partition: Partition,
    entries: Sequence[Entry],
    absence: CellState,
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
        return Cell(partition, CellState.WITHDRAWN, stage, 0, capture_id, problem, command)
    if gap and gap.kind is Kind.HELD:
        return Cell(partition, CellState.HELD, stage, 0, capture_id, problem, command)
    if current and is_ready:
        revised = sum(entry.state not in _NEVER_SHOWN for entry in entries[: entries.index(current)])
        return Cell(partition, CellState.READY, stage, revised, current.capture_id, problem, command)
    if not entries and (fault is None or fault.category in (Category.SOURCE_UNAVAILABLE, Category.LATE_DATA)):
        if absence is CellState.OUTSIDE:
            return Cell(partition, absence)
        return Cell(partition, absence, None, 0, None, problem, command)
    return Cell(partition, CellState.FAILED if fault else CellState.PENDING, stage, 0, capture_id, problem, command)


def absence_of(run: Run, partition: Partition, stored: Evidence) -> CellState:
    """What it means that a partition has no capture."""
    by_calendar = _OF_ABSENCE[gaps.publication_state(run, partition)]
    is_outside = by_calendar is CellState.MISSING and stored.is_before_coverage(partition)
    return CellState.OUTSIDE if is_outside else by_calendar


def _command_for(fault: Anomaly, fetch: str) -> str:
    """For an error that left no gap behind: fetch again, or resolve it by hand."""
    return fetch if fault.stage == manifest.RAW else resolve_command(fault.id)


def _week(run: Run, week: date, stored: Evidence) -> WeekStatus:
    judged = stored.judgement(run, week)
    cells = []
    for tier in TIERS:
        partition = Partition(week, tier)
        entries, faults = stored.entries_of(partition), stored.faults(week, tier)
        open_gaps, absence = list(gaps.of_partition(run, partition, stored)), absence_of(run, partition, stored)
        is_ready, fetch = not judged.tiers[tier].issues(), gaps.fetch_from(stored.asked, week, tier)
        cells.append(judge(partition, entries, absence, open_gaps, faults, is_ready=is_ready, fetch=fetch))
    problem, command = _of_week(stored, week)
    return WeekStatus(week, tuple(cells), judged.week, problem, command)


def _of_week(stored: Evidence, week: date) -> tuple[str | None, str | None]:
    """What blocks the week itself: an error, results that are missing or stale, a stored readiness that is out of date."""
    gap, faults = next(gaps.of_week(stored, week), None), stored.faults(week, None)
    if faults:
        return f"{faults[0].category}: {faults[0].message}", gap.command if gap else resolve_command(faults[0].id)
    return (gap.what, gap.command) if gap else (None, None)
