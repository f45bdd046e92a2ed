"""An item's transaction where several machines write: a connection can be lost, and two items of a week can meet."""

from __future__ import annotations

import pytest
from support.fenced_notes import fenced, notes, seen_from_outside, write

from market_spine.db import Database
from market_spine.errors import DatabaseError, DatabaseLost
from market_spine.work.fence import ItemTransaction


@pytest.fixture
def engine() -> str:
    return "postgresql"


@pytest.fixture
def item_transaction(db: Database) -> ItemTransaction:
    return fenced(db)


def test_a_lost_connection_ends_the_item_and_is_not_mended_within_it(db: Database, item_transaction: ItemTransaction) -> None:
    with seen_from_outside(db) as other:
        (pid,) = db.execute("SELECT pg_backend_pid()").fetchone()
        with pytest.raises(DatabaseLost), item_transaction.committing(lambda: None):
            write(item_transaction, "one")
            other.execute("SELECT pg_terminate_backend(?, 5000)", (pid,))
            with pytest.raises(DatabaseError):
                write(item_transaction, "two")
            item_transaction.reconnect()
    db.reconnect()
    assert notes(db) == []


def test_two_items_of_a_week_write_one_after_the_other(db: Database, item_transaction: ItemTransaction) -> None:
    with seen_from_outside(db) as other:
        other.execute("SET lock_timeout = '50ms'")
        second = ItemTransaction(other, serial="finra:2025-12-26")
        third = ItemTransaction(other, serial="finra:2026-01-02")
        with item_transaction.committing(lambda: None):
            write(item_transaction, "one")
            with pytest.raises(DatabaseError, match="has been locked"), second.committing(lambda: None):
                second.begin()
            with third.committing(lambda: None):
                write(third, "another week")
    assert notes(db) == ["another week", "one"]
