"""`spine db`: make and look after a database."""

from __future__ import annotations

import contextlib
import json

import click

from market_spine import clock
from market_spine.commands import db_option, json_option


@click.group("db")
def command() -> None:
    """Make, migrate, copy and look at a database."""


@command.command("init", epilog="Example: spine db init --db data/market_spine.db")
@db_option
def init(db: str) -> None:
    """Make an empty database with the current schema; one that is there already is only checked."""
    from market_spine.db import connect
    from market_spine.migrations import prepare, schema_version

    with contextlib.closing(connect(db)) as database:
        before = schema_version(database)
        prepare(database, clock.utc_now())
        did = "is already at" if before else "made with"
        click.echo(f"{database.label} {did} schema {schema_version(database)}")


@command.command("copy", epilog="Example: spine db copy data/market_spine.db postgresql://spine@db.example/spine")
@click.argument("source")
@click.argument("destination")
@json_option
def copy(source: str, destination: str, as_json: bool) -> None:
    """Copy SOURCE into the empty database DESTINATION and verify counts and digests; either engine, either way."""
    from market_spine import db_copy
    from market_spine.db import connect

    with contextlib.closing(connect(source, create=False)) as old, contextlib.closing(connect(destination)) as new:
        copied = db_copy.copy(old, new, clock.utc_now())
    if as_json:
        tables = [{"table": done.table, "rows": done.rows, "digest": done.digest} for done in copied]
        click.echo(json.dumps({"schema_version": 1, "source": old.label, "destination": new.label, "tables": tables}, indent=2))
        return
    for done in copied:
        click.echo(f"{done.table:<45} {done.rows:>12,}  {done.digest[:16]}")
    click.echo(f"Copied and verified {sum(done.rows for done in copied):,} rows from {old.label} to {new.label}")
