"""The one way to open a database, in three modes. A database with nothing stored yet is one error for every command."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime
from enum import Enum

from market_spine import clock
from market_spine.db import Database, connect, is_postgres, resolve
from market_spine.db.migrations import has_schema, prepare
from market_spine.errors import ConfigurationError


class Mode(Enum):
    """How a database is opened."""

    CREATE = "create"  # read and write; created when it does not exist
    EXISTING = "existing"  # read and write
    READ_ONLY = "read-only"  # one moment of it: what others commit meanwhile is not seen


@contextlib.contextmanager
def open_store(target: str, mode: Mode = Mode.EXISTING, now: datetime | None = None) -> Iterator[Database]:
    """A database of this program's schema. Raises ConfigurationError where nothing is stored yet, unless it may be created; a
    new database is logged as a warning, because the name may be mistyped."""
    read_only = mode is Mode.READ_ONLY
    with snapshot_of(target) if read_only else contextlib.closing(connect(target, create=mode is Mode.CREATE)) as db:
        if not has_schema(db):
            if mode is not Mode.CREATE:
                raise ConfigurationError(f"nothing is stored in {db.label} yet", hint="run_finra_weekly_schedule")
            from market_spine.core.genesis import create  # only here: who reads a store does not wait for its import

            create(db, now)
        yield db


@contextlib.contextmanager
def snapshot_of(target: str) -> Iterator[Database]:
    """A snapshot of a database, whatever its schema, for reading only. Everything that only reads uses it, so that no result
    mixes two states."""
    with contextlib.closing(connect(target, read_only=True)) as db, db.snapshot():
        yield db


@contextlib.contextmanager
def open_for_dry_run(target: str) -> Iterator[Database]:
    """A read-only snapshot for a run that may create its database: where nothing is stored yet, an empty one in memory."""
    target = resolve(target)
    with contextlib.ExitStack() as opened:
        if is_postgres(target) or os.path.exists(target):  # noqa: PTH110 - a name too long is not there
            db = opened.enter_context(snapshot_of(target))
            if has_schema(db):
                yield db
                return
        nothing = opened.enter_context(contextlib.closing(connect(":memory:")))
        prepare(nothing, clock.utc_now())
        yield nothing
