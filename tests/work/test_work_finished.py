"""However many items have ended, lists and metrics of the queue read an index, and no item reads what others left."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from bench import finished
from support.work_asked import WEEK, ask, put_in

from market_spine.db import Database
from market_spine.partition import TIERS
from market_spine.work import queue
from market_spine.work.item import Request, State
from market_spine.work.queue import Filter

TABLES = ("core_work_items", "core_executions")


class Asking:
    """A database that notes how each statement would be executed."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.steps: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        if any(table in sql for table in TABLES):
            explain = "EXPLAIN QUERY PLAN" if self._db.engine == "sqlite" else "EXPLAIN"
            self.steps += [str(row[-1]) for row in self._db.execute(f"{explain} {sql}", parameters).fetchall()]
        return self._db.execute(sql, parameters)

    @property
    def scans(self) -> list[str]:
        """The steps that read a whole table."""
        names = ("SCAN core_", "SEARCH core_", "SCAN failed", "Seq Scan on core_")
        return [step for step in self.steps if any(name in step for name in names) and "INDEX" not in step and "KEY" not in step]


INDEXES = dict.fromkeys(finished.QUESTIONS, "core_work_items_due") | {
    "list COMPLETE, newest first": "core_work_items_changed",
    "list COMPLETE of a pipeline": "core_work_items_pipeline",
    "list COMPLETE of a pipeline, newest first": "core_work_items_pipeline",
    "metrics": "core_executions_runs",
    "the last runs": "core_executions_runs",
    "the newest day, asked by each item": "core_executions_day",
}


@pytest.mark.parametrize("question", finished.QUESTIONS)
def test_nobody_reads_all_that_has_ended(db: Database, question: str) -> None:
    finished.fill(db, 300)
    if db.engine == "postgresql":
        db.execute("ANALYZE")
        db.execute("SET enable_seqscan = off")  # at this size a scan may cost less: what still scans has no other way
    asking = Asking(db)
    assert finished.QUESTIONS[question](asking) is not None
    assert asking.scans == []
    assert any(INDEXES[question] in step for step in asking.steps)


@pytest.mark.parametrize("few", [0, 100], ids=["read in order", "sorted here"])
def test_pages_of_several_states_are_cut_from_one_order(db: Database, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(queue, "_FEW", few)
    for n, state in enumerate((*State, *State)):
        week, name = WEEK - timedelta(weeks=n), ("ingest_week", "normalize_week")[n // len(State)]
        for item in ask(db, *(Request(name, week, tier, priority=n % 3) for tier in TIERS)):
            put_in(db, item, state)
    for pipeline, newest in itertools.product((None, "normalize_week"), (False, True)):
        which = Filter((State.COMPLETE, State.FAILED, State.CANCELLED, State.COMPLETE), pipeline=pipeline)
        whole = queue.listed(db, which, newest=newest)
        assert whole.total == len(whole.items) == (9 if pipeline else 18)
        pages = [queue.listed(db, which, newest=newest, limit=4, offset=start).items for start in range(0, 20, 4)]
        assert [item for page in pages for item in page] == whole.items
        order = [(-item.priority, item.desired_at, item.id) for item in whole.items]
        assert order == sorted(order)  # all changed at one moment, so that both orders are the same
    assert queue.counts(db) == dict.fromkeys(State, 6)
