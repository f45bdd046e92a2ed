"""`spine hold`: keep the current capture of a partition from being current."""

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
    pasteable,
    reason_option,
    run_date_option,
)


@click.command(
    "hold",
    epilog="""\b
Examples:
  spine hold 2025-12-26 OTC --reason "one venue looks doubled; asked FINRA"
  spine hold 2025-12-26 OTC --reason "asked FINRA" --json""",
)
@click.argument("week", callback=as_week, shell_complete=complete_week)
@click.argument("tier", callback=as_tier, shell_complete=complete_tier)
@reason_option
@run_date_option
@db_option
@json_option
def command(week: date, tier: str, reason: str, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Hold the current capture of a tier: the good one before it becomes current again, and the week is not ready.

    The rows stay stored and measured. It ends with spine release, or with other content that passes the gates.
    """
    from market_spine.operate import hold, operation

    now, run_date = moment(run_date_text)
    arguments = {"weeks": [str(week)], "tiers": [tier], "reason": reason}
    with operation.operation(operation.Task(db, "hold", run_date, now, arguments)) as done:
        changed = hold.hold(done.run, week, tier, reason)
        done.outcomes = list(changed.outcomes)
    released = pasteable(f'spine release {week} {tier} --reason "…"')
    end_change(done, changed, as_json, f"other content that passes the gates replaces it; to release it: {released}")
