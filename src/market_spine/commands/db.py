"""`spine db`: make and look after a database."""

from __future__ import annotations

import contextlib

import click

from market_spine import clock
from market_spine.commands import db_option


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
