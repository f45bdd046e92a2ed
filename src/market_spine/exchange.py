"""The days the New York Stock Exchange is closed, as the `holidays` package says.

Importing that package costs a third of a second. What it says of the years around now is therefore kept in
exchange_closures.py, and believed only while the very version it was taken from is the one installed.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path


@lru_cache(maxsize=128)
def closures(year: int) -> frozenset[date]:
    """The weekdays of a year on which the exchange is closed, special closures included."""
    return _kept(year) or _asked(year)


def _kept(year: int) -> frozenset[date] | None:
    """The closures kept with the program; None where the year is not among them or another version may know better."""
    from market_spine.exchange_closures import CLOSED, VERSION

    if year not in CLOSED or not _installed(VERSION):
        return None
    return frozenset(date(year, int(day[:2]), int(day[2:])) for day in CLOSED[year].split())


def _asked(year: int) -> frozenset[date]:
    """The closures as the package computes them."""
    import holidays

    return frozenset(holidays.financial_holidays("NYSE", years=year))


@lru_cache(maxsize=1)
def _installed(version: str) -> bool:
    """Whether this version of the package is the one an import would find; told without importing it."""
    spec = find_spec("holidays")
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).parents[1].joinpath(f"holidays-{version}.dist-info").is_dir()
