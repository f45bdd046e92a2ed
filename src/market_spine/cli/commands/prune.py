"""`spine prune`: remove old captures."""

from __future__ import annotations

import click

from market_spine.cli.commands import db_option, json_option, moment, print_json, run_date_option
from market_spine.cli.options import Whole
from market_spine.cli.progress import progress
from market_spine.errors import UsageError


@click.command(
    "prune",
    epilog="""\b
Examples:
  spine prune --older-than 730 --dry-run
  spine prune --older-than 730 --reason "retention policy 7.2" """,
)
@click.option(
    "--older-than", "days", required=True, type=Whole(0, 36_500), metavar="DAYS", help="Captures with an older run date."
)
@click.option("--dry-run", is_flag=True, help="List what would be pruned, change nothing.")
@click.option("--reason", help="Reason, recorded on each tombstone. Required unless --dry-run.")
@run_date_option
@db_option
@json_option
def command(days: int, dry_run: bool, reason: str | None, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Remove old captures; a tombstone (hash, counts, when, who, rule) stays for each.

    Never the current, the last good, the newest or a pinned capture of a partition. The rows of a pruned capture are no longer
    available to --as-of for the days on which it was current. Week-level results stay.
    """
    from market_spine.operate import operation, prune

    if not reason and not dry_run:
        raise UsageError("a prune needs a reason", hint=f"spine prune --older-than {days} --dry-run")
    now, run_date = moment(run_date_text)
    arguments = {"older_than": days, "reason": reason}
    if dry_run:
        with operation.looking(db, run_date, now) as run:
            goes = prune.plan(run, days)
    else:
        task = operation.Task(db, "prune", run_date, now, arguments)
        with operation.operation(task) as done, progress("prune", "captures") as tell:
            goes = prune.prune(done.run, days, str(reason), tell)
    if as_json:
        print_json(dry_run=dry_run, captures=[{**p.entry.entry(), "bytes": p.bytes} for p in goes])
        return
    did = "would prune" if dry_run else "pruned"
    for pruning in goes:
        click.echo(f"{did} {pruning.capture_id}: {pruning.entry.rows or 0:,} rows, {pruning.bytes:,} bytes")
    captures = "1 capture" if len(goes) == 1 else f"{len(goes)} captures"
    rows, size = sum(p.entry.rows or 0 for p in goes), sum(p.bytes for p in goes)
    click.echo(f"{did} {captures}, {rows:,} rows, {size:,} bytes of RAW")
