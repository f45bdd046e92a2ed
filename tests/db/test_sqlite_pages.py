"""Rows laid out as an SQLite database: SQLite itself reads them back, finds nothing wrong, and stores what binding stores."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

import numpy as np
import pytest
from fixtures import image_fuzz

from market_spine.db import Database, sqlite, sqlite_pages
from market_spine.db.bulk_sql import Values, listed
from market_spine.parse.figures import figures, money

VOLUME = "finra_otc_transparency_volume"
pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 cannot take a database's bytes: it binds values")


def columns(count: int) -> list[np.ndarray]:
    """Integers narrow and wide, negative ones, and doubles with gaps."""
    random = np.random.default_rng(count)
    doubles = random.random(count)
    doubles[::7] = np.nan
    return [np.arange(count), random.integers(-(1 << 31), 1 << 31, count), random.integers(-(1 << 62), 1 << 62, count), doubles]


@pytest.mark.parametrize("count", [1, 2, 1_871, 1_872, 1_873, 50_000, 200_000])
def test_sqlite_reads_back_what_was_laid_out(count: int) -> None:
    made = columns(count)
    database = sqlite3.connect(":memory:")
    database.deserialize(sqlite_pages.image(made).data)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute(f"SELECT {sqlite_pages.names(4)} FROM rows").fetchall() == list(zip(*map(listed, made), strict=True))


def test_a_page_is_full_at_the_counts_tried_above() -> None:
    pages = {count: len(sqlite_pages.image(columns(count))) >> 16 for count in (1_871, 1_872, 1_873)}
    assert len(set(pages.values())) > 1, pages


def test_the_most_rows_there_can_be_are_all_there() -> None:
    database = sqlite3.connect(":memory:")
    database.deserialize(sqlite_pages.image([np.arange(sqlite_pages.MOST_ROWS)]).data)
    found = database.execute("SELECT COUNT(*), MIN(a), MAX(a), SUM(a) FROM rows").fetchone()
    assert found == (sqlite_pages.MOST_ROWS, 0, sqlite_pages.MOST_ROWS - 1, sqlite_pages.MOST_ROWS * (sqlite_pages.MOST_ROWS - 1) // 2)


@pytest.mark.parametrize("fractions", [False, True], ids=["whole shares", "some fractions"])
@pytest.mark.parametrize("engine", ["sqlite"])
def test_rows_selected_from_an_image_are_those_that_are_bound(
    db: Database, monkeypatch: pytest.MonkeyPatch, fractions: bool
) -> None:
    count = 3_000
    random = np.random.default_rng(7)
    micro = random.integers(0, 10**12, count) * 10**6 + (random.integers(0, 3, count) if fractions else 0)
    made: dict[str, Values] = {
        "issue_id": np.arange(count),
        "venue_id": random.integers(1, 40, count),
        "total_shares": figures(micro),
        "total_trades": random.integers(1, 1 << 40, count),
        "total_notional": money(random.integers(0, 10**15, count)),
    }
    monkeypatch.setattr(sqlite, "_PAGED_ROWS", 1_100)
    with db.transaction():
        db.bulk_columns(VOLUME, {"capture_key": 1}, made)
        db.bulk_columns(VOLUME, {"capture_key": 2}, {name: listed(values) for name, values in made.items()})
        monkeypatch.setattr(sqlite, "_FEWEST_PAGED_ROWS", count + 1)
        db.bulk_columns(VOLUME, {"capture_key": 3}, made)
    read = "SELECT issue_id, venue_id, total_shares, typeof(total_shares), total_trades, total_notional FROM {} WHERE capture_key = ?"
    selected, bound, also_bound = (db.execute(read.format(VOLUME), (key,)).fetchall() for key in (1, 2, 3))
    assert selected == bound == also_bound
    assert {row[3] for row in selected} == ({"integer", "real"} if fractions else {"integer"})


class Refusing:
    """A real connection that takes no image."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def deserialize(self, *_arguments: object, **_more: object) -> None:
        raise sqlite3.OperationalError("database is locked")


