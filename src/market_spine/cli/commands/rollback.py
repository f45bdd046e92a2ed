"""`spine rollback`: withdraw the current capture; the previous good one becomes current."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli.commands import (
    UNDONE,
    as_tier,
    as_week,
    complete_tier,
    complete_week,
    db_option,
    dry_run_option,
    end_change,
    json_option,
    moment,
    pasteable,
    run_date_option,
)
from market_spine.errors import UsageError
from market_spine.partition import TIERS


@click.command(
    "rollback",
    epilog="""\b
Examples:
  spine rollback 2025-12-26 OTC --reason "FINRA announced a faulty file"
  spine rollback latest T1 --reason "faulty" --dry-run
  spine rollback 2025-12-26 --undo""",
)
@click.argument("week", required=False, callback=as_week, shell_complete=complete_week)
@click.argument("tier", required=False, callback=as_tier, shell_complete=complete_tier)
@click.option("--reason", help="Reason, recorded with the withdrawal. Required unless --undo.")
@click.option("--undo", is_flag=True, help="Undo the last withdrawal.")
@click.option("--future", is_flag=True, help="Withdraw every capture with a run date after today, of any week.")
@dry_run_option
@run_date_option
@db_option
@json_option
def command(
    week: date | None, tier: str | None, reason: str | None, undo: bool, future: bool, dry_run: bool,
    run_date_text: str | None, db: str, as_json: bool,
) -> None:
    """Withdraw the current capture of a tier (default: of every tier). Nothing is deleted.

    The week is not ready until a good capture arrives. The same content is refused when it comes again, except with --force.
    """
    from market_spine.operate import operation, rollback

    if (week is None) is not future or (future and undo):
        raise UsageError("give one WEEK, or --future", hint="spine rollback --help")
    if not reason and not undo:
        raise UsageError("a rollback needs a reason", hint=_typed(week, tier, '--reason "…"'))
    now, run_date = moment(run_date_text)
    tiers, why = (tier,) if tier else TIERS, reason or "undo"
    arguments = {"weeks": [str(week)] if week else [], "tiers": list(tiers), "reason": why, "undo": undo, "future": future}
    task = operation.Task(db, "rollback", run_date, now, arguments)
    with operation.undone(task) if dry_run else operation.operation(task) as done:
        if week is None:
            rolled = rollback.withdraw_future(done.run, why)
        else:
            rolled = (rollback.undo if undo else rollback.roll_back)(done.run, week, tiers, why)
        done.outcomes = list(rolled.outcomes)
    undone = f"a good capture replaces it; to undo: {pasteable(_typed(week, tier, '--undo'))}" if week and not undo else None
    end_change(done, rolled, as_json, UNDONE if dry_run else undone, dry_run=dry_run)


def _typed(week: date | None, tier: str | None, ending: str) -> str:
    """The command as a person types it."""
    return " ".join(["spine rollback", str(week) if week else "--future", *([tier] if tier else []), ending])
