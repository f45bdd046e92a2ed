"""Wakes the work items that wait for a stage, in the transaction that records it, so that none is missed."""

from __future__ import annotations

import json

from market_spine import clock
from market_spine.db import Connection
from market_spine.partition import DOMAIN

WORK_DUE = "market_spine_work"  # the channel that notifies workers of an item that became due


def wake(connection: Connection, stage: str, key: str, moment: str) -> None:
    """Makes the items due that wait for `stage` of the partition `key`, or of its whole week.

    While nothing waits this costs one lookup in an empty index. On PostgreSQL an item that another transaction is changing
    is left to that one: a run never waits here for a worker that may be waiting for the run.
    """
    made, shared = json.loads(key), getattr(connection, "engine", "sqlite") == "postgresql"
    for item_id in _waiting_for(connection, stage, made["week_ending"], made.get("tier") or "", shared=shared):
        _make_due(connection, item_id, clock.stamp(connection.now()) if hasattr(connection, "now") else moment)
        if hasattr(connection, "notify"):
            connection.notify(WORK_DUE)


def _waiting_for(connection: Connection, stage: str, week: str, tier: str, *, shared: bool) -> list[int]:
    """The ids of the items to wake, and no others: a lock on any other item would make a concurrent run skip it."""
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
    return [item_id for (item_id,) in rows.fetchall()]


def _make_due(connection: Connection, item_id: int, moment: str) -> None:
    connection.execute(
        """
        UPDATE core_work_items SET state = 'PENDING', next_attempt_at = NULL, waits_for = NULL, updated_at = ?
        WHERE id = ? AND state = 'RETRY_WAIT'
        """,
        (moment, item_id),
    )

