"""`spine pin`: name a capture and never prune it."""

from __future__ import annotations

import click

from market_spine.cli.commands import complete_capture, db_option, json_option, moment, print_json, run_date_option
from market_spine.errors import UsageError


@click.command(
    "pin",
    epilog="""\b
Examples:
  spine pin OTC:2025-12-26:20260109 audit-2026
  spine pin audit-2026 --remove --reason "audit closed" """,
)
@click.argument("capture", shell_complete=complete_capture)
@click.argument("name", required=False)
@click.option("--remove", is_flag=True, help="Remove the pin.")
@click.option("--reason", default="pin", show_default=True, help="Reason, recorded in core_operator_actions.")
@run_date_option
@db_option
@json_option
def command(capture: str, name: str | None, remove: bool, reason: str, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Pin a capture: it is never pruned, and other commands find it by that name."""
    from market_spine.operate import operation, prune

    if (name is None) != remove:
        raise UsageError("a pin needs a name", hint="give a NAME, or --remove to take a pin away")
    now, _ = moment(run_date_text)
    with operation.changing(db, now) as store:
        keep = prune.pin(store, capture, name, reason, now) if name else None
        entry = keep or prune.unpin(store, capture, reason, now)
    if as_json:
        print_json(capture=entry.entry())
    else:
        click.echo(f"{entry.capture_id} is pinned as {name}" if name else f"{entry.capture_id} is no longer pinned")
