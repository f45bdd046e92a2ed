"""Whole numbers read column by column: those of the rows, and each row's at the same position in every column."""

from __future__ import annotations

import random

import pytest

from market_spine.db import Database
from market_spine.db.columns import read_columns

NAMES = ("number", "square", "negative")


@pytest.mark.parametrize("rows", [0, 1, 700])
def test_the_columns_are_those_of_the_rows(db: Database, rows: int) -> None:
    numbers = random.Random(24).sample(range(3 * 10**9), rows)
    db.execute("CREATE TABLE sample (number bigint)")
    with db.transaction():
        db.bulk_insert("sample", ("number",), [(number,) for number in numbers])
    sql = "SELECT number, number * number / 10, -number FROM sample WHERE number >= ?"
    columns = [[int(each) for each in column.split(",") if each] for column in read_columns(db, NAMES, sql, (numbers[0] if rows else 0,))]
    assert sorted(zip(*columns, strict=True)) == sorted(map(tuple, db.execute(sql, (numbers[0] if rows else 0,))))
