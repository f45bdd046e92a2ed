"""Migrate: brings an existing database to this program's schema, under the lock and after a copy of it.

It writes no row in core_executions and so does not use operation.py: until it is done, that table may have another shape.
"""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from market_spine.core import genesis
from market_spine.core.locks import run_lock
from market_spine.db import Database, Watch, migrations, unwatched
from market_spine.db.migrations import Migration
from market_spine.errors import ConfigurationError


class Migrated(NamedTuple):
    """What a migration did: from and to which schema, and the copy made before (None on PostgreSQL, or with nothing to do)."""

    before: int
    after: int
    applied: tuple[Migration, ...]
    backup: Path | None


def bring_up(
    db: Database, owner: str, now: datetime, *, wait_seconds: float = 0, backup: bool = True, watch: Watch = unwatched
) -> Migrated:
    """Brings an existing database to this program's schema: under the run lock, after a copy of it, in one transaction.

    Killed at any moment it leaves the old schema or the new one, and at most a copy named `.part`. Raises RunLocked,
    SchemaTooNew, SchemaDiffers, and ConfigurationError for a database that has no schema yet.
    """
    applied, newest = migrations.applied(db), migrations.migrations(db.engine)[-1].number
    before = max(applied, default=0)
    if before == 0:
        hint = f"spine db init --db {shlex.quote(db.label)}"
        raise ConfigurationError(f"{db.label} holds no market-spine tables to migrate", hint=hint)
    if before >= newest:
        migrations.check_schema(db)
    if before == newest and None not in applied.values():
        return Migrated(before, before, (), None)
    migrations.check_digests(db, applied)
    with run_lock(db, owner, wait_seconds=wait_seconds):
        copies = backup and before < newest
        with watch("copy", "bytes") as tell:
            copied = db.backup_beside(f"schema-{before:04}-{now:%Y%m%dT%H%M%S}", tell) if copies else None
        with watch("migrate", "migrations") as tell, db.transaction():
            new = migrations.apply(db, now, tell)
            genesis.begin(db, new, now)
        return Migrated(before, migrations.schema_version(db), tuple(new), copied)
