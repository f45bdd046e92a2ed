"""What people do with the work queue: enqueue, retry, cancel, list. Every change is one conditional statement per row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from market_spine import clock
from market_spine.core import work_items
from market_spine.core.waiting import WORK_DUE
from market_spine.db import Database
from market_spine.errors import NotFound
from market_spine.operate.operation import record_action
from market_spine.partition import DOMAIN
from market_spine.work.item import Answer, Item, Params, Request, State


@dataclass(frozen=True, slots=True)
class Answered:
    """An item, and what enqueueing it did."""

    answer: Answer
    item: Item


@dataclass(frozen=True, slots=True)
class Changed:
    """What a retry or cancel did: the items it changed, and those it did not."""

    changed: list[Item]
    unchanged: list[Item]


@dataclass(frozen=True, slots=True)
class Page:
    """Items in the requested order, and the total number of matches."""

    items: list[Item]
    total: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items to list; None and no weeks do not filter. Empty `states` means the open ones."""

    states: tuple[State, ...] = ()
    domain: str | None = None
    pipeline: str | None = None
    weeks: tuple[str, ...] = ()


OPEN = (State.PENDING, State.RUNNING, State.RETRY_WAIT)
_FEW = 2_000  # items that are sorted here


def enqueue(db: Database, requests: Sequence[Request], now: datetime) -> list[Answered]:
    """Creates, resets or finds each item, in one transaction; returns them in the order of the requests.

    Rows are locked in one order, so that two callers with the same list never deadlock; and tier after tier, since items are
    claimed in the order of their ids and those of one week wait for each other.
    """
    with db.transaction():
        order = sorted(range(len(requests)), key=lambda at: _order(requests[at]))
        answered = {at: _enqueue(db, requests[at], now) for at in order}
        if any(one.answer in (Answer.CREATED, Answer.RESET) for one in answered.values()):
            db.notify(WORK_DUE)
    return [answered[at] for at in range(len(requests))]


def backlog(weeks: Iterable[date], tiers: Sequence[str], params: Params) -> list[Request]:
    """A range of weeks as items, one for each partition, which runs all its phases; those that have ended start again."""
    return [Request("capture_week", week, tier, params=params, rerun=True) for week in weeks for tier in tiers]


def _order(request: Request) -> tuple[str, str, str]:
    return request.pipeline, request.tier or "", request.key


def _enqueue(db: Database, request: Request, now: datetime) -> Answered:
    if (created := _insert(db, request, now)) is not None:
        return Answered(Answer.CREATED, created)
    if request.rerun and (reset := _reset(db, request, now)) is not None:
        return Answered(Answer.RESET, reset)
    row = db.execute(
        "SELECT * FROM core_work_items WHERE domain = ? AND pipeline = ? AND partition_key = ?",
        (request.domain, request.pipeline, request.key),
    ).fetchone()
    item = Item.of(row)
    return Answered(Answer.EXISTING if item.state in OPEN else Answer.REPORTED, item)


def _insert(db: Database, request: Request, now: datetime) -> Item | None:
    moment = clock.stamp(now)
    row = db.execute(
        """
        INSERT INTO core_work_items (domain, pipeline, partition_key, params_json, desired_at, priority, max_attempts,
                                     created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (domain, pipeline, partition_key) DO NOTHING RETURNING *
        """,
        (
            request.domain, request.pipeline, request.key, request.params.to_json(), clock.stamp(request.desired_at or now),
            request.priority, request.max_attempts, moment, moment,
        ),
    ).fetchone()
    return None if row is None else Item.of(row)


def _reset(db: Database, request: Request, now: datetime) -> Item | None:
    """Resets an item that has ended, with the parameters of this request."""
    row = db.execute(
        """
        UPDATE core_work_items
        SET state = 'PENDING', params_json = ?, desired_at = ?, priority = ?, max_attempts = ?, attempt_count = 0,
            last_error = NULL, last_error_at = NULL, completed_at = NULL, updated_at = ?
        WHERE domain = ? AND pipeline = ? AND partition_key = ? AND state IN ('COMPLETE', 'FAILED', 'CANCELLED')
        RETURNING *
        """,
        (
            request.params.to_json(), clock.stamp(request.desired_at or now), request.priority, request.max_attempts,
            clock.stamp(now), request.domain, request.pipeline, request.key,
        ),
    ).fetchone()
    return None if row is None else Item.of(row)


def retry(db: Database, ids: Iterable[int], now: datetime, reason: str | None = None, actor: str | None = None) -> Changed:
    """FAILED, CANCELLED and waiting items become due now, with all their attempts. Raises NotFound."""
    with db.transaction():
        items = [find(db, item_id) for item_id in sorted(set(ids))]
        changed = [item for item in (_retry(db, one.id, now) for one in items) if item is not None]
        if changed:
            db.notify(WORK_DUE)
        _record(db, "work retry", changed, now, reason, actor)
    return _changed(items, changed)


