"""Delivery by Procrastinate: every open item is on its way to a worker, once, whatever happens to the engine's tables."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from support.work_asked import NOW, ask, put_in, request

from market_spine.db import Database
from market_spine.errors import SchemaTooOld
from market_spine.work import lease, outbox, queue
from market_spine.work.item import Lease, State
from market_spine.work.procrastinate_feed import fetch_by_priority_index
from market_spine.work.queue import Filter


@pytest.fixture
def engine() -> str:
    return "postgresql"


def deliveries(db: Database) -> list[int]:
    """The items that are on their way to a worker, on PostgreSQL."""
    rows = db.execute("SELECT args->>'item_id' FROM procrastinate_jobs WHERE status = 'todo'").fetchall()
    return sorted(int(item_id) for (item_id,) in rows)


def test_every_open_item_is_on_its_way_once(db: Database) -> None:
    first, second, third = ask(db, request("OTC"), request("NMS_TIER_1"), request("NMS_TIER_2"))
    ask(db, request("OTC"))
    assert deliveries(db) == sorted([first.id, second.id, third.id])
    queue.cancel(db, [first.id], NOW)
    assert deliveries(db) == sorted([second.id, third.id])
    put_in(db, second, State.FAILED)
    queue.retry(db, [first.id, second.id], NOW)
    assert deliveries(db) == sorted([first.id, second.id, third.id])


def test_a_rolled_back_enqueue_delivers_nothing(db: Database) -> None:
    outbox.prepare(db)
    with contextlib.suppress(ZeroDivisionError), db.transaction():
        ask(db, request())
        raise ZeroDivisionError
    assert (deliveries(db), queue.listed(db, Filter()).total) == ([], 0)


def test_deliveries_that_were_lost_are_announced_again(db: Database) -> None:
    items = ask(db, request("OTC"), request("NMS_TIER_1"), request("NMS_TIER_2"))
    put_in(db, items[2], State.COMPLETE)
    db.execute("TRUNCATE procrastinate_jobs CASCADE")
    lease.sweep(db, lease.Watch(Lease(), 0), NOW, 0)
    assert deliveries(db) == sorted([items[0].id, items[1].id])
    lease.sweep(db, lease.Watch(Lease(), 0), NOW, 0)
    assert deliveries(db) == sorted([items[0].id, items[1].id])


def test_a_delivery_whose_worker_died_before_claiming_is_announced_again(db: Database) -> None:
    (item,) = ask(db, request())
    db.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '2 minutes')")
    db.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT id FROM procrastinate_workers)")
    lease.sweep(db, lease.Watch(Lease(), 0), NOW, 0)
    assert deliveries(db) == [item.id]


def test_a_delivery_just_taken_by_a_living_worker_is_left_alone(db: Database) -> None:
    ask(db, request())
    db.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now())")
    db.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT id FROM procrastinate_workers)")
    lease.sweep(db, lease.Watch(Lease(), 0), NOW, 0)
    assert deliveries(db) == []


def test_tables_of_another_version_are_refused_and_can_be_rebuilt(db: Database) -> None:
    (item,) = ask(db, request())
    db.execute("UPDATE procrastinate_installed SET fingerprint = 'older'")
    with pytest.raises(SchemaTooOld, match="another version of procrastinate") as caught:
        ask(db, request("NMS_TIER_1"))
    assert "rebuild-delivery" in str(caught.value.hint)
    assert outbox.rebuild(db) == 1
    assert deliveries(db) == [item.id]


def test_two_first_enqueues_at_once_make_the_delivery_tables_once(db: Database) -> None:
    connections = [db.reopen() for _ in range(4)]
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(outbox.prepare, connections))
    finally:
        for connection in connections:
            connection.close()
    assert db.has_table("procrastinate_jobs")


async def _rows_touched_by_a_fetch(target: str) -> int:
    """How many rows of the engine's table the search for one job reads, in a session as a worker's."""
    async with await psycopg.AsyncConnection.connect(target) as session:
        await fetch_by_priority_index(session)
        await session.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")
        await session.execute(
            "SELECT procrastinate_fetch_job_v2(%s, (SELECT MAX(id) FROM procrastinate_workers))", (["market_spine"],)
        )
        counted = await session.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'procrastinate_jobs'"
        )
        (tuples,) = await counted.fetchone() or (0,)
        return int(tuples)


def test_the_next_job_is_found_without_sorting_a_backlog_that_was_just_enqueued(db: Database, target: str) -> None:
    outbox.prepare(db)
    db.execute(
        """
        INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, priority, scheduled_at, args)
        SELECT 'market_spine', 'market_spine.work_item', 'work-item:' || n, mod(n, 10), now() - interval '1 hour',
               json_build_object('item_id', n)
        FROM generate_series(1, 5000) AS n
        """
    )
    assert 0 < asyncio.run(_rows_touched_by_a_fetch(target)) < 20
