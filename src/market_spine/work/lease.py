"""What workers do with the ledger: claim, heartbeat, settle, and reclaim the items of dead workers.

An item is held by an execution id. Every statement that settles it requires `current_execution_id = :mine and state = 'RUNNING'`:
a worker that was suspended past its lease no longer holds the item, and what it wrote is rolled back.

`now` is always `Database.now`, the clock that all users of the database share. A time that was read a while ago only makes
a lease look younger than it is, never older.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from market_spine import clock
from market_spine.core import executions
from market_spine.core.waiting import WORK_DUE
from market_spine.db import Database
from market_spine.errors import DatabaseError
from market_spine.work.item import Item, Lease, State, Verdict, after_loss, is_dead

# The exit code of an item's run in core_executions: done, failed, to be retried later, returned on SIGTERM.
_EXIT_CODES = {State.COMPLETE: 0, State.FAILED: 1, State.RETRY_WAIT: 75, State.PENDING: 143}


class LeaseLost(Exception):
    """This worker no longer holds the item: it was reclaimed, cancelled, or claimed by another."""


def claim_next(db: Database, worker: str, now: datetime) -> Item | None:
    """Claims the item that is due first: by priority, then desired_at. On PostgreSQL one that another worker is just claiming is
    passed over, so that workers never wait for each other here; SQLite has a single writer."""
    with db.transaction():
        promote(db, now)
        values = _claim_values(worker, now)
        row = (_claim_unlocked if db.engine == "postgresql" else _claim_first)(db, values)
        return None if row is None else _begin(db, Item.of(row), now)


def _claim_first(db: Database, values: tuple[str, ...]) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = db.execute(
        """
        UPDATE core_work_items
        SET state = 'RUNNING', attempt_count = attempt_count + 1, current_execution_id = ?, latest_execution_id = ?,
            locked_by = ?, locked_at = ?, updated_at = ?, waits_for = NULL
        WHERE state = 'PENDING' AND id = (
            SELECT id FROM core_work_items WHERE state = 'PENDING' AND desired_at <= ?
            ORDER BY priority DESC, desired_at, id LIMIT 1)
        RETURNING *
        """,
        values,
    ).fetchone()
    return row


def _claim_unlocked(db: Database, values: tuple[str, ...]) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = db.execute(
        """
        UPDATE core_work_items
        SET state = 'RUNNING', attempt_count = attempt_count + 1, current_execution_id = ?, latest_execution_id = ?,
            locked_by = ?, locked_at = ?, updated_at = ?, waits_for = NULL
        WHERE state = 'PENDING' AND id = (
            SELECT id FROM core_work_items WHERE state = 'PENDING' AND desired_at <= ?
            ORDER BY priority DESC, desired_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING *
        """,
        values,
    ).fetchone()
    return row


def claim(db: Database, item_id: int, worker: str, now: datetime) -> Item | None:
    """Claims this item, if it is due and nobody holds it."""
    with db.transaction():
        row = db.execute(
            """
            UPDATE core_work_items
            SET state = 'RUNNING', attempt_count = attempt_count + 1, current_execution_id = ?, latest_execution_id = ?,
                locked_by = ?, locked_at = ?, updated_at = ?, next_attempt_at = NULL, waits_for = NULL
            WHERE state IN ('PENDING', 'RETRY_WAIT') AND COALESCE(next_attempt_at, desired_at) <= ? AND id = ?
            RETURNING *
            """,
            (*_claim_values(worker, now), item_id),
        ).fetchone()
        return None if row is None else _begin(db, Item.of(row), now)


def _claim_values(worker: str, now: datetime) -> tuple[str, ...]:
    execution_id, moment = executions.new_execution_id(now), clock.stamp(now)
    return (execution_id, execution_id, worker, moment, moment, moment)


def _begin(db: Database, item: Item, now: datetime) -> Item:
    arguments = {"work_item": item.id, "partition_key": item.partition_key, "params": item.params_json}
    run_date = item.params.run_date or clock.market_date(now)
    executions.start(db, str(item.current_execution_id), item.pipeline, run_date, arguments, now)
    return item


def is_due(db: Database, now: datetime) -> bool:
    """Whether anything could be claimed now; a cheap query, without a write."""
    moment = clock.stamp(now)
    row = db.execute(
        """
        SELECT 1 WHERE EXISTS (SELECT 1 FROM core_work_items WHERE state = 'PENDING' AND desired_at <= ?)
                    OR EXISTS (SELECT 1 FROM core_work_items WHERE state = 'RETRY_WAIT' AND next_attempt_at <= ?)
        """,
        (moment, moment),
    ).fetchone()
    return row is not None


def promote(db: Database, now: datetime) -> None:
    """Sets waiting items that are due to PENDING; on PostgreSQL those that no other worker is just promoting."""
    moment = clock.stamp(now)
    if db.engine == "postgresql":
        db.execute(
            """
            UPDATE core_work_items SET state = 'PENDING', next_attempt_at = NULL, waits_for = NULL, updated_at = ?
            WHERE state = 'RETRY_WAIT' AND id IN (
                SELECT id FROM core_work_items WHERE state = 'RETRY_WAIT' AND next_attempt_at <= ? FOR UPDATE SKIP LOCKED)
            """,
            (moment, moment),
        )
    else:
        db.execute(
            """
            UPDATE core_work_items SET state = 'PENDING', next_attempt_at = NULL, waits_for = NULL, updated_at = ?
            WHERE state = 'RETRY_WAIT' AND next_attempt_at <= ?
            """,
            (moment, moment),
        )


def beat(db: Database, item: Item, now: datetime) -> bool:
    """Renews the lease; False when the worker no longer holds the item."""
    with db.transaction():
        cursor = db.execute(
            "UPDATE core_work_items SET locked_at = ? WHERE id = ? AND current_execution_id = ? AND state = 'RUNNING'",
            (clock.stamp(now), item.id, item.current_execution_id),
        )
        return cursor.rowcount == 1


def complete(db: Database, item: Item, now: datetime) -> None:
    """COMPLETE, inside the transaction that holds the item's rows. Raises LeaseLost: then none of them may be committed."""
    moment = clock.stamp(now)
    cursor = db.execute(
        """
        UPDATE core_work_items
        SET state = 'COMPLETE', completed_at = ?, current_execution_id = NULL, locked_by = NULL, locked_at = NULL, updated_at = ?
        WHERE id = ? AND current_execution_id = ? AND state = 'RUNNING'
        """,
        (moment, moment, item.id, item.current_execution_id),
    )
    if cursor.rowcount != 1:
        raise LeaseLost
    _end(db, item, State.COMPLETE, None, now)


def settle(db: Database, item: Item, verdict: Verdict, now: datetime) -> None:
    """Writes the verdict on an item that did not complete. Raises LeaseLost."""
    moment = clock.stamp(now)
    with db.transaction():
        row = db.execute(
            """
            UPDATE core_work_items
            SET state = ?, attempt_count = attempt_count - ?, next_attempt_at = ?, waits_for = ?, updated_at = ?,
                last_error = COALESCE(?, last_error), last_error_at = COALESCE(?, last_error_at),
                current_execution_id = NULL, locked_by = NULL, locked_at = NULL
            WHERE id = ? AND current_execution_id = ? AND state = 'RUNNING' RETURNING *
            """,
            (
                verdict.state.value, int(not verdict.counts), verdict.not_before_stamp, verdict.waits_for, moment,
                verdict.reason, moment if verdict.reason else None, item.id, item.current_execution_id,
            ),
        ).fetchone()
        if row is None:
            raise LeaseLost
        _end(db, item, verdict.state, verdict.reason, now)
        if verdict.state is State.PENDING:
            db.notify(WORK_DUE)


def _end(db: Database, item: Item, state: State, why: str | None, now: datetime) -> None:
    executions.finish(db, str(item.current_execution_id), _EXIT_CODES[state], now, error=why)


class _Heartbeat(NamedTuple):
    """The stamp of a heartbeat, and the tick at which this process saw it first."""

    stamp: str | None
    seen_at: float


@dataclass(slots=True)
class Watch:
    """The heartbeats of other workers as observed by one process, by its own monotonic clock."""

    lease: Lease
    patience: float
    _seen: dict[tuple[int, str | None], _Heartbeat] = field(default_factory=dict)

    def dead(self, running: list[Item], now: datetime, ticks: float) -> list[Item]:
        """The running items that have lost their worker."""
        seen = {(item.id, item.current_execution_id): item.locked_at for item in running}
        before, self._seen = self._seen, {}
        for key, stamp in seen.items():
            last = before.get(key)
            self._seen[key] = last if last is not None and last.stamp == stamp else _Heartbeat(stamp, ticks)
        return [item for item in running if self._is_dead(item, now, ticks)]

    def _is_dead(self, item: Item, now: datetime, ticks: float) -> bool:
        age = (now - datetime.fromisoformat(str(item.locked_at))).total_seconds()
        silent = ticks - self._seen[item.id, item.current_execution_id].seen_at
        return is_dead(age, silent, self.lease, self.patience)


def sweep(db: Database, watch: Watch, now: datetime, ticks: float, own: str | None = None) -> list[Item]:
    """Promotes due items and reclaims those of dead workers; returns the reclaimed items.

    The sessions of a dead worker are ended, except those of the worker `own` that sweeps: an item that a restored server says it
    has, it does not know of.
    """
    running = [Item.of(row) for row in db.execute("SELECT * FROM core_work_items WHERE state = 'RUNNING'")]
    dead = watch.dead(running, now, ticks)
    if not dead and not is_due(db, now):
        return []  # nothing to write: on SQLite the write lock stays free
    for worker in {str(item.locked_by) for item in dead} - {own}:
        with contextlib.suppress(DatabaseError):  # a role that may not end them waits for the server to do so
            db.end_sessions(session_of(worker))
    with db.transaction():
        promote(db, now)
        reclaimed = [item for item in (_reclaim(db, item, now) for item in dead) if item is not None]
        if reclaimed:
            db.notify(WORK_DUE)
    return reclaimed


def session_of(worker: str) -> str:
    """The name of a worker's sessions on the server: its end, since a name has at most 63 bytes and a host may have as many."""
    return f"market-spine {worker[-45:]}"


def _reclaim(db: Database, item: Item, now: datetime) -> Item | None:
    """Reclaims an item unless a heartbeat has arrived since it was read: then its worker keeps it."""
    verdict = after_loss(item, f"worker {item.locked_by} went silent, last heartbeat {item.locked_at}")
    moment = clock.stamp(now)
    row = db.execute(
        """
        UPDATE core_work_items
        SET state = ?, last_error = ?, last_error_at = ?, current_execution_id = NULL, locked_by = NULL, locked_at = NULL,
            updated_at = ?
        WHERE id = ? AND current_execution_id = ? AND locked_at = ? AND state = 'RUNNING' RETURNING *
        """,
        (verdict.state.value, verdict.reason, moment, moment, item.id, item.current_execution_id, item.locked_at),
    ).fetchone()
    return None if row is None else Item.of(row)
