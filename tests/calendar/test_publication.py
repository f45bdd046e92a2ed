"""When FINRA publishes: against the days it named itself and the days recorded from its data."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_spine.calendar import publication
from market_spine.calendar.publication import Due, PublicationState, due_date, next_due, read_calendar, state
from market_spine.errors import ConfigurationError
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS, Partition

# FINRA Regulatory Notice 19-29: (Monday of the week, tier, published).
NOTICE = [
    ("2019-11-11", NMS_TIER_1, "2019-12-02"),
    ("2019-10-28", NMS_TIER_2, "2019-12-02"),
    ("2019-11-04", OTC, "2019-12-09"),
    ("2019-11-11", OTC, "2019-12-16"),
]

# Recorded rows of NMS Tier 1: weekStartDate → initialPublishedDate (of 26 rows; two are of one week).
RECORDED = [
    ("2023-01-16", "2023-02-06"), ("2023-02-13", "2023-03-06"), ("2023-04-03", "2023-04-24"),
    ("2023-05-08", "2023-05-30"), ("2023-05-29", "2023-06-20"), ("2022-06-27", "2022-07-18"),
    ("2023-11-13", "2023-12-04"), ("2023-11-27", "2023-12-18"), ("2024-03-04", "2024-03-25"),
    ("2024-03-11", "2024-04-01"), ("2024-05-27", "2024-06-17"), ("2024-06-03", "2024-06-24"),
    ("2024-08-05", "2024-08-26"), ("2024-11-04", "2024-11-25"), ("2025-03-03", "2025-03-24"),
    ("2025-03-10", "2025-03-31"), ("2025-05-05", "2025-05-27"), ("2025-05-12", "2025-06-02"),
    ("2025-11-24", "2025-12-15"), ("2025-12-08", "2025-12-29"), ("2026-03-30", "2026-04-20"),
    ("2026-05-04", "2026-05-26"), ("2026-08-17", "2026-09-08"), ("2023-01-16", "2023-02-06"),
    ("2025-12-29", "2026-01-20"), ("2026-08-31", "2026-09-21"),
]

# Tuesdays on which data came out because the exchange was closed the day before, as recorded 2022–2026.
TUESDAYS = [
    "2022-01-18", "2022-02-22", "2022-05-31", "2022-06-21", "2022-07-05", "2022-09-06", "2022-12-27", "2023-01-03",
    "2023-01-17", "2023-02-21", "2023-05-30", "2023-06-20", "2023-09-05", "2023-12-26", "2024-01-02", "2024-01-16",
    "2024-02-20", "2024-05-28", "2024-09-03", "2025-01-21", "2025-02-18", "2025-05-27", "2026-01-20", "2026-02-17",
    "2026-05-26", "2026-09-08",
]

# Bank holidays on which it came out as on any Monday.
BANK_HOLIDAYS = ["2022-10-10", "2023-10-09", "2024-10-14", "2025-10-13", "2024-11-11"]


def partition_of(monday: str, tier: str = NMS_TIER_1) -> Partition:
    return Partition(date.fromisoformat(monday) + timedelta(days=4), tier)


@pytest.mark.parametrize(("monday", "tier", "published"), NOTICE, ids=[f"{n[1]} {n[0]}" for n in NOTICE])
def test_the_days_finra_announced_come_out(monday: str, tier: str, published: str) -> None:
    assert due_date(partition_of(monday, tier)).isoformat() == published


@pytest.mark.parametrize(("monday", "published"), RECORDED, ids=[f"{n}-{r[0]}" for n, r in enumerate(RECORDED)])
def test_the_days_recorded_from_the_data_come_out(monday: str, published: str) -> None:
    assert due_date(partition_of(monday)).isoformat() == published


@pytest.mark.parametrize("tuesday", TUESDAYS)
def test_a_monday_without_exchange_moves_publication_to_tuesday(tuesday: str) -> None:
    monday = date.fromisoformat(tuesday) - timedelta(days=1)
    for tier, delay in publication.DELAY_DAYS.items():
        assert due_date(partition_of((monday - timedelta(days=delay)).isoformat(), tier)).isoformat() == tuesday


@pytest.mark.parametrize("monday", BANK_HOLIDAYS)
def test_columbus_and_veterans_day_move_nothing(monday: str) -> None:
    day = date.fromisoformat(monday)
    assert due_date(partition_of((day - timedelta(days=35)).isoformat(), OTC)) == day


STATES = [
    ("the Friday of the week itself", "2026-01-09", PublicationState.AWAITING),
    ("the day before", "2026-01-25", PublicationState.AWAITING),
    ("the day", "2026-01-26", PublicationState.DUE),
    ("a day after: within the grace", "2026-01-27", PublicationState.LATE),
    ("two days after", "2026-01-28", PublicationState.MISSING),
    ("a year after", "2027-01-26", PublicationState.MISSING),
]


@pytest.mark.parametrize(("run_date", "expected"), [s[1:] for s in STATES], ids=[s[0] for s in STATES])
def test_an_absence_means(run_date: str, expected: PublicationState) -> None:
    assert state(Partition(date(2026, 1, 9), NMS_TIER_1), date.fromisoformat(run_date)) is expected


@pytest.mark.parametrize(
    ("grace", "expected"), [(0, PublicationState.MISSING), (1, PublicationState.LATE), (5, PublicationState.LATE)]
)
def test_the_grace_can_be_chosen(grace: int, expected: PublicationState) -> None:
    assert state(Partition(date(2026, 1, 9), NMS_TIER_1), date(2026, 1, 27), grace_days=grace) is expected


def test_a_state_reads_as_its_word() -> None:
    assert f"{PublicationState.AWAITING}" == str(PublicationState.AWAITING) == "awaiting"


def test_what_becomes_due_next_is_one_tier_1_week_and_an_older_week_of_the_others() -> None:
    assert next_due(date(2026, 10, 2)) == [
        Due(date(2026, 10, 5), Partition(date(2026, 9, 4), NMS_TIER_2)),
        Due(date(2026, 10, 5), Partition(date(2026, 9, 4), OTC)),
        Due(date(2026, 10, 5), Partition(date(2026, 9, 18), NMS_TIER_1)),
    ]


def test_what_is_due_today_is_not_what_becomes_due_next() -> None:
    assert {due.day for due in next_due(date(2026, 10, 5))} == {date(2026, 10, 12)}


@given(st.dates(date(2019, 1, 1), date(2035, 12, 31)), st.sampled_from(TIERS))
def test_every_week_has_a_day_of_its_own_in_order(day: date, tier: str) -> None:
    friday = day + timedelta(days=(4 - day.weekday()) % 7)
    this, following = (due_date(Partition(friday + timedelta(weeks=n), tier)) for n in (0, 1))
    assert this < following
    assert publication.is_open(this)
    assert any(due.partition.tier == tier for due in next_due(day))


def test_an_operators_calendar_closes_opens_and_moves(tmp_path: Path) -> None:
    file = tmp_path / "calendar.toml"
    file.write_text('closed = [2026-01-26]\nopened = [2026-02-16]\n[due]\n"2026-02-06 / OTC" = 2026-04-01\n', encoding="utf-8")
    calendar = read_calendar(str(file))
    assert due_date(Partition(date(2026, 1, 9), NMS_TIER_1), calendar) == date(2026, 1, 27)
    assert due_date(Partition(date(2026, 1, 30), NMS_TIER_1), calendar) == date(2026, 2, 16)
    assert due_date(Partition(date(2026, 2, 6), OTC), calendar) == date(2026, 4, 1)
    assert due_date(Partition(date(2026, 2, 6), NMS_TIER_2), calendar) == date(2026, 3, 9)
    assert [due.partition.week for due in next_due(date(2026, 3, 31), [OTC], calendar)] == ["2026-02-06"]


def test_a_closure_of_two_days_moves_publication_by_two(tmp_path: Path) -> None:
    file = tmp_path / "calendar.toml"
    file.write_text("closed = [2026-01-26, 2026-01-27]", encoding="utf-8")
    assert due_date(Partition(date(2026, 1, 9), NMS_TIER_1), read_calendar(str(file))) == date(2026, 1, 28)


BAD = [
    ("no TOML", "closed = ", "cannot read"),
    ("a date as text", 'closed = ["2026-01-26"]', "not a date"),
    ("a moment", "closed = [2026-01-26T10:00:00]", "not a date"),
    ("no list", "closed = 2026-01-26", "is not a list"),
    ("a word it does not know", "holidays = []", "unknown entry 'holidays'"),
    ("a Thursday", '[due]\n"2026-01-15 / OTC" = 2026-01-26', "not a Friday"),
    ("a tier FINRA does not have", '[due]\n"2026-01-16 / T1" = 2026-01-26', "unknown tier"),
    ("due as a list", "due = []", "is not a table"),
]


@pytest.mark.parametrize(("text", "says"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_calendar_with_a_mistake_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "calendar.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_calendar(str(file))
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_calendar_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the calendar"):
        read_calendar(str(tmp_path / "none.toml"))


def test_the_recorded_rows_are_the_ones_listed_here(samples_dir: Path) -> None:
    rows = json.loads((samples_dir / "api_real_rows_ats_w_smbl_t1.json").read_text("utf-8"))
    assert [(row["weekStartDate"], row["initialPublishedDate"]) for row in rows] == RECORDED
