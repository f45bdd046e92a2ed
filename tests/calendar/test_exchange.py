"""The exchange's closures and half days: the table that is kept is what its source says."""

from __future__ import annotations

from datetime import date

import pytest
from pages import make_exchange_closures

from market_spine.calendar import exchange


def test_the_table_is_what_the_installed_package_says() -> None:
    assert make_exchange_closures.FILE.read_text("utf-8") == make_exchange_closures.render()


@pytest.mark.parametrize(
    ("day", "closed", "half"),
    [
        pytest.param(date(2025, 1, 9), True, False, id="a day of mourning"),
        pytest.param(date(2026, 4, 3), True, False, id="Good Friday"),
        pytest.param(date(2025, 11, 28), False, True, id="the day after Thanksgiving"),
        pytest.param(date(2025, 12, 24), False, True, id="Christmas Eve"),
        pytest.param(date(2025, 10, 13), False, False, id="Columbus Day, which the exchange does not keep"),
        pytest.param(date(2041, 12, 25), False, False, id="beyond the table nothing is known"),
    ],
)
def test_a_day_is_closed_half_or_open(day: date, closed: bool, half: bool) -> None:
    assert (day in exchange.closures(day.year), day in exchange.half_days(day.year)) == (closed, half)
