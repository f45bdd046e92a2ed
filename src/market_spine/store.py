"""Open a database: for a run, made and brought to the schema when new, checked when not; for reading, at one moment of it."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from datetime import datetime

from market_spine.db import Database, connect, is_postgres, resolve
from market_spine.errors import ConfigurationError
from market_spine.migrations import check_schema, prepare, schema_version


@contextlib.contextmanager
def open_store(target: str, now: datetime, *, create: bool = False) -> Iterator[Database]:
    """For reading and writing. A database is made only with `create`, and then it is reported: it may be a mistyped name."""
    with contextlib.closing(connect(target, create=create)) as db:
        if create and schema_version(db) == 0:
            prepare(db, now)
            facts = {"event": "new_database", "database": db.label, "aloud": True}
            logging.getLogger("market_spine").warning("new database %s", db.label, extra=facts)
        else:
            check_schema(db)
        yield db


@contextlib.contextmanager
def snapshot_of(target: str) -> Iterator[Database]:
    """One moment of a database, whatever its schema, for reading only: what others commit meanwhile is not seen. Everything
    that reads goes through here, so that no answer is a mixture of two states."""
    with contextlib.closing(connect(target, read_only=True)) as db, db.snapshot():
        yield db


@contextlib.contextmanager
def reading(target: str) -> Iterator[Database]:
    """One moment of a database of this program's schema. Raises ConfigurationError where nothing is stored yet."""
    with snapshot_of(target) as db:
        if schema_version(db) == 0:
            hint = "run run_finra_weekly_schedule first, or give --db"
            raise ConfigurationError(f"nothing is stored in {db.label} yet", hint=hint)
        check_schema(db)
        yield db


@contextlib.contextmanager
def open_for_reading(target: str, now: datetime) -> Iterator[Database]:
    """As `reading`; where nothing is stored yet, an empty database in memory takes its place."""
    target = resolve(target)
    with contextlib.ExitStack() as opened:
        if is_postgres(target) or os.path.exists(target):  # noqa: PTH110 - a name too long is not there
            db = opened.enter_context(snapshot_of(target))
            if schema_version(db):
                check_schema(db)
                yield db
                return
        nothing = opened.enter_context(contextlib.closing(connect(":memory:")))
        prepare(nothing, now)
        yield nothing
