"""Work asked for in tests: requests of one week, and items walked to any state."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

from market_spine.db import Database
from market_spine.work import lease, queue
from market_spine.work.item import Item, Request, State, Verdict

NOW = datetime(2026, 1, 9, 12, tzinfo=timezone.utc)
WEEK = date(2025, 12, 26)


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def request(tier: str = "OTC", pipeline: str = "ingest_week", **more: object) -> Request:
    return Request(pipeline, WEEK, tier, **more)  # type: ignore[arg-type]


def ask(db: Database, *requests: Request, now: datetime = NOW) -> list[Item]:
    return [answered.item for answered in queue.enqueue(db, requests, now)]


def take(db: Database, item: Item, now: datetime = NOW) -> Item:
    claimed = lease.claim(db, item.id, "host:1:aa", now)
    assert claimed is not None
    return claimed


def put_in(db: Database, item: Item, state: State) -> None:
    """Walks the item to a state, by the steps that lead there."""
    if state in (State.RUNNING, State.COMPLETE, State.FAILED, State.RETRY_WAIT):
        item = take(db, item)
    if state is State.COMPLETE:
        lease.complete(db, item, NOW)
    elif state is State.CANCELLED:
        queue.cancel(db, [item.id], NOW)
    elif state in (State.FAILED, State.RETRY_WAIT):
        lease.settle(db, item, Verdict(state, "HTTP 503", at(5) if state is State.RETRY_WAIT else None), NOW)
