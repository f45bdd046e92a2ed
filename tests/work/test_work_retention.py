"""Ended items and their executions are kept for so long; nothing else goes with them."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from support.commands import RunCommand
from support.work_asked import NOW, ask, put_in

from market_spine.core import executions
from market_spine.db import Database
from market_spine.errors import UsageError
from market_spine.work import queue, retention
from market_spine.work.item import Request, State

LATER = NOW + timedelta(days=91)


def in_every_state(db: Database) -> None:
    for n, state in enumerate(State):
        (item,) = ask(db, Request("ingest_week", date(2025, 12, 26) - timedelta(weeks=n), "OTC"))
        put_in(db, item, state)


def left(db: Database) -> tuple[set[str], int]:
    states = {state for (state,) in db.execute("SELECT state FROM core_work_items")}
    return states, db.execute("SELECT COUNT(*) FROM core_executions").fetchone()[0]


def test_what_ended_long_ago_goes_and_the_rest_stays(db: Database) -> None:
    in_every_state(db)
    executions.start(db, "weekly", "finra_weekly_schedule", date(2026, 1, 9), {"source": "file"}, NOW)
    executions.finish(db, "weekly", 0, NOW)
    assert left(db) == ({state.value for state in State}, 5)
    assert retention.prune(db, 92, LATER, "too early") == (0, 0)
    assert retention.prune(db, 90, LATER, "the season is over") == (2, 1)
    assert left(db) == ({"PENDING", "RUNNING", "RETRY_WAIT", "FAILED"}, 4)
    assert retention.prune(db, 90, LATER, "again") == (0, 0)
    actions = db.execute("SELECT target, reason FROM core_operator_actions WHERE action = 'work prune' ORDER BY id").fetchall()
    assert [tuple(action) for action in actions][1] == ("before 2026-01-10", "the season is over")


def test_many_go_in_several_transactions(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    for n in range(5):
        (item,) = ask(db, Request("ingest_week", date(2025, 12, 26) - timedelta(weeks=n), "OTC"))
        put_in(db, item, State.COMPLETE)
    assert retention.prune(db, 90, LATER, "the season is over") == (5, 5)


def test_an_age_is_not_negative(db: Database) -> None:
    with pytest.raises(UsageError, match="makes no sense"):
        retention.prune(db, -1, LATER, "x")


def test_the_command_says_what_it_removed(target: str, db: Database, run_command: RunCommand) -> None:
    in_every_state(db)
    done = run_command("spine", "work", "prune", "--older-than", "0", "--reason", "a test", "--db", target)
    assert (done.exit_code, done.stdout) == (0, "2 items and 1 executions removed\n")
    assert queue.counts(db)[State.FAILED] == 1
