#!/usr/bin/env python3
"""Writes src/market_spine/exchange_closures.py: the exchange's closures as the installed `holidays` package says.

python scripts/make_exchange_closures.py        writes the file; with another version of the package the program asks it anew
"""

from __future__ import annotations

import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import holidays

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "src" / "market_spine" / "exchange_closures.py"
YEARS = range(2014, 2041)  # FINRA's weekly data begin in 2014


def render() -> str:
    """The file."""
    years = (f'    {year}: "{_days(holidays.financial_holidays("NYSE", years=year))}",' for year in YEARS)
    return "\n".join((_HEAD.format(version=version("holidays")), *years, "}\n"))


def _days(closed: dict[date, str]) -> str:
    return " ".join(day.strftime("%m%d") for day in sorted(closed))


_HEAD = '''"""The New York Stock Exchange's closures by year, as month and day; made by scripts/make_exchange_closures.py."""

VERSION = "{version}"  # of the package `holidays` it was taken from
CLOSED = {{'''

if __name__ == "__main__":
    FILE.write_text(render(), "utf-8")
    sys.exit(0)
