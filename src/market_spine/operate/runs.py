"""The runs: when each began, how it ended, and what it did; the last one that failed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from market_spine.db import Database
from market_spine.errors import NotFound
from market_spine.outcome import Status

WEEKLY = "weekly_schedule"
LAST = "last"
HELD = Status.HELD.value
FAILED = (Status.FAILED.value, HELD)
_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of core_executions. Without `finished_at` it still runs, or was killed."""

    execution_id: str
    pipeline: str
    run_date: str
    started_at: str
    finished_at: str | None
    version: str
    host: str
    actor: str | None
    arguments: Mapping[str, Any]
    report: Mapping[str, Any]
    exit_code: int | None
    error: str | None

    @classmethod
    def of(
        cls, execution_id: str, pipeline: str, run_date: str, started_at: str, finished_at: str | None, version: str, host: str,
        actor: str | None, arguments_json: str, outcomes_json: str | None, exit_code: int | None, error: str | None,
    ) -> RunRow:
        """A row as the table holds it."""
        arguments, report = json.loads(arguments_json or "{}"), json.loads(outcomes_json or "{}")
        where = (version, host, actor)
        return cls(
            execution_id, pipeline, run_date, started_at, finished_at, *where, arguments, report or {}, exit_code, error
        )

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        if self.finished_at is None:
            return None
        return (datetime.fromisoformat(self.finished_at) - datetime.fromisoformat(self.started_at)).total_seconds()

    @property
    def result(self) -> str:
        """What it did, and what it took in that was restated."""
        return "; ".join([self.did, *(each["text"] for each in self.report.get("restatements", []))])

    @property
    def did(self) -> str:
        """What it did, in some words."""
        if self.error:
            return self.error
        if self.exit_code is None:
            return "not finished: running, or killed"
        if "line" in self.report:
            return str(self.report["line"])
        counts = Counter(entry["outcome"] for entry in self.report.get("partitions", []))
        held = f", {counts['held']} held" if counts["held"] else ""
        return f"{counts.total()} outcomes{held}, {counts['failed']} failed" if counts else ""

    @property
    def failures(self) -> list[Mapping[str, Any]]:
        """The outcomes that failed or were held, as its report has them: what `spine retry` repeats."""
        return [entry for entry in self.report.get("partitions", []) if entry["outcome"] in FAILED]

    def entry(self) -> dict[str, object]:
        """The run, for machines; its report is left out."""
        return {
            "run_id": self.execution_id, "pipeline": self.pipeline, "run_date": self.run_date, "started_at": self.started_at,
            "finished_at": self.finished_at, "seconds": self.seconds, "version": self.version, "host": self.host,
            "actor": self.actor, "exit_code": self.exit_code, "error": self.error, "result": self.result,
        }


def list_runs(db: Database, limit: int, *, before: str | None = None, offset: int = 0) -> list[RunRow]:
    """The last runs, newest first; those that had begun before a moment (a stamp), as they were known then."""
    rows = db.execute(
        _COLUMNS + "WHERE started_at < ? ORDER BY started_at DESC, execution_id DESC LIMIT ? OFFSET ?",
        (before or "9", limit, offset),
    ).fetchall()
    known = (as_of(RunRow.of(*row), before) for row in rows)
    return [run for run in known if run is not None]


def as_of(run: RunRow, before: str | None) -> RunRow | None:
    """The run as it was known before a moment (a stamp): None where it had not begun, without an end where it had not ended."""
    if before is None or (run.finished_at is not None and run.finished_at < before):
        return run
    if run.started_at >= before:
        return None
    return replace(run, finished_at=None, exit_code=None, error=None, report={})


def find(db: Database, execution_id: str) -> RunRow:
    """The run of that id, or of an unambiguous beginning of one; `last` is the newest. Raises NotFound."""
    if execution_id == LAST:
        known = list_runs(db, 1)
    else:
        rows = db.execute(
            _COLUMNS + "WHERE execution_id >= ? AND execution_id <= ? ORDER BY execution_id LIMIT 2",
            (execution_id, execution_id + _LAST_CHARACTER),
        )
        known = [RunRow.of(*row) for row in rows]
    if len(known) != 1:
        message = f"{execution_id!r} begins the ids of several runs" if known else f"there is no run {execution_id!r}"
        raise NotFound(message, hint="spine runs")
    return known[0]


def last_weekly(db: Database) -> RunRow | None:
    """The newest weekly run."""
    rows = db.execute(
        _COLUMNS + "WHERE pipeline = ? AND json_extract(arguments_json, '$.work_item') IS NULL ORDER BY started_at DESC LIMIT 1",
        (WEEKLY,),
    ).fetchall()
    return RunRow.of(*rows[0]) if rows else None


def last_failed(db: Database, pipelines: tuple[str, str, str, str, str]) -> str:
    """The id of the newest of these runs that ended with a failure or never ended, and that no retry has repeated with success.
    Raises NotFound."""
    row = db.execute(
        """
        SELECT execution_id FROM core_executions failed
        WHERE (exit_code IS NULL OR exit_code <> 0) AND pipeline IN (?, ?, ?, ?, ?)
          AND json_extract(arguments_json, '$.work_item') IS NULL AND NOT EXISTS (
            SELECT 1 FROM core_executions retry
            WHERE retry.pipeline = 'retry' AND json_extract(retry.arguments_json, '$.work_item') IS NULL
              AND retry.exit_code = 0 AND retry.started_at >= failed.started_at
              AND json_extract(retry.arguments_json, '$.retry_of') = failed.execution_id)
        ORDER BY started_at DESC, execution_id DESC LIMIT 1
        """,
        pipelines,
    ).fetchone()
    if row is None:
        raise NotFound("no run is left that failed", hint="spine runs")
    (execution_id,) = row
    return str(execution_id)


_COLUMNS = """
SELECT execution_id, pipeline, run_date, started_at, finished_at, version, host, actor, arguments_json, outcomes_json, exit_code,
       error
FROM core_executions
"""
