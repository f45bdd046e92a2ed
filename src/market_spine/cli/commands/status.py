"""`spine status`: the state of the last weeks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import (
    as_of_option,
    asked_weeks,
    calendar_options,
    db_option,
    expectations,
    json_option,
    moment,
    next_line,
    print_json,
    run_date_option,
    weeks_options,
)

if TYPE_CHECKING:
    from market_spine.operate.status_grid import WeekStatus

_LISTED = 13  # more weeks than these are columns


@click.command(
    "status",
    epilog="""\b
Examples:
  spine status
  spine status --last 26 --json
  spine status --weeks 2025-10-03..2025-12-26
  spine status --as-of 2026-01-09""",
)
@weeks_options(6)
@calendar_options
@run_date_option
@as_of_option
@db_option
@json_option
def command(
    count: int, weeks: int | tuple[date, ...] | None, calendar_file: str | None, grace_days: int, run_date_text: str | None,
    as_of: date | None, db: str, as_json: bool,
) -> None:
    """Show weeks × tiers: ready, awaiting, due, late, missing, failed, held, withdrawn or pending, with the stage reached. More
    than 13 weeks are columns, a character each.

    Below the table: what blocks readiness, and the next command. With --as-of, all of it as it was at the end of a past day.
    """
    from market_spine.cli import strips, table
    from market_spine.core import webhooks
    from market_spine.operate import operation, status

    now, run_date = moment(str(as_of) if as_of else run_date_text)
    expected = expectations(calendar_file, grace_days)
    with operation.looking_back(db, as_of, expected) if as_of else operation.looking(db, run_date, now, expected) as run:
        rows, troubles = status.examine(run, asked_weeks(count, weeks, run_date)), webhooks.troubles(run.db)
    next_command = status.next_command(rows)
    webhook_troubles = {"webhooks": [trouble._asdict() for trouble in troubles]} if troubles else {}
    if as_json:
        print_json(run_date=run_date, weeks=[row.entry() for row in rows], next=next_command, **webhook_troubles)
        return
    lines = strips.grid(rows) if len(rows) > _LISTED else [_listed(rows)]
    blocks = [(str(row.week), cell.partition.tier, cell.problem) for row in rows for cell in row.cells if cell.problem]
    blocks += [(str(row.week), "", row.problem) for row in rows if row.problem]
    if blocks:
        lines += ["", table.render(("week", "tier", "blocked by"), sorted(blocks))]
    lines += [f"\n⚠ {trouble}" for trouble in troubles]
    click.echo("\n".join([*lines, *(["", next_line(next_command)] if next_command else [])]))


def _listed(rows: Sequence[WeekStatus]) -> str:
    """A line a week."""
    from market_spine.cli import table
    from market_spine.partition import TIERS

    cells = [(str(row.week), *(f"{cell.glyph} {cell}" for cell in row.cells), row.state.value) for row in rows]
    return table.render(("week", *TIERS, "week is"), cells)