@pytest.mark.parametrize("engine", ["sqlite"])
def test_rows_are_bound_when_sqlite_takes_no_image(db: sqlite.Sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Values] = {name: np.arange(1_000) for name in ("issue_id", "venue_id", "total_shares", "total_trades")}
    monkeypatch.setattr(db, "_connection", Refusing(db._connection))
    with db.transaction():
        db.bulk_columns(VOLUME, {"capture_key": 1}, made)
    assert db.execute(f"SELECT COUNT(*), SUM(total_trades) FROM {VOLUME}").fetchone() == (1_000, 499_500)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_failed_insert_leaves_nothing_and_the_next_one_works(db: Database) -> None:
    made: dict[str, Values] = {name: np.zeros(1_000, dtype=np.int64) for name in ("venue_id", "total_shares", "total_trades")}
    with pytest.raises(sqlite3.IntegrityError), db.transaction():
        db.bulk_columns(VOLUME, {"capture_key": 1, "issue_id": 1}, made)
    assert db.execute(f"SELECT COUNT(*) FROM {VOLUME}").fetchone() == (0,)
    with db.transaction():
        db.bulk_columns(VOLUME, {"capture_key": 1, "issue_id": 1}, made | {"venue_id": np.arange(1_000)})
    assert db.execute(f"SELECT COUNT(*), SUM(venue_id) FROM {VOLUME}").fetchone() == (1_000, 499_500)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_large_and_small_captures_follow_each_other(db: Database) -> None:
    """A statement prepared for one image is run again for the next, whose pages are others."""
    counts = (50_000, 600, 5_000, 120_000, 2_000, 5_000, 500)
    for key, count in enumerate(counts, 1):
        volumes: dict[str, Values] = {name: np.arange(count) + key for name in ("issue_id", "total_shares", "total_trades")}
        symbols: dict[str, Values] = volumes | {name: np.arange(count) for name in ("ats_shares", "venue_count")}
        with db.transaction():
            db.bulk_columns(VOLUME, {"capture_key": key, "venue_id": 1}, volumes)
            db.bulk_columns("finra_otc_transparency_symbol_measure", {"capture_key": key}, symbols)
        for table in (VOLUME, "finra_otc_transparency_symbol_measure"):
            found = db.execute(f"SELECT COUNT(*), SUM(issue_id), SUM(total_trades) FROM {table} WHERE capture_key = ?", (key,))
            total = count * (count - 1) // 2 + key * count
            assert found.fetchone() == (count, total, total), (table, count)


@pytest.mark.parametrize(
    "made",
    [
        [],
        [np.arange(0)],
        [np.arange(sqlite_pages.MOST_ROWS + 1)],
        [np.arange(2), np.arange(1)],
        [np.arange(2)] * (sqlite_pages.MOST_COLUMNS + 1),
    ],
    ids=["no column", "no row", "too many rows", "columns of two lengths", "too many columns"],
)
def test_rows_that_do_not_fit_are_refused(made: list[Any]) -> None:
    with pytest.raises(sqlite_pages.Unsuitable):
        sqlite_pages.image(made)


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, 2**53 + 1], dtype=object),
        np.array([2**1024], dtype=object),
        np.array(["12"], dtype=object),
        np.array([True], dtype=object),
        np.array([2**63], dtype=np.uint64),
        np.array([0.1], dtype=np.longdouble),
        np.array(["12"]),
    ],
    ids=["an integer no double holds", "larger than any", "text", "a truth", "no sign", "more digits", "an array of text"],
)
def test_values_that_would_change_are_refused(values: np.ndarray) -> None:
    if values.dtype.itemsize == 8 and values.dtype.kind == "f":
        pytest.skip("this machine has no such numbers")
    with pytest.raises(sqlite_pages.Unsuitable):
        sqlite_pages.plain(values)


def test_the_widest_row_fits() -> None:
    database = sqlite3.connect(":memory:")
    database.deserialize(sqlite_pages.image([np.arange(3) / 2] * sqlite_pages.MOST_COLUMNS).data)
    assert database.execute("SELECT * FROM rows").fetchall() == [(n / 2,) * sqlite_pages.MOST_COLUMNS for n in range(3)]


def test_a_hundred_and_fifty_random_tables_are_stored_as_binding_stores_them() -> None:
    assert list(image_fuzz.differences(150, seed=3)) == []
