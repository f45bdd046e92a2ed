"""Shares in Parquet are exact, on the fast way and on the slow one."""

from __future__ import annotations

import io
from decimal import Decimal
from random import Random

import pytest

from market_spine.query import parquet

LIMIT = 1 << 32
DRAW = Random(32)
SHARES: dict[str, list[float | None]] = {
    "nothing": [],
    "none": [None, None],
    "whole": [0, 1, 9_000_000],
    "millionths": [0.000001, 0.1, 1234.567891, -0.5],
    "with gaps": [None, 1.5, None, *(DRAW.randrange(100) for _ in range(20)), None],
    "just below the limit": [LIMIT - 0.000001, LIMIT - 0.5],
    "the limit": [LIMIT, LIMIT + 0.123456],
    "beyond what 64 bits of millionths hold": [33_000_000_000_000, None, 0.5],
    "at random": [DRAW.randrange(LIMIT * 10**6) / 10**6 for _ in range(20_000)],
}


@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_shares_are_read_back_as_the_decimals_they_print_as(shares: list[float | None]) -> None:
    reader = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    assert parquet.write(file, ("symbol", "total_shares"), (("A", value) for value in shares), but=["symbol"]) == len(shares)
    table = reader.read_table(file)
    expected = [None if value is None else Decimal(repr(value)).quantize(Decimal("0.000001")) for value in shares]
    assert (table.column_names, table["total_shares"].to_pylist()) == (["total_shares"], expected)
