"""`spine db`: make and look after a database."""

from __future__ import annotations

import contextlib
import json

import click

from market_spine import clock
from market_spine.cli_options import Number, as_target
from market_spine.commands import db_option, json_option


@click.group("db", epilog="Example: spine db migrate --db data/market_spine.db")
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


@command.command("migrate", epilog="Example: spine db migrate --db data/market_spine.db")
@db_option
@click.option("--backup/--no-backup", default=True, show_default=True, help="Copy a SQLite file beside itself before.")
@click.option("--lock-wait", type=Number(0), default=0, show_default=True, help="Seconds to wait for a run to end.")
@json_option
def migrate(db: str, backup: bool, lock_wait: float, as_json: bool) -> None:
    """Bring an existing database to this program's schema, after a copy of it, while no run works on it."""
    from market_spine import executions, migrations
    from market_spine.db import connect

    now = clock.utc_now()
    with contextlib.closing(connect(db, create=False)) as database:
        owner = executions.new_execution_id(now)
        done = migrations.migrate(database, owner, now, wait_seconds=lock_wait, backup=backup)
    names = [f"{migration.number:04} {migration.name}" for migration in done.applied]
    if as_json:
        copied = None if done.backup is None else str(done.backup)
        facts = {"database": database.label, "before": done.before, "after": done.after, "applied": names, "backup": copied}
        click.echo(json.dumps({"schema_version": 1, **facts}, indent=2))
        return
    if done.backup:
        click.echo(f"Copied to {done.backup}")
    said = f"migrated from schema {done.before} to {done.after}: {', '.join(names)}" if names else f"is at schema {done.after}"
    click.echo(f"{database.label} {said}")


@command.command("copy", epilog="Example: spine db copy data/market_spine.db postgresql://spine@db.example/spine")
@click.argument("source", callback=as_target)
@click.argument("destination", callback=as_target)
@json_option
def copy(source: str, destination: str, as_json: bool) -> None:
    """Copy SOURCE into the empty database DESTINATION and verify counts and digests; either engine, either way."""
    from market_spine.db import connect
    from market_spine.db import copy as db_copy
    from market_spine.store import snapshot_of

    with snapshot_of(source) as old, contextlib.closing(connect(destination)) as new:
        copied = db_copy.copy(old, new, clock.utc_now())
    if as_json:
        tables = [{"table": done.table, "rows": done.rows, "digest": done.digest} for done in copied]
        click.echo(json.dumps({"schema_version": 1, "source": old.label, "destination": new.label, "tables": tables}, indent=2))
        return
    for done in copied:
        click.echo(f"{done.table:<45} {done.rows:>12,}  {done.digest[:16]}")
    click.echo(f"Copied and verified {sum(done.rows for done in copied):,} rows from {old.label} to {new.label}")
