"""Every number of a view has a kind that is a number: a column that is not named in kinds.py would be text."""

from __future__ import annotations

import pytest

from market_spine.db import Database
from market_spine.query.kinds import Kind, kind_of
from market_spine.query.views import VIEWS

TEXTS = {Kind.TEXT, Kind.DATE, Kind.TIME}


@pytest.mark.parametrize("name", VIEWS)
def test_a_column_of_numbers_is_of_a_kind_of_numbers(db: Database, name: str) -> None:
    table = f"finra_otc_transparency_{name}"
    declared = (
        "SELECT name, type FROM pragma_table_info(?)" if db.engine == "sqlite"
        else "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = ?"
    )
    types = {column: str(type_).lower() for column, type_ in db.execute(declared, (table,))}
    texts = {column for column in VIEWS[name].columns if kind_of(column) in TEXTS}
    assert {types.get(column, "text") for column in texts} <= {"text", ""}
