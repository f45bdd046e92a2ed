"""Migrate a database to the schema of this program: numbered files, applied once each, in order, in one transaction."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from market_spine import clock
from market_spine.db import Database, Tell, silent
from market_spine.errors import ConfigurationError, SchemaDiffers, SchemaTooNew, SchemaTooOld

SCHEMA = Path(__file__).parent / "schema"


class Migration(NamedTuple):
    """One numbered file; `NNNN_name.sql` for both engines, or `NNNN_name.{engine}.sql` side by side."""

    number: int
    name: str
    file: str
    script: str

    @property
    def digest(self) -> str:
        """Identifies the exact text of the file."""
        return _digest(self.script)


@lru_cache(maxsize=64)
def _digest(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()


def digests() -> dict[str, str]:
    """Every migration file's digest."""
    return {file.name: _digest(file.read_text("utf-8")) for file in sorted(SCHEMA.glob("*.sql"))}


def landed() -> dict[str, str]:
    """The digests of the released migrations, by file; scripts/land_migrations.py adds new ones."""
    lines = (SCHEMA / "digests.txt").read_text("utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


@lru_cache(maxsize=4)
def migrations(engine: str) -> tuple[Migration, ...]:
    """The files for an engine, in order."""
    files = []
    for file in sorted(SCHEMA.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_(\w+?)(?:\.(sqlite|postgresql))?\.sql", file.name)
        if match and match[3] in (None, engine):
            files.append(Migration(int(match[1]), match[2], file.name, file.read_text("utf-8")))
    return tuple(sorted(files, key=lambda migration: migration.number))


def schema_version(db: Database) -> int:
    """The number of the newest applied migration; 0 for a database without our tables."""
    return max(applied(db), default=0)


def applied(db: Database) -> dict[int, str | None]:
    """The applied migrations by number → the digest of the file as it was then; None where none was recorded."""
    if not db.has_table("core_migrations"):
        return {}
    rows = db.execute("SELECT * FROM core_migrations ORDER BY number")
    # The table of an old database has three columns: digests came later.
    return {number: digest[0] if digest else None for number, _name, _applied_at, *digest in rows}


def prepare(db: Database, now: datetime | None = None) -> list[Migration]:
    """Creates the schema in an empty database, and returns its migrations; checks it in any other, as has_schema does."""
    return [] if has_schema(db) else apply(db, now or clock.utc_now())


def check_schema(db: Database) -> None:
    """Raises ConfigurationError for a database without a schema, and as has_schema."""
    if not has_schema(db):
        raise ConfigurationError(f"{db.label} holds no market-spine tables", hint=f"spine db init --db {shlex.quote(db.label)}")


def has_schema(db: Database) -> bool:
    """Whether the database has our tables. Raises SchemaTooNew, SchemaDiffers, or SchemaTooOld: an existing database is migrated
    only by `spine db migrate`."""
    done, newest = applied(db), migrations(db.engine)[-1].number
    version = max(done, default=0)
    if version > newest:
        raise SchemaTooNew(
            f"{db.label} has schema {version}; this program knows up to {newest}",
            hint="install the newer market-spine that wrote it",
        )
    check_digests(db, done)
    if 0 < version < newest:
        raise SchemaTooOld(
            f"{db.label} has schema {version}; this program needs {newest}",
            hint=f"spine db migrate --db {shlex.quote(db.label)}",
        )
    return version > 0


def check_digests(db: Database, done: Mapping[int, str | None]) -> None:
    """Raises SchemaDiffers when a file has changed since it was applied here: the tables may differ from it."""
    for migration in migrations(db.engine):
        if done.get(migration.number) not in (None, migration.digest):
            raise SchemaDiffers(
                f"{db.label} was made with another text of {migration.file} than this program has",
                hint="pip install --force-reinstall --no-deps market-spine",
            )


def apply(db: Database, now: datetime, tell: Tell = silent) -> list[Migration]:
    """Applies what is missing and keeps the digest of every file, all in one transaction; returns the migrations applied."""
    with db.transaction():
        db.transaction_lock("migrations")
        _make_ledger(db)
        done = applied(db)
        every = migrations(db.engine)
        missing = [migration for migration in every if migration.number > max(done, default=0)]
        for number, migration in enumerate(missing):
            tell(number, len(missing))
            db.run_script(migration.script)
            db.execute(
                "INSERT INTO core_migrations (number, name, applied_at) VALUES (?, ?, ?)",
                (migration.number, migration.name, clock.stamp(now)),
            )
        for migration in every:
            db.execute(
                "UPDATE core_migrations SET digest = ? WHERE number = ? AND digest IS NULL", (migration.digest, migration.number)
            )
    return missing


def _make_ledger(db: Database) -> None:
    """core_migrations cannot come from a numbered file: it records which of them were applied."""
    columns = db.tables().get("core_migrations")
    if columns is None:
        db.execute(
            "CREATE TABLE core_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL, digest TEXT)"
        )
    elif "digest" not in columns:
        db.execute("ALTER TABLE core_migrations ADD COLUMN digest TEXT")
