"""`spine db`: create, migrate, copy and back up a database."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import click

from market_spine import clock
from market_spine.cli.commands import db_option, json_option, print_json
from market_spine.cli.options import Number, Whole, as_target
from market_spine.cli.progress import progress


@click.group("db", epilog="Example: spine db migrate --db data/market_spine.db")
def command() -> None:
    """Create, migrate, copy and back up a database."""


@command.command("init", epilog="Example: spine db init --db data/market_spine.db")
@db_option
def init(db: str) -> None:
    """Create an empty database with the current schema; an existing one is only checked."""
    from market_spine.db import connect
    from market_spine.db.migrations import prepare, schema_version

    with contextlib.closing(connect(db)) as database:
        before = schema_version(database)
        prepare(database, clock.utc_now())
        did = "is already at" if before else "made with"
        click.echo(f"{database.label} {did} schema {schema_version(database)}")


@command.command("migrate", epilog="Example: spine db migrate --db data/market_spine.db")
@db_option
@click.option("--backup/--no-backup", default=True, show_default=True, help="Copy a SQLite file first, into the same folder.")
@click.option("--lock-wait", type=Number(0), default=0, show_default=True, help="Seconds to wait for a running run to end.")
@json_option
def migrate(db: str, backup: bool, lock_wait: float, as_json: bool) -> None:
    """Migrate an existing database to this program's schema, after copying it; no run may be active."""
    from market_spine.core import executions
    from market_spine.db import connect
    from market_spine.operate.migrate import bring_up

    now = clock.utc_now()
    with contextlib.closing(connect(db, create=False)) as database:
        owner = executions.new_execution_id(now)
        done = bring_up(database, owner, now, wait_seconds=lock_wait, backup=backup, watch=progress)
    names = [f"{migration.number:04} {migration.name}" for migration in done.applied]
    if as_json:
        copied = None if done.backup is None else str(done.backup)
        facts = {"database": database.label, "before": done.before, "after": done.after, "applied": names, "backup": copied}
        click.echo(json.dumps({"schema_version": 1, **facts}, indent=2))
        return
    if done.backup:
        click.echo(f"Copied to {done.backup}")
    message = f"migrated from schema {done.before} to {done.after}: {', '.join(names)}" if names else f"is at schema {done.after}"
    click.echo(f"{database.label} {message}")


@command.command("copy", epilog="Example: spine db copy data/market_spine.db postgresql://spine@db.example/spine")
@click.argument("source", callback=as_target)
@click.argument("destination", callback=as_target)
@json_option
def copy(source: str, destination: str, as_json: bool) -> None:
    """Copy SOURCE into the empty database DESTINATION and verify counts and digests; between any two engines."""
    from market_spine.core.store import snapshot_of
    from market_spine.db import connect
    from market_spine.db import copy as db_copy

    with snapshot_of(source) as old:
        db_copy.check_source(old)
        with contextlib.closing(connect(destination)) as new, progress("copy", "rows") as tell:
            copied = db_copy.copy(old, new, clock.utc_now(), tell)
    if as_json:
        tables = [{"table": done.table, "rows": done.rows, "digest": done.digest} for done in copied]
        click.echo(json.dumps({"schema_version": 1, "source": old.label, "destination": new.label, "tables": tables}, indent=2))
        return
    for done in copied:
        click.echo(f"{done.table:<45} {done.rows:>12,}  {done.digest[:16]}")
    click.echo(f"Copied and verified {sum(done.rows for done in copied):,} rows from {old.label} to {new.label}")


@command.command(
    "backup",
    epilog="""\b
Examples:
  spine db backup
  spine db backup /srv/backups --keep 30
  spine db backup /srv/backups --db postgresql://spine@db.example/spine""",
)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--keep", type=Whole(1, 100_000), default=14, show_default=True, help="Keep the newest N backups of this database.")
@db_option
@json_option
def backup(folder: Path | None, keep: int, db: str, as_json: bool) -> None:
    """Back up the database into DIR (default: backups, beside a SQLite file), verify the copy, remove the oldest.

    Runs may go on meanwhile: the copy is one moment of the database. SQLite: a database file, checked page by page. PostgreSQL:
    a dump by pg_dump, read back by pg_restore.
    """
    from market_spine.db import is_postgres
    from market_spine.operate.backup import back_up

    folder = folder or (Path("backups") if is_postgres(db) else Path(db).parent / "backups")
    with progress("backup", "pages") as tell:
        made = back_up(db, folder, clock.utc_now(), keep, tell)
    if as_json:
        facts = {"path": str(made.path), "bytes": made.size, "sha256": made.sha256, "schema": made.schema}
        print_json(**facts, events=made.events, removed=list(made.removed))
        return
    click.echo(f"{made.path}: {made.size:,} bytes, schema {made.schema}, {made.events:,} events, verified")
    if made.removed:
        click.echo(f"removed {len(made.removed)} older: {', '.join(made.removed)}")
