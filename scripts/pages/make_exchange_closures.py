"""Writes src/market_spine/calendar/closures.py: the exchange's closures and half days as the package `holidays` says.

python scripts make_exchange_closures        writes the file; a test compares it with what the installed package says
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import date

import holidays
from clone import ROOT

FILE = ROOT / "src" / "market_spine" / "calendar" / "closures.py"
FIRST_YEAR = 2014  # FINRA's weekly data begin
YEARS = range(1970, 2041)  # the clock of promtool's tests stands in 1970


def render() -> str:
    """The file."""
    closed = _table({year: holidays.financial_holidays("NYSE", years=year) for year in YEARS})
    since = range(FIRST_YEAR, YEARS.stop)
    half = _table({year: holidays.financial_holidays("NYSE", years=year, categories=("half_day",)) for year in since})
    return f"{_HEAD}CLOSED = {closed}HALF_DAYS = {half}"


def _table(days: dict[int, Iterable[date]]) -> str:
    lines = (f'    {year}: "{" ".join(day.strftime("%m%d") for day in sorted(of_year))}",' for year, of_year in days.items())
    return "\n".join(("{", *lines, "}\n"))


_HEAD = '''"""The New York Stock Exchange's closures and its half days (1 p.m.) by year, as month and day.

Made by scripts/pages/make_exchange_closures.py from the package `holidays`, which follows nyse.com/markets/hours-calendars.
"""

'''

if __name__ == "__main__":
    FILE.write_text(render(), "utf-8")
    sys.exit(0)
