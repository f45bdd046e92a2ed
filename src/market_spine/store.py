"""Open the database of a run: made and brought to the schema when new, checked when not; for a dry run read only."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from market_spine.db import Database, connect, is_postgres, resolve
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
def open_for_reading(target: str, now: datetime) -> Iterator[Database]:
    """For reading; where nothing is stored yet, an empty database in memory takes its place."""
    target = resolve(target)
    empty = not is_postgres(target) and not Path(target).exists()
    with contextlib.closing(connect(":memory:" if empty else target, read_only=not empty)) as db:
        if not empty and schema_version(db) == 0:
            with open_for_reading_nothing(now) as nothing:
                yield nothing
            return
        prepare(db, now)
        yield db


@contextlib.contextmanager
def open_for_reading_nothing(now: datetime) -> Iterator[Database]:
    """An empty database in memory."""
    with contextlib.closing(connect(":memory:")) as db:
        prepare(db, now)
        yield db