def failed_of(db: Database, domain: str) -> list[int]:
    """The ids of a domain's FAILED items."""
    rows = db.execute("SELECT id FROM core_work_items WHERE state = 'FAILED' AND domain = ? ORDER BY id", (domain,))
    return [item_id for (item_id,) in rows]


def _retry(db: Database, item_id: int, now: datetime) -> Item | None:
    moment = clock.stamp(now)
    row = db.execute(
        """
        UPDATE core_work_items
        SET state = 'PENDING', desired_at = ?, attempt_count = 0, next_attempt_at = NULL, waits_for = NULL, updated_at = ?
        WHERE id = ? AND state IN ('FAILED', 'CANCELLED', 'RETRY_WAIT') RETURNING *
        """,
        (moment, moment, item_id),
    ).fetchone()
    return None if row is None else Item.of(row)


def cancel(db: Database, ids: Iterable[int], now: datetime, reason: str | None = None, actor: str | None = None) -> Changed:
    """Cancels items that have not ended; the worker of a running one notices, and its writes roll back. Raises NotFound."""
    with db.transaction():
        items = [find(db, item_id) for item_id in sorted(set(ids))]
        changed = [item for item in (_cancel(db, one.id, now) for one in items) if item is not None]
        _record(db, "work cancel", changed, now, reason, actor)
    return _changed(items, changed)


def _cancel(db: Database, item_id: int, now: datetime) -> Item | None:
    row = db.execute(
        """
        UPDATE core_work_items
        SET state = 'CANCELLED', next_attempt_at = NULL, waits_for = NULL, current_execution_id = NULL, locked_by = NULL,
            locked_at = NULL, updated_at = ?
        WHERE id = ? AND state IN ('PENDING', 'RUNNING', 'RETRY_WAIT', 'FAILED') RETURNING *
        """,
        (clock.stamp(now), item_id),
    ).fetchone()
    return None if row is None else Item.of(row)


def _record(db: Database, action: str, changed: list[Item], now: datetime, reason: str | None, actor: str | None) -> None:
    for item in changed:
        record_action(db, action, item.where, reason or "no reason given", now, {"work_item": item.id}, actor=actor)


def _changed(items: list[Item], changed: list[Item]) -> Changed:
    ids = {item.id for item in changed}
    return Changed(changed, [item for item in items if item.id not in ids])


