"""core_workers: which workers are alive, and their database outages. Written by their heartbeats, read by metrics."""

from __future__ import annotations

from datetime import datetime, timedelta

from market_spine import clock
from market_spine.db import Database

_FORGOTTEN_AFTER = timedelta(days=1)  # a killed worker cannot delete its own row


def beat(db: Database, worker: str, outages: int, now: datetime) -> None:
    """Records a heartbeat of a worker."""
    moment = clock.stamp(now)
    with db.transaction():
        db.execute(
            """
            INSERT INTO core_workers (worker, started_at, seen_at, outages) VALUES (?, ?, ?, ?)
            ON CONFLICT (worker) DO UPDATE SET seen_at = excluded.seen_at, outages = excluded.outages
            """,
            (worker, moment, moment, outages),
        )
        db.execute("DELETE FROM core_workers WHERE seen_at < ?", (clock.stamp(now - _FORGOTTEN_AFTER),))


def remove(db: Database, worker: str) -> None:
    """Removes a worker that has ended."""
    with db.transaction():
        db.execute("DELETE FROM core_workers WHERE worker = ?", (worker,))
