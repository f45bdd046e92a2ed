"""`spine rebuild`: recompute everything from the stored content."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli.commands import (
    as_week,
    db_option,
    json_option,
    moment,
    print_json,
    run_date_option,
    say_next,
    say_outcomes,
)


@click.command(
    "rebuild",
    epilog="""\b
Examples:
  spine rebuild 2025-12-26
  spine rebuild --reason "new parser"                    every week""",
)
@click.argument("week", required=False, callback=as_week)
@click.option("--reason", default="rebuild", show_default=True, help="Reason, recorded in core_operator_actions.")
@run_date_option
@db_option
@json_option
def command(week: date | None, reason: str, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Recompute NORMALIZED and CALC of a week (default: of every week) from the RAW content.

    As-of results do not change: an export before and after is the same. A capture whose content is damaged keeps its rows,
    exit 1.
    """
    from market_spine.operate import operation
    from market_spine.operate.rebuild import rebuild

    now, run_date = moment(run_date_text)
    with operation.execution(db, "rebuild", run_date, now, {"weeks": [str(week)] if week else []}) as (run, outcomes):
        operation.record_action(run.db, "rebuild", str(week or "every week"), reason, now)
        outcomes += rebuild(run, week)
    if as_json:
        print_json(run_id=run.execution_id, **operation.document(outcomes), exit_code=operation.exit_code(outcomes))
    else:
        say_outcomes(outcomes)
        say_next(outcomes)
    raise click.exceptions.Exit(operation.exit_code(outcomes))
