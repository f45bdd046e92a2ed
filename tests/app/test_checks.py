"""Whose turn it is to be compared whole, and that finding what is open stays cheap."""

from __future__ import annotations

import ast
import inspect
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from market_spine import clock
from market_spine.app import coverage
from market_spine.app.checks import beside, due, overdue
from market_spine.db import connect, migrations
from market_spine.partition import TIERS, Partition

DAY = date(2026, 10, 2)


def partitions(count: int) -> list[Partition]:
    return [Partition(DAY - timedelta(weeks=n // 3), TIERS[n % 3]) for n in range(count)]


def days_ago(days: int) -> datetime:
    return clock.moment_of(DAY - timedelta(days=days))


@pytest.mark.parametrize(
    ("checked_days_ago", "changed_days_ago", "expected"),
    [
        pytest.param([7, 7, 7], None, [], id="nothing changed"),
        pytest.param([0, 7, 7], 0, [1, 2], id="the others were not reached"),
        pytest.param([7, 7, 7], 7, [], id="all compared by the run that found it"),
        pytest.param([0, 0, 7], 3, [2], id="one of them was not there"),
    ],
)
def test_the_other_tiers_of_a_change_are_compared_after_it(
    checked_days_ago: list[int], changed_days_ago: int | None, expected: list[int]
) -> None:
    held = {Partition(DAY, tier): days_ago(ago) for tier, ago in zip(TIERS, checked_days_ago, strict=True)}
    changed = {} if changed_days_ago is None else {DAY: days_ago(changed_days_ago)}
    assert beside(held, changed) == [Partition(DAY, TIERS[n]) for n in expected]


@pytest.mark.parametrize(
    ("checked_days_ago", "share", "expected"),
    [
        ([7, 28, 14, 21], 0.25, [1]),
        ([7, 28, 14, 21, 35], 0.25, [4, 1]),
        ([7, 28, 14, 21], 0.5, [1, 3]),
        ([7, 28, 14, 21], 1.0, [1, 3, 2, 0]),
        ([7, 28, 14, 21], 0.0, []),
        ([0, 28, 14, 21], 0.25, []),
        ([0, 28, 14, 21, 35], 0.25, [4]),
        ([], 0.25, []),
    ],
    ids=["one of four", "two of five", "half", "all", "none", "one had it today", "one of two had it today", "nothing held"],
)
def test_those_have_their_turn_that_waited_longest(checked_days_ago: list[int], share: float, expected: list[int]) -> None:
    held = partitions(len(checked_days_ago))
    checked = {partition: days_ago(days) for partition, days in zip(held, checked_days_ago, strict=True)}
    assert list(due(checked, DAY, share)) == [held[n] for n in expected]


@pytest.mark.parametrize(("share", "runs"), [(1.0, 1), (0.5, 2), (0.25, 4), (0.1, 10)])
@pytest.mark.parametrize("apart", [1, 7], ids=["daily", "weekly"])
def test_each_partition_has_its_turn_within_so_many_runs_while_new_ones_come(share: float, runs: int, apart: int) -> None:
    checked: dict[Partition, datetime] = {}
    last_turn: dict[Partition, int] = {}
    for n in range(60):
        day = DAY + timedelta(days=n * apart)
        for partition in due(checked, day, share):
            checked[partition], last_turn[partition] = clock.moment_of(day), n
        for tier in TIERS if n < 40 else ():
            new = Partition(DAY + timedelta(weeks=n), tier)
            checked[new], last_turn[new] = clock.moment_of(day), n
        assert all(n - turn < runs for turn in last_turn.values())


@pytest.mark.parametrize(
    ("days", "share", "expected"),
    [(20, 0.25, False), (21, 0.25, True), (6, 0.5, False), (7, 0.5, True), (0, 1.0, True), (400, 0.0, False)],
)
def test_a_partition_asked_for_by_name_has_its_turn_by_the_time_that_has_passed(days: int, share: float, expected: bool) -> None:
    (partition,) = partitions(1)
    assert overdue({partition: days_ago(days)}, DAY, share) == ([partition] if expected else [])


def statements(function: object) -> list[str]:
    tree = ast.parse(inspect.getsource(function))  # type: ignore[arg-type]
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [text for text in texts if text.lstrip().startswith("SELECT")]


@pytest.mark.parametrize("function", [coverage._behind, coverage._weeks_behind], ids=["stages", "week results"])
def test_what_is_behind_is_found_by_its_index_without_reading_the_manifest(tmp_path: Path, function: object) -> None:
    db = connect(str(tmp_path / "spine.db"))
    migrations.prepare(db)
    (sql,) = statements(function)
    steps = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()]
    db.close()
    on_manifest = [
        step for step in steps if any(f" {name} " in step for name in ("raw", "typed", "measured", "m", "m1", "m2", "m3"))
    ]
    assert on_manifest and all("INDEX core_manifest_capture (capture_id=? AND stage=?)" in step for step in on_manifest)
    assert not [step for step in steps if "TEMP B-TREE" in step or "AUTOMATIC" in step]
    assert [step for step in steps if step.startswith("SCAN")] == ["SCAN c"]  # the captures, once
