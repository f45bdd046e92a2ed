"""How long ended items and their executions are kept. The data and their history do not depend on either."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from market_spine import clock
from market_spine.db import Database
from market_spine.errors import UsageError
from market_spine.operate.operation import record_action

_BATCH = 5_000  # rows in a transaction: workers that claim meanwhile wait for none


class Removed(NamedTuple):
    """How many rows were removed."""

    items: int
    executions: int


def prune(db: Database, older_than_days: int, now: datetime, reason: str) -> Removed:
    """Removes the COMPLETE and CANCELLED items that ended longer ago, and the executions of items that are gone. FAILED ones stay
    until somebody retries or cancels them. Raises UsageError for a negative age."""
    if older_than_days < 0:
        raise UsageError(f"an age of {older_than_days} days makes no sense", hint="spine work prune --older-than 90 --reason …")
    before = clock.stamp(now - timedelta(days=older_than_days))
    removed = Removed(_in_batches(db, _remove_items, before), _in_batches(db, _remove_executions, before))
    with db.transaction():
        record_action(db, "work prune", f"before {before[:10]}", reason, now, removed._asdict())
    return removed


def _in_batches(db: Database, remove: Callable[[Database, str], int], before: str) -> int:
    removed = 0
    while True:
        with db.transaction():
            count = remove(db, before)
        removed += count
        if count < _BATCH:
            return removed


def _remove_items(db: Database, before: str) -> int:
    removed = db.execute(
        """
        DELETE FROM core_work_items WHERE id IN (
            SELECT id FROM core_work_items WHERE state IN ('COMPLETE', 'CANCELLED') AND updated_at < ? LIMIT ?)
        """,
        (before, _BATCH),
    )
    return removed.rowcount


def _remove_executions(db: Database, before: str) -> int:
    removed = db.execute(
        """
        DELETE FROM core_executions WHERE execution_id IN (
            SELECT e.execution_id FROM core_executions e
            WHERE e.started_at < ? AND e.finished_at IS NOT NULL AND json_extract(e.arguments_json, '$.work_item') IS NOT NULL
              AND NOT EXISTS (
                  SELECT 1 FROM core_work_items w
                  WHERE w.id = CAST(json_extract(e.arguments_json, '$.work_item') AS bigint))
            LIMIT ?)
        """,
        (before, _BATCH),
    )
    return removed.rowcount
