"""The API's own connections, when the database changes under them."""

from __future__ import annotations

import contextlib

import pytest

from market_spine.api.connections import Connections
from market_spine.db import Database
from market_spine.errors import DatabaseError


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_it_writes_again_once_the_database_is_no_longer_read_only(target: str, db: Database) -> None:
    (name,) = db.execute("SELECT current_database()").fetchone()
    with contextlib.closing(Connections(target)) as connections:
        db.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(DatabaseError, match="read-only"), connections.writing() as writer:
            writer.execute("DELETE FROM core_workers")
        db.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        with connections.writing() as writer:
            writer.execute("DELETE FROM core_workers")
