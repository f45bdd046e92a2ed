"""`spine audit`: whether the log of events is whole, and how far it goes."""

from __future__ import annotations

import click

from market_spine.cli.commands import db_option, json_option, print_json, reading
from market_spine.errors import UsageError
from market_spine.small_files import read_small_text, why


@click.group("audit", epilog="Example: spine audit verify")
def command() -> None:
    """Verify the log of events, and print how far it goes."""


@command.command(
    "verify",
    epilog="""\b
Examples:
  spine audit verify
  spine audit verify --against checkpoint.txt --json""",
)
@click.option(
    "--against", "kept", multiple=True, metavar="FILE", help="A checkpoint kept elsewhere, as spine audit checkpoint prints it."
)
@db_option
@json_option
def verify(kept: tuple[str, ...], db: str, as_json: bool) -> None:
    """Check the chain and the tree of the log, and that the tables are what its events add up to.

    Exit 0: whole. Exit 1: every fault is named. Without a checkpoint kept elsewhere nothing shows that the log was not written
    anew by somebody who owns the database.
    """
    from market_spine.core.checkpoint import read_checkpoint
    from market_spine.operate import audit

    checkpoints = [read_checkpoint(_text(path)) for path in kept]
    with reading(db) as store:
        verdict = audit.verify(store, checkpoints)
    if as_json:
        print_json(events=verdict.size, faults=verdict.faults, checkpoint=verdict.checkpoint and verdict.checkpoint.line)
    else:
        for fault in verdict.faults:
            click.echo(f"✗ {fault}")
        click.echo(f"{verdict.size:,} events, {len(verdict.faults)} faults, {len(checkpoints)} checkpoints compared")
    raise click.exceptions.Exit(1 if verdict.faults else 0)


@command.command("checkpoint", epilog="Example: spine audit checkpoint > checkpoint.txt")
@db_option
@json_option
def print_checkpoint(db: str, as_json: bool) -> None:
    """Print how far the log goes: origin, size and root. Kept elsewhere, it shows later that nothing before it was changed."""
    from market_spine.core.checkpoint import ORIGIN, checkpoint

    with reading(db) as store:
        made = checkpoint(store)
    if made is None:
        raise UsageError("the log holds no events yet", hint="run_finra_weekly_schedule")
    if as_json:
        print_json(origin=f"{ORIGIN}/{made.store}", size=made.size, root=made.root.hex())
    else:
        click.echo(str(made), nl=False)


def _text(path: str) -> str:
    try:
        return read_small_text(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {why(error)}", hint="--against takes a file with a checkpoint") from error
