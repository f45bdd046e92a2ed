"""Python's collector rests while rows are made, whoever else makes some, and runs again afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from support.desk import ready_week
from support.gates import DEADLINE

import market_spine
from market_spine.db import Database
from market_spine.process import collector_paused
from market_spine.python import query


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    """Whatever a failing test leaves behind."""
    yield
    gc.enable()


def test_nothing_is_collected_in_between() -> None:
    generations: list[int] = []

    def note(phase: str, about: dict[str, int]) -> None:
        generations.append(about["generation"])

    gc.callbacks.append(note)
    try:
        with collector_paused():
            kept = [[number] for number in range(10 * gc.get_threshold()[0])]
            collected = len(generations)  # what was put off may come at once
    finally:
        gc.callbacks.remove(note)
    assert (len(kept) > 0, collected, gc.isenabled()) == (True, 0, True)


def test_who_stopped_it_finds_it_stopped() -> None:
    gc.disable()
    with collector_paused():
        pass
    assert not gc.isenabled()


def test_it_runs_again_after_two_threads_that_overlap() -> None:
    entered, left = Barrier(2), Barrier(2)

    def inner() -> None:
        with collector_paused():
            entered.wait(DEADLINE)
            left.wait(DEADLINE)

    with collector_paused():
        thread = Thread(target=inner)
        thread.start()
        entered.wait(DEADLINE)
    left.wait(DEADLINE)
    thread.join(DEADLINE)
    assert gc.isenabled()


def test_a_query_makes_its_rows_without_it(db: Database, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready_week(tmp_path / "files", db)
    states: list[bool] = []
    rows_of = query.rows_of

    def noted(*arguments: Any) -> Any:
        states.append(gc.isenabled())
        return rows_of(*arguments)

    monkeypatch.setattr(query, "rows_of", noted)
    market_spine.open(target).volume().latest()
    with pytest.raises(market_spine.NotReady):
        market_spine.open(target).volume(week="2025-11-21").latest()
    assert (states, gc.isenabled()) == ([False], True)
