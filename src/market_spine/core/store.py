"""The one way to open a database, in three modes. A database with nothing stored yet is one error for every command."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from datetime import datetime
from enum import Enum

from market_spine import clock
from market_spine.core.genesis import begin
from market_spine.db import Database, connect, is_postgres, resolve
from market_spine.db.migrations import check_schema, prepare, schema_version
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
        if schema_version(db):
            check_schema(db)
        elif mode is not Mode.CREATE:
            hint = "run_finra_weekly_schedule"
            raise ConfigurationError(f"nothing is stored in {db.label} yet", hint=hint)
        else:
            with db.transaction():
                made = clock.utc_now()  # a run may be dated in the past, and by mistake in the future
                begin(db, prepare(db, now), min(now or made, made))
            facts = {"event": "database_created", "database": db.label, "aloud": True}
            logging.getLogger("market_spine").warning("new database %s", db.label, extra=facts)
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
            if schema_version(db):
                check_schema(db)
                yield db
                return
        nothing = opened.enter_context(contextlib.closing(connect(":memory:")))
        prepare(nothing, clock.utc_now())
        yield nothing
