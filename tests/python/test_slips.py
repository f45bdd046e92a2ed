"""What somebody gets wrong in a notebook: one clear line, and never another answer than the one that was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from support.desk import FRIDAYS, WEEK, Desk

import market_spine
from market_spine.db import Database
from market_spine.errors import InvalidWeek, NotFound, UnknownTier, UsageError

BEFORE = date(2025, 11, 21)


@pytest.fixture
def store(db: Database, target: str, tmp_path: Path) -> market_spine.Store:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([BEFORE, WEEK])
    desk.run(FRIDAYS[0], [BEFORE, WEEK])
    return market_spine.open(target)


SLIPS: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "a misspelt rule": (lambda store: store.hhi(not_ready="ommit"), UsageError, "not_ready='ommit' is not a rule"),
    "several symbols": (lambda store: store.volume(["AAPL", "MSFT"]), UsageError, "is not one symbol"),
    "a symbol of nobody": (lambda store: store.hhi(symbol="ZZZ").latest(), NotFound, "nothing is stored of the symbol 'ZZZ'"),
    "a symbol in another case": (lambda store: store.volume("aapl").latest(), NotFound, "and case matters"),
    "several tiers": (lambda store: store.hhi(tier=["T1", "T2"]), UnknownTier, "unknown tier"),
    "a range without an end": (lambda store: store.hhi(week="2025-11-21.."), InvalidWeek, "Invalid date format: ''"),
    "a week as a number": (lambda store: store.hhi(week=20251128), InvalidWeek, "Invalid date format: '20251128'"),
}


@pytest.mark.parametrize(("slip", "error", "message"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_one_clear_line(store: market_spine.Store, slip: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        slip(store)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def fridays() -> Iterator[date]:
    yield from (WEEK, BEFORE)


WEEKS: dict[str, tuple[Any, str]] = {
    "a time": (datetime(2025, 11, 28, 12, tzinfo=timezone.utc), "hhi(tier='T1', week='2025-11-28')"),
    "a list": (["2025-11-28", BEFORE], "hhi(tier='T1', week=['2025-11-28', '2025-11-21'])"),
    "anything that yields weeks": (fridays, "hhi(tier='T1', week=['2025-11-21', '2025-11-28'])"),
}


@pytest.mark.parametrize(("weeks", "text"), WEEKS.values(), ids=WEEKS)
def test_the_text_of_a_query_can_be_typed_again(target: str, db: Database, weeks: Any, text: str) -> None:
    assert repr(market_spine.open(target).hhi(tier="T1", week=weeks() if callable(weeks) else weeks)) == f"<{text}>"
