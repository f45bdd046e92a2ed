"""core_work_items, as far as more than the queue reads it: how many items are in each state."""

from __future__ import annotations

from market_spine.db import Database

STATES = ("PENDING", "RUNNING", "RETRY_WAIT", "COMPLETE", "FAILED", "CANCELLED")


def counts(db: Database) -> dict[str, int]:
    """The number of items in each state. COMPLETE are, of all items, those in no other state: a table is counted faster than
    one value in it, and in time nearly all items are COMPLETE."""
    numbers = dict(
        db.execute(
            """
            SELECT 'ALL', (SELECT COUNT(*) FROM core_work_items)
            UNION ALL SELECT state, COUNT(*) FROM core_work_items
            WHERE state IN ('PENDING', 'RUNNING', 'RETRY_WAIT', 'FAILED', 'CANCELLED') GROUP BY state
            """
        ).fetchall()
    )
    every = numbers.pop("ALL")
    return dict.fromkeys(STATES, 0) | numbers | {"COMPLETE": every - sum(numbers.values())}
