"""`spine doctor`: find and close gaps."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import (
    as_week,
    asked_weeks,
    calendar_options,
    db_option,
    expectations,
    json_option,
    moment,
    next_line,
    pasteable,
    print_dry,
    print_json,
    print_outcomes,
    run_date_option,
    source_of,
    source_options,
    weeks_options,
)
from market_spine.errors import SchemaTooOld, UsageError

if TYPE_CHECKING:
    from market_spine.operate.gaps import Gap


@click.command(
    "doctor",
    epilog="""\b
Examples:
  spine doctor --last 26
  spine doctor --last 26 --deep
  spine doctor --weeks 2025-10-03..2025-12-26 --fix --dry-run
  spine doctor --weeks 2025-10-03..2025-12-26 --fix --source api""",
)
@weeks_options(13)
@click.option("--from", "first", callback=as_week, hidden=True)
@click.option("--to", "last", callback=as_week, hidden=True)
@click.option("--deep", is_flag=True, help="Also hash the stored contents of these weeks.")
@click.option("--fix", is_flag=True, help="Close the gaps that can be closed, then check again; looks as --deep does.")
@click.option("--dry-run", is_flag=True, help="With --fix: list what would be done, change nothing.")
@click.option("--reason", default="doctor --fix", show_default=True, help="Reason for --fix, kept in core_operator_actions.")
@source_options
@calendar_options
@run_date_option
@db_option
@json_option
def command(
    count: int, weeks: int | tuple[date, ...] | None, first: date | None, last: date | None, deep: bool, fix: bool,
    dry_run: bool, reason: str, calendar_file: str | None, grace_days: int, run_date_text: str | None, db: str, as_json: bool,
    **source: object,
) -> None:
    """Compare what the publication calendar expects with what is stored, stage by stage. Exit 0: no gaps, 1: gaps.

    Also checks for orphans, stale week-level results, stored content that is gone or, with --deep, no longer matches its hash,
    captures from the future, an outdated schema.
    """
    from market_spine import clock
    from market_spine.operate import gaps, operation

    (now, run_date), today = moment(run_date_text), clock.market_date()
    chosen, expected = _weeks(count, weeks, first, last, run_date), expectations(calendar_file, grace_days)
    try:
        with operation.looking(db, run_date, now, expected) as run:
            open_gaps = gaps.find_gaps(run, chosen, today=today, deep=deep or fix)
    except SchemaTooOld as error:
        _print_gaps([gaps.Gap(gaps.Kind.SCHEMA, None, None, error.message, gaps.Remedy.MIGRATE, str(error.hint))], as_json)
        raise click.exceptions.Exit(1) from None
    if open_gaps and fix:
        from market_spine.operate import doctor

        arguments = {"weeks": [str(week) for week in chosen], **(source if doctor.asks_source(open_gaps) else {})}
        task = operation.Task(db, "doctor --fix", run_date, now, arguments, expected=expected)
        with operation.foreseen(task) if dry_run else operation.operation(task) as done:
            if not dry_run:
                operation.record_action(done.run.db, "doctor --fix", f"{len(open_gaps)} gaps", reason, now)
            done.outcomes = doctor.fix(done.run, lambda: source_of(**source), open_gaps)  # type: ignore[arg-type]
            open_gaps = open_gaps if dry_run else gaps.find_gaps(done.run, chosen, today=today, deep=True)
            done.code = int(bool(open_gaps))
        if not as_json:
            (print_dry if dry_run else print_outcomes)(done.outcomes)
    _print_gaps(open_gaps, as_json)
    raise click.exceptions.Exit(int(bool(open_gaps)))


def _weeks(
    count: int, weeks: int | tuple[date, ...] | None, first: date | None, last: date | None, run_date: date
) -> list[date]:
    from market_spine.operate.backfill import weeks_between

    if (first is None) != (last is None):
        raise UsageError("--from and --to belong together", hint="spine doctor --weeks 2025-10-03..2025-12-26")
    return weeks_between(first, last) if first and last else asked_weeks(count, weeks, run_date)


def _print_gaps(open_gaps: list[Gap], as_json: bool) -> None:
    from market_spine.cli import table

    if as_json:
        print_json(gaps=[gap.entry() for gap in open_gaps], exit_code=int(bool(open_gaps)))
    elif not open_gaps:
        click.echo("No gaps.")
    else:
        rows = [(gap.where, gap.kind.value, gap.what, pasteable(gap.command) if gap.command else "") for gap in open_gaps]
        click.echo(table.render(("where", "stage", "what", "command"), rows, whole_last=True))
        if command := next((gap.first_command for gap in open_gaps if gap.command), None):
            click.echo(next_line(command))
