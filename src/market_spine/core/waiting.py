"""Wakes the work items that wait for a stage, in the transaction that records it: whoever makes it, none is forgotten."""

from __future__ import annotations

import json

from market_spine import clock
from market_spine.db import Connection
from market_spine.partition import DOMAIN


def wake(connection: Connection, stage: str, key: str, moment: str) -> None:
    """Makes due what waits for `stage` of the partition `key`: items of that partition or of its whole week.

    While nothing waits it costs one look at an empty index. On PostgreSQL an item that another transaction is just changing
    is left to that one: a run never waits here for a worker that may be waiting for the run.
    """
    made, shared = json.loads(key), getattr(connection, "engine", "sqlite") == "postgresql"
    for item_id in _waiting_for(connection, stage, made["week_ending"], made.get("tier") or "", shared=shared):
        _make_due(connection, item_id, clock.stamp(connection.now()) if hasattr(connection, "now") else moment)
        if shared:
            _deliver(connection, item_id)


def _waiting_for(connection: Connection, stage: str, week: str, tier: str, *, shared: bool) -> list[int]:
    """Exactly the items to wake: one that is locked here is passed over by whoever makes what another one waits for."""
    wanted = (stage, DOMAIN, week, tier, tier)
    if shared:
        rows = connection.execute(
            """
            SELECT id FROM core_work_items
            WHERE waits_for = ? AND domain = ? AND state = 'RETRY_WAIT' AND json_extract(partition_key, '$.week_ending') = ?
              AND COALESCE(json_extract(partition_key, '$.tier'), ?) = ? ORDER BY id FOR UPDATE SKIP LOCKED
            """,
            wanted,
        )
    else:
        rows = connection.execute(
            """
            SELECT id FROM core_work_items
            WHERE waits_for = ? AND domain = ? AND state = 'RETRY_WAIT' AND json_extract(partition_key, '$.week_ending') = ?
              AND COALESCE(json_extract(partition_key, '$.tier'), ?) = ? ORDER BY id
            """,
            wanted,
        )
    return [row[0] for row in rows.fetchall()]


def _make_due(connection: Connection, item_id: int, moment: str) -> None:
    connection.execute(
        """
        UPDATE core_work_items SET state = 'PENDING', next_attempt_at = NULL, waits_for = NULL, updated_at = ?
        WHERE id = ? AND state = 'RETRY_WAIT'
        """,
        (moment, item_id),
    )


def _deliver(connection: Connection, item_id: int) -> None:
    """Brings the item's delivery forward and notifies the workers. By SQL, as a run need not have the delivery engine installed;
    where its tables are gone, or this is not heard, workers find the item by themselves."""
    if connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()[0] is None:
        return
    connection.execute(
        """
        WITH due AS (
            UPDATE procrastinate_jobs SET scheduled_at = NULL
            WHERE queueing_lock = 'work-item:' || ? AND status = 'todo' RETURNING id, queue_name)
        SELECT pg_notify('procrastinate_queue_v1#' || queue_name,
                         json_build_object('type', 'job_inserted', 'job_id', id)::text) FROM due
        """,
        (str(item_id),),
    )
