"""`spine release`: make a held capture current."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli.commands import (
    as_tier,
    as_week,
    complete_tier,
    complete_week,
    db_option,
    end_change,
    json_option,
    moment,
    reason_option,
    run_date_option,
)


@click.command(
    "release",
    epilog="""\b
Examples:
  spine release 2025-12-26 OTC --reason "FINRA confirmed the figures"
  spine release 2025-12-26 OTC --reason "FINRA confirmed" --json""",
)
@click.argument("week", callback=as_week, shell_complete=complete_week)
@click.argument("tier", callback=as_tier, shell_complete=complete_tier)
@reason_option
@run_date_option
@db_option
@json_option
def command(week: date, tier: str, reason: str, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Overrule the gates for what is held of a tier: it becomes current, and the week is evaluated again.

    It counts for exactly that content: when it is offered again, it passes.
    """
    from market_spine.operate import hold, operation

    now, run_date = moment(run_date_text)
    arguments = {"weeks": [str(week)], "tiers": [tier], "reason": reason}
    with operation.operation(operation.Task(db, "release", run_date, now, arguments)) as done:
        changed = hold.release(done.run, week, tier, reason)
        done.outcomes = list(changed.outcomes)
    end_change(done, changed, as_json)
