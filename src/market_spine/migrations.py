"""Bring a database to the schema of this program: numbered files, applied once each, in order, in one transaction."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from market_spine import clock
from market_spine.db import Database
from market_spine.errors import ConfigurationError, SchemaTooNew, SchemaTooOld
from market_spine.lock import run_lock

_SCHEMA = Path(__file__).parent / "schema"


class Migration(NamedTuple):
    """One numbered file; `NNNN_name.sql` for both engines, or `NNNN_name.{engine}.sql` side by side."""

    number: int
    name: str
    script: str


@lru_cache(maxsize=4)
def migrations(engine: str) -> tuple[Migration, ...]:
    """The files for an engine, in order."""
    found = []
    for file in sorted(_SCHEMA.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_(\w+?)(?:\.(sqlite|postgresql))?\.sql", file.name)
        if match and match[3] in (None, engine):
            found.append(Migration(int(match[1]), match[2], file.read_text("utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


def schema_version(db: Database) -> int:
    """The number of the newest applied migration; 0 for a database without our tables."""
    if not db.has_table("core_migrations"):
        return 0
    return int(db.execute("SELECT COALESCE(MAX(number), 0) FROM core_migrations").fetchone()[0])


def prepare(db: Database, now: datetime | None = None) -> None:
    """Makes the schema in an empty database; checks it in any other.

    Raises SchemaTooNew, or SchemaTooOld: an existing database is migrated only by `spine db migrate`.
    """
    version = schema_version(db)
    newest = migrations(db.engine)[-1].number
    if version == 0:
        apply(db, now or clock.utc_now())
    elif version > newest:
        raise SchemaTooNew(
            f"{db.label} has schema {version}; this program knows up to {newest}",
            hint="install the newer market-spine that wrote it",
        )
    elif version < newest:
        raise SchemaTooOld(
            f"{db.label} has schema {version}; this program needs {newest}", hint=f"spine db migrate --db {db.label}"
        )


class Migrated(NamedTuple):
    """What a migration did: from and to which schema, and the copy made before (None on PostgreSQL, or with nothing to do)."""

    before: int
    after: int
    applied: tuple[Migration, ...]
    backup: Path | None


def migrate(db: Database, owner: str, now: datetime, *, wait_seconds: float = 0, backup: bool = True) -> Migrated:
    """Brings an existing database to this program's schema: under the run lock, after a copy of it, in one transaction.

    Killed at any moment it leaves the old schema or the new one, and at most a copy named `.part`. Raises RunLocked,
    SchemaTooNew, and ConfigurationError for a database that has no schema yet.
    """
    before = schema_version(db)
    if before == 0:
        raise ConfigurationError(f"{db.label} holds nothing of ours to migrate", hint=f"spine db init --db {db.label}")
    if before >= migrations(db.engine)[-1].number:
        prepare(db, now)
        return Migrated(before, before, (), None)
    with run_lock(db, owner, wait_seconds=wait_seconds):
        copied = db.backup_beside(f"schema-{before:04}-{now:%Y%m%dT%H%M%S}") if backup else None
        applied = apply(db, now)
        return Migrated(before, schema_version(db), tuple(applied), copied)


def apply(db: Database, now: datetime) -> list[Migration]:
    """Applies what is missing, all in one transaction, and answers what it applied."""
    with db.transaction():
        db.transaction_lock("migrations")
        if not db.has_table("core_migrations"):
            db.execute("CREATE TABLE core_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)")
        done = schema_version(db)
        missing = [migration for migration in migrations(db.engine) if migration.number > done]
        for migration in missing:
            db.run_script(migration.script)
            db.execute(
                "INSERT INTO core_migrations (number, name, applied_at) VALUES (?, ?, ?)",
                (migration.number, migration.name, clock.stamp(now)),
            )
    return missing
