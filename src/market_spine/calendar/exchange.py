"""The days the New York Stock Exchange is closed, and those on which it closes at 1 p.m.

closures.py is the authority: a table that scripts/pages/make_exchange_closures.py writes and the tests compare with its
source. An unforeseen closure goes into the operator's calendar file (see publication.read_calendar).
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache


@lru_cache(maxsize=128)
def closures(year: int) -> frozenset[date]:
    """The weekdays of a year on which the exchange is closed, special closures included; none before 1970 or after 2040."""
    from market_spine.calendar.closures import CLOSED

    return _days(year, CLOSED)


@lru_cache(maxsize=128)
def half_days(year: int) -> frozenset[date]:
    """The days of a year on which the exchange closes at 1 p.m. New York time; none before 2014 or after 2040."""
    from market_spine.calendar.closures import HALF_DAYS

    return _days(year, HALF_DAYS)


def _days(year: int, table: dict[int, str]) -> frozenset[date]:
    return frozenset(date(year, int(day[:2]), int(day[2:])) for day in table.get(year, "").split())


@lru_cache(maxsize=4096)
def sessions(week_ending: date) -> float:
    """The trading sessions of the week that ends on this Friday: five, less one for a closure and a half for a half day."""
    days = {week_ending - timedelta(days=n) for n in range(5)}
    closed = closures(week_ending.year) | closures((week_ending - timedelta(days=4)).year)
    short = half_days(week_ending.year) | half_days((week_ending - timedelta(days=4)).year)
    return 5 - len(days & closed) - len(days & short) / 2
