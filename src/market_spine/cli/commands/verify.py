"""`spine verify`: check everything that is stored."""

from __future__ import annotations

import click

from market_spine.cli.commands import db_option, json_option, next_line, print_json, reading
from market_spine.cli.progress import progress


@click.command(
    "verify",
    epilog="""\b
Examples:
  spine verify
  spine verify --deep --json""",
)
@click.option("--deep", is_flag=True, help="Also parse every stored content again and compare it with the rows, field by field.")
@db_option
@json_option
def command(deep: bool, db: str, as_json: bool) -> None:
    """Check the hash of every content, and counts and sums of captures, measures and weeks. One line per fault, exit 1."""
    from market_spine import clock
    from market_spine.operate.verify import verify

    with reading(db) as store, progress("verify", "captures") as tell:
        faults = []
        for fault in verify(store, deep=deep, today=clock.market_date(), tell=tell):
            faults.append(fault)
            if not as_json:
                click.echo(str(fault))
    if as_json:
        print_json(faults=[{"where": f.where, "what": f.what, "remedy": f.remedy} for f in faults], exit_code=int(bool(faults)))
    else:
        command = next((fault.remedy for fault in faults if fault.remedy), None)
        click.echo(next_line(command) if command else "restore a backup" if faults else "No faults.")
    raise click.exceptions.Exit(int(bool(faults)))
