"""`spine rebuild`: recompute everything from the stored content."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli.commands import (
    UNDONE,
    as_week,
    complete_week,
    db_option,
    dry_run_option,
    json_option,
    moment,
    print_json,
    print_next,
    print_outcomes,
    run_date_option,
)
from market_spine.cli.progress import progress


@click.command(
    "rebuild",
    epilog="""\b
Examples:
  spine rebuild 2025-12-26 --dry-run
  spine rebuild --reason "new parser"                    every week""",
)
@click.argument("week", required=False, callback=as_week, shell_complete=complete_week)
@click.option("--reason", default="rebuild", show_default=True, help="Reason, recorded in core_operator_actions.")
@dry_run_option
@run_date_option
@db_option
@json_option
def command(week: date | None, reason: str, dry_run: bool, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Recompute NORMALIZED and CALC of a week (default: of every week) from the RAW content.

    As-of results do not change: an export before and after is the same. Exit 1 when a capture's content is damaged (it keeps
    its rows), 2 when nothing could be rebuilt.
    """
    from market_spine.operate import operation
    from market_spine.operate.rebuild import rebuild

    now, run_date = moment(run_date_text)
    task = operation.Task(db, "rebuild", run_date, now, {"weeks": [str(week)] if week else []})
    with operation.undone(task) if dry_run else operation.operation(task) as done, progress("rebuild", "weeks") as tell:
        operation.record_action(done.run.db, "rebuild", str(week or "every week"), reason, now)
        rebuild(done.run, week, done.outcomes.append, tell)
    if as_json:
        print_json(run_id=done.run.execution_id, dry_run=dry_run, **done.document(), exit_code=done.exit_code)
    else:
        print_outcomes(done.outcomes)
        if dry_run:
            click.echo(UNDONE)
        print_next(done.outcomes)
    raise click.exceptions.Exit(done.exit_code)
