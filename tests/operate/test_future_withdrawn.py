"""A mistyped day, taken back: nothing of it is left that a week waits for until that day has passed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.desk import FRIDAYS, REVISED, WEEK, Desk, ready_week

from market_spine.core import captures, past
from market_spine.db import Database
from market_spine.operate import audit, rollback, status_grid
from market_spine.partition import OTC, Partition
from market_spine.query import as_of

MISTYPED = date(2126, 1, 16)


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return ready_week(tmp_path / "files", db)


def week(desk: Desk, day: date) -> tuple[str, bool, list[str | None]]:
    """Its glyphs, whether it is ready, and what is suggested."""
    (shown,) = status_grid.read(desk.context(day), [WEEK])
    return "".join(cell.glyph for cell in shown.cells), shown.is_ready, [cell.command for cell in shown.cells if cell.command]


def test_a_week_that_has_its_good_capture_again_is_ready_at_once(desk: Desk) -> None:
    desk.run(MISTYPED, force=True)
    rollback.withdraw_future(desk.context(FRIDAYS[1]), "a typing error")
    assert week(desk, FRIDAYS[1]) == ("●●●", True, [])
    assert desk.run(FRIDAYS[1]).exit_code == 0
    assert week(desk, FRIDAYS[1]) == ("●●●", True, [])
    assert audit.verify(desk.db).faults == []
    with past.store_before(desk.db, as_of.end_of(FRIDAYS[1])) as then:
        assert week(Desk(desk.folder, then), FRIDAYS[1]) == ("●●●", True, [])


def test_what_was_new_in_it_is_captured_on_the_true_day_and_the_week_is_ready(desk: Desk) -> None:
    desk.publish(WEEK, OTC, REVISED)
    desk.run(MISTYPED)
    rollback.withdraw_future(desk.context(FRIDAYS[1]), "a typing error")
    assert desk.run(FRIDAYS[1]).exit_code == 0
    current = captures.current(desk.db, Partition(WEEK, OTC))
    assert current is not None
    assert current.capture_id.endswith(":20260116")
    assert week(desk, FRIDAYS[1]) == ("●●◉", True, [])


def test_a_week_that_was_captured_on_the_mistyped_day_only_is_missing(desk: Desk) -> None:
    other = date(2025, 12, 5)
    desk.publish_weeks([other])
    desk.run(MISTYPED, [other])
    rollback.withdraw_future(desk.context(FRIDAYS[2]), "a typing error")
    (shown,) = status_grid.read(desk.context(FRIDAYS[2]), [other])
    assert "".join(cell.glyph for cell in shown.cells) == "✕✕✕"
    assert desk.run(FRIDAYS[2], [other]).exit_code == 0
    (shown,) = status_grid.read(desk.context(FRIDAYS[2]), [other])
    assert ("".join(cell.glyph for cell in shown.cells), shown.is_ready) == ("●●●", True)