def find(db: Database, item_id: int) -> Item:
    """The item with this id. Raises NotFound."""
    row = db.execute("SELECT * FROM core_work_items WHERE id = ?", (item_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no work item {item_id}", hint="list them: spine work list")
    return Item.of(row)


def listed(db: Database, which: Filter, *, newest: bool = False, limit: int = 100, offset: int = 0) -> Page:
    """Items by the order in which they are due (priority, then desired_at), or by their last change, newest first. However many
    have ended, a page reads hardly more than it shows."""
    if which.domain not in (None, DOMAIN):
        return Page([], 0)
    if which.weeks:
        items = _in_order([item for week in which.weeks for item in _of_week(db, week, which)], newest=newest)
        return Page(items[offset : offset + limit], len(items))
    states = [state.value for state in dict.fromkeys(which.states or OPEN)]
    total = sum(_count(db, state, which.pipeline) for state in states)
    if newest and which.pipeline is not None and total <= _FEW:
        items = _in_order([item for state in states for item in _of_pipeline(db, state, which.pipeline)], newest=True)
        return Page(items[offset : offset + limit], total)
    chosen = [*states, *[""] * (len(State) - len(states))]  # as many as the statements take; no item is in the state ""
    rows = (_newest if newest else _first_due)(db, chosen, which.pipeline, limit, offset)
    return Page([Item.of(row) for row in rows], total)


def _in_order(items: Iterable[Item], *, newest: bool) -> list[Item]:
    first_due = sorted(items, key=lambda item: (-item.priority, item.desired_at, item.id))
    return sorted(first_due, key=lambda item: item.updated_at, reverse=True) if newest else first_due


def _of_week(db: Database, week: str, which: Filter) -> list[Item]:
    """A week has a few dozen items: they are filtered here."""
    rows = db.execute("SELECT * FROM core_work_items WHERE json_extract(partition_key, '$.week_ending') = ?", (week,))
    states = which.states or OPEN
    return [item for item in map(Item.of, rows) if item.state in states and which.pipeline in (None, item.pipeline)]


def _of_pipeline(db: Database, state: str, pipeline: str) -> list[Item]:
    rows = db.execute("SELECT * FROM core_work_items WHERE state = ? AND pipeline = ?", (state, pipeline))
    return [Item.of(row) for row in rows]


def _count(db: Database, state: str, pipeline: str | None) -> int:
    if pipeline is None and state == State.COMPLETE.value:
        return work_items.counts(db)[state]
    if pipeline is None:
        row = db.execute("SELECT COUNT(*) FROM core_work_items WHERE state = ?", (state,)).fetchone()
    else:
        row = db.execute("SELECT COUNT(*) FROM core_work_items WHERE state = ? AND pipeline = ?", (state, pipeline)).fetchone()
    (count,) = row
    return int(count)


# The first items of one state, read from an index in their order. A page is cut from six of these, as many as there are states.
_DUE = "SELECT * FROM (SELECT * FROM core_work_items WHERE state = ? ORDER BY priority DESC, desired_at, id LIMIT ?) AS due"
_DUE_OF_ONE = """
SELECT * FROM (
    SELECT * FROM core_work_items WHERE state = ? AND pipeline = ? ORDER BY priority DESC, desired_at, id LIMIT ?) AS due
"""
_CHANGED = """
SELECT * FROM (
    SELECT * FROM core_work_items WHERE state = ? AND pipeline = COALESCE(?, pipeline)
    ORDER BY updated_at DESC, priority DESC, desired_at, id LIMIT ?) AS changed
"""


def _first_due(db: Database, states: list[str], pipeline: str | None, limit: int, offset: int) -> list[tuple[Any, ...]]:
    if pipeline is None:
        return db.execute(
            f"""
            {_DUE} UNION ALL {_DUE} UNION ALL {_DUE} UNION ALL {_DUE} UNION ALL {_DUE} UNION ALL {_DUE}
            ORDER BY priority DESC, desired_at, id LIMIT ? OFFSET ?
            """,
            [*(value for state in states for value in (state, offset + limit)), limit, offset],
        ).fetchall()
    return db.execute(
        f"""
        {_DUE_OF_ONE} UNION ALL {_DUE_OF_ONE} UNION ALL {_DUE_OF_ONE} UNION ALL {_DUE_OF_ONE} UNION ALL {_DUE_OF_ONE}
        UNION ALL {_DUE_OF_ONE} ORDER BY priority DESC, desired_at, id LIMIT ? OFFSET ?
        """,
        [*(value for state in states for value in (state, pipeline, offset + limit)), limit, offset],
    ).fetchall()


def _newest(db: Database, states: list[str], pipeline: str | None, limit: int, offset: int) -> list[tuple[Any, ...]]:
    """Of one pipeline, those of the others are passed over: it has a good part of them all."""
    return db.execute(
        f"""
        {_CHANGED} UNION ALL {_CHANGED} UNION ALL {_CHANGED} UNION ALL {_CHANGED} UNION ALL {_CHANGED} UNION ALL {_CHANGED}
        ORDER BY updated_at DESC, priority DESC, desired_at, id LIMIT ? OFFSET ?
        """,
        [*(value for state in states for value in (state, pipeline, offset + limit)), limit, offset],
    ).fetchall()


@dataclass(frozen=True, slots=True)
class Then:
    """What is known of the items that had been enqueued by a moment: an item keeps only its last state, so one that changed since
    shows no more than when it was enqueued."""

    counts: dict[State, int]  # of those that have not changed since, like the next two
    open: list[Item]
    failed: list[Item]
    changed: Page


def enqueued_before(db: Database, before: str, limit: int) -> Then:
    """The items of a moment (a stamp); of each list the first `limit`, in the order they are claimed."""
    same = db.execute(
        "SELECT state, COUNT(*) FROM core_work_items WHERE created_at < ? AND updated_at < ? GROUP BY state", (before, before)
    )
    numbers = dict.fromkeys(State, 0) | {State(state): number for state, number in same}
    rows = db.execute("SELECT COUNT(*) FROM core_work_items WHERE created_at < ? AND updated_at >= ?", (before, before))
    (changed,) = rows.fetchone()
    rows = db.execute(
        """
        SELECT * FROM core_work_items WHERE created_at < ? AND updated_at >= ? ORDER BY priority DESC, desired_at, id LIMIT ?
        """,
        (before, before, limit),
    )
    since = Page([Item.of(row) for row in rows], int(changed))
    return Then(numbers, _unchanged(db, before, OPEN, limit), _unchanged(db, before, (State.FAILED,) * 3, limit), since)


def _unchanged(db: Database, before: str, states: tuple[State, State, State], limit: int) -> list[Item]:
    rows = db.execute(
        """
        SELECT * FROM core_work_items
        WHERE state IN (?, ?, ?) AND created_at < ? AND updated_at < ? ORDER BY priority DESC, desired_at, id LIMIT ?
        """,
        (*(state.value for state in states), before, before, limit),
    )
    return [Item.of(row) for row in rows]


def counts(db: Database) -> dict[State, int]:
    """The number of items in each state."""
    numbers = work_items.counts(db)
    return {state: numbers[state.value] for state in State}
