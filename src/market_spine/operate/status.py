"""The state of the last weeks, and the one command to type next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from market_spine.app.context import Run
from market_spine.operate import gaps, status_grid
from market_spine.operate.anomalies import Anomaly, resolve_command
from market_spine.operate.status_grid import CellState, WeekStatus

_GRAVEST_FIRST = (
    CellState.FAILED, CellState.HELD, CellState.PENDING, CellState.MISSING, CellState.WITHDRAWN, CellState.LATE, CellState.DUE,
    CellState.READY,
)


def examine(run: Run, weeks: Sequence[date]) -> list[WeekStatus]:
    """The state of these weeks on the run's day, in the order given."""
    return status_grid.read(run, weeks)


def next_command(weeks: Sequence[WeekStatus]) -> str | None:
    """The next command to type: for the gravest problem, the oldest first; None when nothing is wrong. The source has just shown
    what is held, so that to fetch it again rarely helps: the command shows why it is held, and what the choices are."""
    by_age = sorted(weeks, key=lambda week: week.week)
    cells = [cell for week in by_age for cell in week.cells if cell.command]
    for state in _GRAVEST_FIRST:
        if cell := next((cell for cell in cells if cell.state is state), None):
            where = cell.partition
            return gaps.explain_command(where.week_ending, where.tier) if state is CellState.HELD else cell.command
    return next((week.command for week in by_age if week.command), None)


def command_against(run: Run, anomaly: Anomaly) -> str:
    """The command for an anomaly: what its week needs, or where that needs nothing, the one that resolves it."""
    of_week = examine(run, [date.fromisoformat(anomaly.week)]) if anomaly.week else []
    return next_command(of_week) or resolve_command(anomaly.id)
