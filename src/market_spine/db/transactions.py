"""Transactions, the same way for both engines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

EVERY_WEEK = "weeks"  # what two transactions must not process at the same time, where they name no week


class _Engine(Protocol):
    guard: Callable[[], None] | None
    serial: str
    before_commit: list[Callable[[], None]]

    def execute(self, sql: str, /) -> Any: ...
    def rollback(self) -> None: ...
    def transaction_lock(self, name: str, *, within: str = "") -> None: ...


@contextlib.contextmanager
def transaction(db: _Engine, begin: str, *, joins: bool) -> Iterator[None]:
    """`begin` … COMMIT, or ROLLBACK when anything is raised; if it `joins` an open one, only that one commits.

    The run that holds the lock works beside queued items, so its transactions take the locks of the weeks that theirs take.
    The guard (locks.py: is the run lock still ours?) is called first and last. First, so that nothing is written without the
    lock; last, since the lock may have been lost while the block ran, and its rows must not be committed then. Before that
    comes what was to be written at the end, `before_commit` (events.py: short locks come last).
    """
    if joins:
        yield
        return
    try:
        db.execute(begin)
        if db.guard:
            lock_week(db, db.serial)
            db.guard()
        yield
        for write in db.before_commit:
            write()
        if db.guard:
            db.guard()
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise
    finally:
        db.before_commit.clear()


def lock_week(db: _Engine, week: str) -> None:
    """Waits until no other transaction works on that week, or, for a transaction that names none, on any."""
    if week:
        db.transaction_lock(week, within=EVERY_WEEK)
    else:
        db.transaction_lock(EVERY_WEEK)
