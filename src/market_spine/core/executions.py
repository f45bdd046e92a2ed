"""core_executions: one row per run: who, when, with what arguments, and how it ended."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import NamedTuple

from market_spine import __version__, clock, exit_rule
from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.core.timeline import PRESENT, Permits, check_day
from market_spine.db import Database
from market_spine.errors import DatabaseError
from market_spine.process import actor as actor
from market_spine.process import hostname

_FINAL_WRITE_SECONDS = 1.0


class _Ended(NamedTuple):
    """The run of this process whose end was recorded."""

    db: Database
    execution_id: str
    exit_code: int


_ended: _Ended | None = None


def new_execution_id(now: datetime) -> str:
    """Sorts by time: `20260109T120000-1a2b3c4d`."""
    return f"{now:%Y%m%dT%H%M%S}-{os.urandom(4).hex()}"


def start(db: Database, execution_id: str, pipeline: str, run_date: date, arguments: Mapping[str, object], now: datetime) -> None:
    """Writes the row of a run that begins."""
    with db.transaction():
        db.execute(
            """
            INSERT INTO core_executions (execution_id, pipeline, run_date, started_at, version, host, pid, actor, arguments_json)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (
                execution_id, pipeline, run_date.isoformat(), clock.exact_stamp(now), __version__, hostname(),
                os.getpid(), actor(), json.dumps(arguments, default=str),
            ),
        )


def finish(
    db: Database, execution_id: str, exit_code: int, now: datetime, *, outcomes: object = None, error: str | None = None
) -> None:
    """Writes how it ended. `outcomes` is anything JSON can hold."""
    with db.transaction():
        db.execute(
            "UPDATE core_executions SET finished_at = ?, exit_code = ?, outcomes_json = ?, error = ? WHERE execution_id = ?",
            (clock.exact_stamp(now), exit_code, None if outcomes is None else json.dumps(outcomes), error, execution_id),
        )
        _record_end(db, execution_id, exit_code, now, error)


def _record_end(db: Database, execution_id: str, exit_code: int, now: datetime, error: str | None) -> None:
    """The event of a run's end; `settings` is the hash of its arguments."""
    row = db.execute(
        "SELECT pipeline, run_date, arguments_json FROM core_executions WHERE execution_id = ?", (execution_id,)
    ).fetchone()
    pipeline, run_date, arguments = row or (None, None, "{}")
    given = json.loads(arguments)
    events.record(
        db, Kind.RUN_FINISHED, execution_id, clock.stamp(now), exit_code=exit_code, error=error, pipeline=pipeline,
        run_date=run_date, settings=hashlib.sha256(arguments.encode()).hexdigest()[:16],
        **{name: given.get(name) for name in ("source", "data_dir", "only_stage")},
    )


def end(db: Database, execution_id: str, exit_code: int, now: datetime, *, outcomes: object) -> None:
    """Like `finish`, for the run of this process: if the process then exits with another code, `correct` updates the row."""
    global _ended
    finish(db, execution_id, exit_code, now, outcomes=outcomes)
    _ended = _Ended(db, execution_id, exit_code)


def correct(exit_code: int) -> None:
    """Updates the exit code of a run already recorded: its reader closed the pipe, or a signal came. Its outcomes stay."""
    if _ended is None or _ended.exit_code == exit_code:
        return
    with contextlib.suppress(DatabaseError), contextlib.closing(_ended.db.reopen()) as db:
        db.patience = _FINAL_WRITE_SECONDS
        with db.transaction():
            db.execute("UPDATE core_executions SET exit_code = ? WHERE execution_id = ?", (exit_code, _ended.execution_id))
            _record_end(db, _ended.execution_id, exit_code, clock.utc_now(), None)


@contextlib.contextmanager
def recorded(
    db: Database,
    execution_id: str,
    pipeline: str,
    run_date: date,
    arguments: Mapping[str, object],
    now: Callable[[], datetime],
    permits: Permits = PRESENT,
) -> Iterator[None]:
    """Writes the row of a run that begins and, when the body raises anything, how it ended (unless the database is lost).

    After a success the caller calls `end` with its outcomes. A run that lost its lock still writes its own row. Raises
    PastDay or FutureDay, and writes nothing, when the run may not act on its run date.
    """
    check_day(db, run_date, clock.market_date(now()), permits)
    start(db, execution_id, pipeline, run_date, arguments, now())
    try:
        yield
    except BaseException as error:
        db.guard = None
        db.patience = _FINAL_WRITE_SECONDS
        db.rollback()
        message = getattr(error, "message", f"{type(error).__name__}: {error}")
        with contextlib.suppress(DatabaseError):
            finish(db, execution_id, exit_rule.of_error(error), now(), error=message)
        raise


class Asked(NamedTuple):
    """Where a run took its data from: `file`, `api` or `file_url`, and for files the folder."""

    source: str = "file"
    data_dir: str | None = None


def last_source(db: Database) -> Asked:
    """Where the newest run that used a source took its data from."""
    row = db.execute(
        """
        SELECT json_extract(arguments_json, '$.source'), json_extract(arguments_json, '$.data_dir') FROM core_executions
        WHERE json_extract(arguments_json, '$.work_item') IS NULL
          AND json_extract(arguments_json, '$.source') IS NOT NULL AND error IS NULL
          AND COALESCE(json_extract(arguments_json, '$.only_stage'), 'all') IN ('all', 'ingest')
        ORDER BY started_at DESC, execution_id DESC LIMIT 1
        """
    ).fetchone()
    return Asked._make(row) if row else Asked()


def seen_unchanged(db: Database, week: str, tier: str, first: date, end: str | None) -> str | None:
    """The first run date from `first` on, and before `end`, on which a run found a partition unchanged at its source."""
    rows = db.execute(
        """
        SELECT run_date, outcomes_json FROM core_executions
        WHERE run_date >= ? AND run_date < ? AND outcomes_json IS NOT NULL
        ORDER BY run_date, started_at
        """,
        (first.isoformat(), end or "9"),
    )
    sought = (week, tier, "unchanged")
    for run_date, outcomes in rows:
        entries = json.loads(outcomes).get("partitions", ())
        if any((entry.get("week_ending"), entry.get("tier"), entry.get("reason")) == sought for entry in entries):
            return str(run_date)
    return None
