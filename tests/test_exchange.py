"""The exchange's closures: kept with the program for one version of the package `holidays`, asked of it otherwise."""

from __future__ import annotations

from datetime import date
from importlib.metadata import version

import pytest

from market_spine import exchange
from market_spine.exchange_closures import CLOSED, VERSION


@pytest.mark.parametrize("year", sorted(CLOSED))
def test_a_year_has_the_closures_the_installed_package_names(year: int) -> None:
    assert exchange.closures(year) == exchange._asked(year)


def test_what_is_kept_is_believed_only_of_the_version_it_was_taken_from() -> None:
    assert (exchange._kept(2026) is not None) == (version("holidays") == VERSION)
    assert not exchange._installed("0.0.1")


def test_a_year_that_is_not_kept_is_asked() -> None:
    assert exchange._kept(2013) is None
    assert date(2012, 10, 29) in exchange.closures(2012)  # Hurricane Sandy, a Monday
