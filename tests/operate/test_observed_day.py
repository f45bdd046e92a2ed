"""Archived files are loaded only under a day on which they can have been observed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk, restated

from market_spine import clock
from market_spine.app.plan import Plan
from market_spine.app.scheduler import Result, run_schedule
from market_spine.core import captures
from market_spine.db import Database
from market_spine.operate.operation import Task, operation
from market_spine.partition import OTC, TIERS, Partition
from market_spine.query import answer, history
from market_spine.query.views import VIEWS

OF_OTC = Partition(WEEK, OTC)
THIRD = (*REVISED, ("TSLA", "UBSA", "UBS ATS", 9, 1))


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """A week whose OTC tier was restated on the second Friday; the folder is compared whole in each run."""
    return restated(tmp_path / "files", db)


def archived(desk: Desk, day: date, lines: tuple[tuple[str, str, str, float, int], ...]) -> Result:
    """A kept file of OTC, loaded under a day, as `--as-observed-on` does."""
    apart = Desk(desk.folder.parent / "kept", desk.db)
    apart.publish(WEEK, OTC, lines)
    return apart.load_kept(day, (OTC,))


def seen(desk: Desk, target: str, day: date) -> None:
    """A recorded run of that day, which finds what the folder has."""
    with operation(Task(target, "weekly_schedule", day, clock.moment_of(day), {})) as done:
        done.outcomes = run_schedule(done.run, desk.source(), Plan((WEEK,), TIERS), lambda outcome: None).outcomes


def answers(db: Database) -> list[list[tuple[object, ...]]]:
    """The venue volumes now and as of each Friday."""
    days = (None, *FRIDAYS)
    return [list(answer.answer(db, answer.Question(VIEWS["venue_volume"], as_of=day))) for day in days]


def refusals(result: Result) -> list[tuple[str | None, str]]:
    return [(outcome.category, outcome.message) for outcome in result.outcomes if outcome.category]


def test_a_day_between_two_on_which_the_same_content_was_seen_had_no_other(desk: Desk, target: str) -> None:
    seen(desk, target, FRIDAYS[2])
    before = answers(desk.db)
    ((category, message),) = refusals(archived(desk, date(2026, 1, 20), THIRD))
    assert (category, answers(desk.db)) == ("DAY_TAKEN", before)
    assert "was seen again on 2026-01-23, so 2026-01-20 had no other" in message
    assert refusals(archived(desk, date(2026, 1, 20), REVISED)) == [], "the same content is no other"
    assert answers(desk.db) == before


def test_a_gap_after_what_was_seen_last_is_filled_in_any_order(desk: Desk) -> None:
    for day, lines in ((date(2026, 1, 28), THIRD), (date(2026, 1, 21), PLAIN)):
        assert refusals(archived(desk, day, lines)) == []
    days = [e.run_date for e in history.list_captures(desk.db, WEEK, (OTC,))]
    assert days == ["2026-01-09", "2026-01-16", "2026-01-21", "2026-01-28"]


def test_a_day_that_is_loaded_does_not_hide_what_was_seen_after_it(desk: Desk, target: str) -> None:
    seen(desk, target, FRIDAYS[2])
    assert refusals(archived(desk, date(2026, 1, 2), THIRD)) == [], "before the first capture"
    ((category, _),) = refusals(archived(desk, date(2026, 1, 20), PLAIN))
    assert category == "DAY_TAKEN"


def test_content_that_was_refused_was_no_answer_and_takes_no_day(desk: Desk, target: str) -> None:
    desk.publish(WEEK, OTC, ())  # a header alone
    for day in FRIDAYS[2:]:
        seen(desk, target, day)
    assert refusals(archived(desk, date(2026, 1, 27), THIRD)) == []
    assert captures.current(desk.db, OF_OTC) == ("finra.otc_transparency:OTC:2025-11-28:20260127", 5, 2379)


@pytest.mark.parametrize(
    ("day", "category"),
    [
        pytest.param(date(2025, 12, 28), "OBSERVED_TOO_EARLY", id="the day before its newest date"),
        pytest.param(date(2025, 12, 29), None, id="the day of its newest date"),
    ],
)
def test_content_of_a_later_date_was_not_fetched_that_day(desk: Desk, day: date, category: str | None) -> None:
    before = answers(desk.db)
    result = archived(desk, day, THIRD)
    assert [given for given, _ in refusals(result)] == [category] * (category is not None)
    assert (captures.content_of_day(desk.db, OF_OTC, day) is None) is (category is not None)
    assert answers(desk.db) == before, "the Fridays have captures of their own"
