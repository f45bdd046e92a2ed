"""By when a run should be done, and what the publication calendar makes of it."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from market_spine.clock import market_zone
from market_spine.errors import ConfigurationError
from market_spine.monitor.deadline import Deadline, parse_deadline
from market_spine.monitor.samples import expected_run, lacking_deadlines
from market_spine.partition import NMS_TIER_1, Partition

FRIDAY, DAILY = parse_deadline("Fri 12:00"), parse_deadline("Mon-Fri 9:30")

READ = [
    ("Fri 12:00", {4}, "12:00:00"),
    ("friday 9:05", {4}, "09:05:00"),
    ("Mon-Fri 9:30", {0, 1, 2, 3, 4}, "09:30:00"),
    ("Tue,Fri 18:00", {1, 4}, "18:00:00"),
    ("Sat-Mon 0:00", {5, 6, 0}, "00:00:00"),
    (" Mon - Wed , Fri  23:59 ", {0, 1, 2, 4}, "23:59:00"),
]


@pytest.mark.parametrize(("text", "days", "at"), READ, ids=[row[0] for row in READ])
def test_days_and_a_time_are_read(text: str, days: set[int], at: str) -> None:
    deadline = parse_deadline(text)
    assert (deadline.days, deadline.at.isoformat()) == (days, at)


@pytest.mark.parametrize("text", ["", "Fri", "12:00", "Fri 24:00", "Fri 12:60", "Fr1 12:00", "Mon-Tue-Wed 9:00", "Foo 9:00"])
def test_what_is_no_day_and_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a day and time"):
        parse_deadline(text)


AFTER = [
    pytest.param(FRIDAY, "2026-01-19", "2026-01-23T12:00:00-05:00", id="from Monday to Friday"),
    pytest.param(FRIDAY, "2026-01-23", "2026-01-30T12:00:00-05:00", id="a Friday's own deadline is not after it"),
    pytest.param(FRIDAY, "2026-03-06", "2026-03-13T12:00:00-04:00", id="noon is noon across the change to summer time"),
    pytest.param(DAILY, "2026-01-23", "2026-01-26T09:30:00-05:00", id="over the weekend"),
]


@pytest.mark.parametrize(("deadline", "day", "moment"), AFTER)
def test_the_next_deadline_lies_on_a_later_day(deadline: Deadline, day: str, moment: str) -> None:
    assert deadline.after(date.fromisoformat(day)).isoformat() == moment


# What Monday 2026-01-19 (Martin Luther King Day, no exchange) would have brought comes out on the 20th.
RUNS = [
    pytest.param(FRIDAY, "2026-01-09", "2026-01-16", id="an ordinary week, Fridays"),
    pytest.param(FRIDAY, "2026-01-16", "2026-01-23", id="the holiday week, Fridays: moves nothing"),
    pytest.param(DAILY, "2026-01-09", "2026-01-13", id="an ordinary week, daily: published Monday, expected Tuesday"),
    pytest.param(DAILY, "2026-01-16", "2026-01-21", id="the holiday week, daily: published Tuesday, expected Wednesday"),
    pytest.param(DAILY, "2026-01-19", "2026-01-21", id="run on the holiday itself: the same"),
]


@pytest.mark.parametrize(("deadline", "ran_on", "by"), RUNS)
def test_the_next_run_is_expected_after_the_next_publication(deadline: Deadline, ran_on: str, by: str) -> None:
    assert expected_run(date.fromisoformat(ran_on), deadline).date().isoformat() == by


WEEKS = [date(2025, 12, 19), date(2025, 12, 26), date(2026, 1, 2), date(2026, 1, 9)]  # T1: due Jan 5, 12, 20 (!), 26
LACKING = [
    pytest.param(DAILY, {0, 1}, "2026-01-14", ["2026-01-22", "2026-01-28"], id="due on the Tuesday, late Wednesday, so by Thursday"),
    pytest.param(FRIDAY, {0, 1}, "2026-01-14", ["2026-01-23", "2026-01-30"], id="on Fridays that is the same Friday"),
    pytest.param(DAILY, {0, 2}, "2026-01-24", ["2026-01-14", "2026-01-28"], id="a hole between two stored weeks is lacking"),
    pytest.param(DAILY, {2}, "2026-01-24", ["2026-01-28"], id="what lies before the first stored week is not"),
    pytest.param(DAILY, set(), "2026-01-14", ["2026-01-14", "2026-01-22", "2026-01-28"], id="nothing stored: from the newest due"),
    pytest.param(DAILY, {0, 1, 2, 3}, "2026-02-14", [], id="all there"),
]


@pytest.mark.parametrize(("deadline", "stored", "today", "by"), LACKING)
def test_each_week_not_stored_has_its_deadline(deadline: Deadline, stored: set[int], today: str, by: list[str]) -> None:
    partitions = [Partition(week, NMS_TIER_1) for week in WEEKS]
    held = {(partitions[n].week, NMS_TIER_1) for n in stored}
    now = datetime.fromisoformat(f"{today}T12:00:00").replace(tzinfo=market_zone())
    assert [moment.date().isoformat() for moment in lacking_deadlines(partitions, held, now, deadline)] == by
