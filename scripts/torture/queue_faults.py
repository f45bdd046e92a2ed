"""Two faults of queue_torture that strike items: a source that drips, and a notification that is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import click
from stand_ins.dripping import dripping

from market_spine.db import Database
from market_spine.work import queue
from market_spine.work.item import Params, State

BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
PATIENCE = 90.0
NEVER = "9999-12-31T00:00:00+00:00"


def drip(db: Database) -> str:
    """The source of an item sends a byte and another one. It is cancelled, then asked for again until it has had its time."""
    with dripping(BODY) as server:
        item_id = _point(db, Params(file_url=server.url))
        began = time.monotonic()
        _wait(db, server.asked.is_set, "nobody asks the dripping source")
        queue.cancel(db, [item_id], db.now(), "it drips", "torture")
        server.asked.clear()
        queue.retry(db, [item_id], db.now(), "it drips", "torture")
        _wait(db, server.asked.is_set, "the worker of the cancelled item is not free")
        freed, began = time.monotonic() - began, time.monotonic()
        _wait(db, lambda: queue.find(db, item_id).state is State.RETRY_WAIT, "the dripping item is not given up")
        ended = time.monotonic() - began
    with db.transaction():
        db.execute("UPDATE core_work_items SET params_json = ? WHERE id = ?", (Params().to_json(), item_id))
    queue.retry(db, [item_id], db.now(), "the source is well", "torture")
    return f"a source dripped: its item was asked again {freed:.0f} s after it was pending, and given up after {ended:.0f} s more"


def _point(db: Database, params: Params) -> int:
    """Gives those parameters to an item that is still pending, and makes it the first."""
    with db.transaction():
        row = db.execute(
            """
            UPDATE core_work_items SET params_json = ?, priority = 1000 WHERE state = 'PENDING' AND id = (
                SELECT MAX(id) FROM core_work_items WHERE state = 'PENDING') RETURNING id
            """,
            (params.to_json(),),
        ).fetchone()
    if row is None:
        raise click.ClickException("no item is pending")
    return int(row[0])


def unnotified(db: Database) -> str:
    """All that is pending is put off until the workers are idle, and then made due without a notification."""
    with db.transaction():
        db.execute("UPDATE core_work_items SET desired_at = ? WHERE state = 'PENDING'", (NEVER,))
    _wait(db, lambda: not queue.counts(db)[State.RUNNING], "the workers do not come to an end")
    with db.transaction():
        lost = db.execute("UPDATE core_work_items SET desired_at = created_at WHERE state = 'PENDING'").rowcount
    began, done = time.monotonic(), queue.counts(db)[State.COMPLETE]
    _wait(db, lambda: not lost or queue.counts(db)[State.COMPLETE] > done, "nobody looks for what nobody announced")
    return f"{lost} items became due unannounced: the first was done after {time.monotonic() - began:.1f} s"


def _wait(db: Database, until: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until():
        if time.monotonic() > deadline:
            raise click.ClickException(otherwise)
        time.sleep(0.05)
        with contextlib.suppress(Exception):
            db.reconnect()
