"""Open the database of a run: made and brought to the schema when new, checked when not; for a dry run read only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime

from market_spine.db import Database, connect, is_postgres
from market_spine.migrations import prepare, schema_version


@contextlib.contextmanager
def open_store(target: str, now: datetime, *, create: bool = True) -> Iterator[Database]:
    """For reading and writing."""
    with contextlib.closing(connect(target, create=create)) as db:
        prepare(db, now)
        yield db


@contextlib.contextmanager
def open_for_reading(target: str, now: datetime) -> Iterator[Database]:
    """For reading; where nothing is stored yet, an empty database in memory takes its place."""
    empty = not is_postgres(target) and not os.path.exists(target)  # noqa: PTH110 - a name too long is not there
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
