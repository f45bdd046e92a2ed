"""What the program assumes of a version of SQLite is what this SQLite does."""

from __future__ import annotations

import sqlite3
import sys

import numpy as np
import pytest

from market_spine.db import sqlite, sqlite_pages


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 cannot take a database's bytes: it binds values")
def test_images_are_made_exactly_where_a_transaction_takes_them() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("ATTACH ':memory:' AS staging")
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.deserialize(sqlite_pages.image([np.arange(3)]).data, name="staging")
    except sqlite3.OperationalError:
        taken = False
    else:
        taken = True
    assert taken == sqlite._DESERIALIZES, sqlite3.sqlite_version
