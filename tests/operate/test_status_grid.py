"""The grid as a pure function of what was read: its states, its statements, and the same cells as of a past day."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine.app import coverage
from market_spine.app.context import Run
from market_spine.app.plan import Plan
from market_spine.core import past
from market_spine.db import Database
from market_spine.operate import evidence, rollback, status_grid
from market_spine.operate.status_grid import CellState, WeekState
from market_spine.partition import NMS_TIER_1, OTC, TIERS, Partition
from market_spine.query import as_of
from market_spine.query.history import Entry

WEEKS = [WEEK - timedelta(weeks=n) for n in range(3)]  # newest first


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return Desk(tmp_path / "files", db)


def glyphs(desk: Desk, on: date, weeks: list[date]) -> list[str]:
    return ["".join(cell.glyph for cell in week.cells) for week in status_grid.read(desk.context(on), weeks)]


def test_every_state_has_a_glyph_of_its_own() -> None:
    shown = [*status_grid.GLYPHS.values(), status_grid.REVISED]
    assert set(status_grid.GLYPHS) == set(CellState)
    assert len(set(shown)) == len(shown)


def test_a_week_is_seen_through_its_life(desk: Desk) -> None:
    seen = [glyphs(desk, date(2025, 12, 12), [WEEK])]
    desk.publish(WEEK, NMS_TIER_1)
    desk.run(date(2025, 12, 19))
    seen.append(glyphs(desk, date(2025, 12, 19), [WEEK]))
    seen.append(glyphs(desk, date(2025, 12, 29), [WEEK]))
    desk.publish_weeks([WEEK])
    desk.run(FRIDAYS[0])
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    seen.append(glyphs(desk, FRIDAYS[1], [WEEK]))
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, [OTC], "faulty")
    seen.append(glyphs(desk, FRIDAYS[2], [WEEK]))
    assert seen == [["···"], ["●··"], ["●◌◌"], ["●●◉"], ["●●⊘"]]


@pytest.mark.parametrize(("before", "glyph"), [("superseded", "◉"), ("withdrawn", "◉"), ("held", "●"), ("unfinished", "●")])
def test_only_what_was_shown_before_makes_a_partition_revised(before: str, glyph: str) -> None:
    captures = [
        Entry(n, f"c{n}", str(WEEK), OTC, f"2026-01-0{n}", "", "NEW", "CALC", 1, 1.0, f"h{n}", state, None, None)
        for n, state in enumerate((before, "current"), 1)
    ]
    cell = status_grid.judge(Partition(WEEK, OTC), captures, CellState.MISSING, [], [], is_ready=True, fetch="")
    assert cell.glyph == glyph


def test_what_was_never_asked_for_is_outside_and_blocks_nothing(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    desk.run()
    rows = status_grid.read(desk.context(), WEEKS)
    assert [row.state for row in rows] == [WeekState.READY, WeekState.OUTSIDE, WeekState.OUTSIDE]
    assert [cell.command for row in rows[1:] for cell in row.cells] == [None] * 6
    assert status_grid.tally(rows) == {WeekState.READY: 1, WeekState.AWAITING: 0, WeekState.BLOCKED: 0}


def test_a_hole_in_a_week_that_is_kept_is_missing(desk: Desk) -> None:
    desk.publish(WEEK, OTC)
    desk.run(tiers=[OTC])
    desk.publish_weeks([WEEK + timedelta(weeks=1)])
    desk.run(weeks=[WEEK + timedelta(weeks=1)])
    rows = status_grid.read(desk.context(), [WEEK])
    assert glyphs(desk, FRIDAYS[0], [WEEK]) == ["✕✕●"]
    assert rows[0].state is WeekState.BLOCKED


class Counting:
    """A database that counts the statements it is given."""

    def __init__(self, db: Database) -> None:
        self._db, self.count = db, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        self.count += 1
        return self._db.execute(sql, parameters)


@pytest.mark.parametrize("weeks", [1, 12, 600])
def test_no_range_of_weeks_takes_more_than_seven_statements(desk: Desk, weeks: int) -> None:
    desk.publish_weeks(WEEKS)
    desk.publish(WEEKS[1], OTC, ())  # refused
    desk.run(weeks=WEEKS)
    counting: Any = Counting(desk.db)
    run = desk.context()
    asked = [WEEK - timedelta(weeks=n) for n in range(weeks)]
    assert len(status_grid.read(Run(counting, run.run_date, run.now, "x"), asked)) == weeks
    assert counting.count == 7


def test_the_cells_of_a_past_day_are_those_shown_on_that_day(desk: Desk) -> None:
    """Each Friday the state of that evening is noted, and asked for again when later runs have changed all of it."""
    shown: dict[date, list[str]] = {}
    desk.publish_weeks(WEEKS)
    for friday, change in zip(FRIDAYS, ((), (), REVISED, ()), strict=True):
        if change:
            desk.publish(WEEK, OTC, change)
        desk.run(friday, WEEKS)
        shown[friday] = glyphs(desk, friday, WEEKS)
    rollback.roll_back(desk.context(FRIDAYS[3] + timedelta(days=1)), WEEK, [OTC], "faulty")
    for friday, before in shown.items():
        with past.store_before(desk.db, as_of.end_of(friday)) as then:
            run = desk.context(friday)
            rows = status_grid.read(Run(then, run.run_date, run.now, ""), WEEKS)
            assert ["".join(cell.glyph for cell in row.cells) for row in rows] == before
    assert shown[FRIDAYS[3]][0] == "●●◉"


def test_a_past_day_knows_which_weeks_had_been_asked_for(desk: Desk) -> None:
    """Of three weeks that a window asked for, one came: the others are missing, on that day and ever after of that day."""
    run, asked = desk.context(), [*WEEKS, WEEKS[-1] - timedelta(weeks=1)]
    coverage.record(run, Plan(tuple(WEEKS), TIERS))
    desk.publish_weeks([WEEK])
    desk.run()
    assert glyphs(desk, FRIDAYS[0], asked) == ["●●●", "✕✕✕", "✕✕✕", "–––"]
    with past.store_before(desk.db, as_of.end_of(FRIDAYS[0])) as then:
        rows = status_grid.read(Run(then, run.run_date, run.now, ""), asked)
    assert ["".join(cell.glyph for cell in row.cells) for row in rows] == ["●●●", "✕✕✕", "✕✕✕", "–––"]


def test_earlier_weeks_asked_for_since_change_no_past_day(desk: Desk) -> None:
    asked = [*WEEKS, WEEKS[-1] - timedelta(weeks=1)]
    coverage.record(desk.context(FRIDAYS[0]), Plan(tuple(WEEKS), TIERS))
    desk.publish_weeks([WEEK])
    desk.run(FRIDAYS[0])
    before = glyphs(desk, FRIDAYS[0], asked)
    coverage.record(desk.context(FRIDAYS[1]), Plan(tuple(asked), TIERS))
    assert before == ["●●●", "✕✕✕", "✕✕✕", "–––"] and glyphs(desk, FRIDAYS[1], asked)[-1] == "✕✕✕"
    with past.store_before(desk.db, as_of.end_of(FRIDAYS[0])) as then:
        run = desk.context(FRIDAYS[0])
        rows = status_grid.read(Run(then, run.run_date, run.now, ""), asked)
    assert ["".join(cell.glyph for cell in row.cells) for row in rows] == before


def test_the_evidence_agrees_with_the_statements_of_one_partition(desk: Desk) -> None:
    from market_spine.app import calc, normalize, readiness

    desk.publish_weeks([WEEK])
    desk.run(only="ingest")
    desk.publish(WEEK, OTC, ())
    run = desk.context(FRIDAYS[1])
    desk.run(FRIDAYS[1], tiers=[OTC])
    for tier in (NMS_TIER_1, OTC):
        partition, stored = Partition(WEEK, tier), evidence.read(desk.db, WEEK, WEEK)
        assert stored.to_normalize(run, partition) == normalize.pending(run, partition)
        assert stored.to_measure(run, partition) == calc.pending(run, partition)
    assert stored.judgement(run, WEEK) == readiness.look(WEEK, desk.db, run.now, run.expected.calendar)
    assert stored.differences(WEEK) == readiness.differences(desk.db, WEEK)
