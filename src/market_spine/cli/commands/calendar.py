"""`spine calendar`: due dates, and what is due next."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import asked_weeks, json_option, moment, print_json, run_date_option, weeks_options

if TYPE_CHECKING:
    from market_spine.calendar.publication import Due


@click.command(
    "calendar",
    epilog="""\b
Examples:
  spine calendar
  spine calendar --last 10 --run-date 2026-01-09
  spine calendar --calendar-file closures.toml --json""",
)
@weeks_options(6)
@click.option(
    "--calendar-file", envvar="MARKET_SPINE_CALENDAR_FILE", help="Special closures and moved publication days, in TOML."
)
@run_date_option
@json_option
def command(
    count: int, weeks: int | tuple[date, ...] | None, calendar_file: str | None, run_date_text: str | None, as_json: bool
) -> None:
    """Show by tier when each week is due and what its absence would mean today, and what is due next."""
    from market_spine.calendar.publication import EXCHANGE, Due, due_date, next_due, read_calendar
    from market_spine.partition import TIERS, Partition

    _, day = moment(run_date_text)
    calendar = read_calendar(calendar_file) if calendar_file else EXCHANGE
    listed = [Partition(week, tier) for week in asked_weeks(count, weeks, day) for tier in TIERS]
    dues = [Due(due_date(partition, calendar), partition) for partition in listed]
    coming = next_due(day, calendar=calendar)
    if as_json:
        print_json(
            run_date=day,
            partitions=[{**_entry(due), "state": _state(due, day)} for due in dues],
            next=[_entry(due) for due in coming],
        )
    else:
        click.echo(_table(dues, coming, day))


def _entry(due: Due) -> dict[str, object]:
    return {"week_ending": due.partition.week, "tier": due.partition.tier, "due": due.day}


def _state(due: Due, day: date) -> str:
    """What it means when it is absent: awaiting, due, late or missing; `spine status` shows whether it was captured."""
    from market_spine.calendar.publication import state_by

    return state_by(due.day, day).value


def _table(dues: list[Due], coming: list[Due], day: date) -> str:
    from market_spine.cli import table
    from market_spine.partition import TIERS

    weeks = dict.fromkeys(due.partition.week for due in dues)
    cells = {(due.partition.week, due.partition.tier): f"{_state(due, day)} {due.day:%a %m-%d}" for due in dues}
    rows = [[week, *(cells[week, tier] for tier in TIERS)] for week in weeks]
    head = f"Where nothing is stored by {day:%A %Y-%m-%d} (what is: spine status):"
    named = ", ".join(str(due.partition) for due in coming)
    foot = f"Next: {coming[0].day:%A %Y-%m-%d}: {named}"
    return "\n\n".join([table.filled(head), table.render(["week ending", *TIERS], rows), table.filled(foot)])
