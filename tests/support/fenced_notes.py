"""A table of notes that an item's transaction writes, and a look at it from another connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from market_spine.db import Database
from market_spine.work.fence import ItemTransaction


def fenced(db: Database) -> ItemTransaction:
    """An item's transaction over an empty table of notes."""
    db.execute("CREATE TABLE note (says TEXT PRIMARY KEY)")
    return ItemTransaction(db, serial="finra:2025-12-26")


def write(db: ItemTransaction, says: str) -> None:
    with db.transaction():
        db.execute("INSERT INTO note VALUES (?)", (says,))


def notes(db: Database) -> list[str]:
    return [row[0] for row in db.execute("SELECT says FROM note ORDER BY says")]


@contextmanager
def seen_from_outside(db: Database) -> Iterator[Database]:
    with closing(db.reopen()) as other:
        yield other
