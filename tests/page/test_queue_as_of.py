"""The queue as of a day: an item that has not changed since is shown as it was, of others only that they were there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from support.desk import FRIDAYS, WEEK

from market_spine import clock
from market_spine.app.context import Expectations
from market_spine.db import Database
from market_spine.page.looking import Look, looking
from market_spine.page.views import work
from market_spine.partition import NMS_TIER_1, OTC
from market_spine.work import queue
from market_spine.work.item import Request, State


def test_the_queue_as_of_a_day_has_the_items_of_that_day(db: Database) -> None:
    first, second, third = (clock.moment_of(friday) for friday in FRIDAYS[:3])
    queue.enqueue(db, [Request("capture_week", WEEK, tier) for tier in (NMS_TIER_1, OTC)], first)
    with looking(db, FRIDAYS[0], first, None, Expectations()) as now:
        shown = tables(now)
        as_of = replace(now, as_of=FRIDAYS[0])
    queue.enqueue(db, [Request("capture_week", WEEK + timedelta(weeks=1), OTC)], second)
    assert tables(as_of) == {**shown, "changed": []}  # the later one was not there
    later = queue.listed(db, queue.Filter()).items[1]
    queue.cancel(db, [later.id], third, "not needed")
    then = tables(as_of)
    assert then["open"] == shown["open"][:1]
    assert [(row[0], row[4]) for row in then["changed"]] == [(later.id, later.created_at)]


def test_of_many_items_the_first_are_listed_and_all_are_counted(db: Database) -> None:
    (first, second), count = (clock.moment_of(friday) for friday in FRIDAYS[:2]), 3 * work.A_PAGE
    weeks = [WEEK - timedelta(weeks=number) for number in range(count)]
    queue.enqueue(db, [Request("capture_week", week, OTC, priority=number) for number, week in enumerate(weeks)], first)
    for state, these in (("FAILED", "priority % 3 = 0"), ("CANCELLED", "priority % 3 = 1")):
        changed_at = clock.stamp(first if state == "FAILED" else second)
        db.execute(f"UPDATE core_work_items SET state = ?, updated_at = ? WHERE {these}", (state, changed_at))
    then = queue.enqueued_before(db, clock.stamp(second), 10)
    assert {state.value: number for state, number in then.counts.items() if number} == {"PENDING": 100, "FAILED": 100}
    assert [item.week_ending for item in then.open] == [weeks[number] for number in range(count - 1, 0, -1) if number % 3 == 2][:10]
    assert len(then.failed) == len(then.changed.items) == 10 and then.changed.total == 100
    assert {item.state for item in (*then.failed, *then.changed.items)} == {State.FAILED, State.CANCELLED}


def tables(look: Look) -> dict[str, list[object]]:
    return {name: list(table.rows) for name, table in work.work_queue(look).tables().items()}
