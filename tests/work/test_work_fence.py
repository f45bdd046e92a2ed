"""One transaction around an item: its pipeline's own transactions are steps within it, and nothing is kept without a settlement."""

from __future__ import annotations

import signal

import pytest
from support.fenced_notes import fenced, notes, seen_from_outside, write

from market_spine.db import Database
from market_spine.errors import Interrupted
from market_spine.work.fence import ItemTransaction


@pytest.fixture
def item_transaction(db: Database) -> ItemTransaction:
    return fenced(db)


def test_everything_is_committed_with_the_settlement_and_not_before(db: Database, item_transaction: ItemTransaction) -> None:
    with seen_from_outside(db) as other:
        with item_transaction.committing(lambda: write(item_transaction, "settled")):
            write(item_transaction, "one")
            write(item_transaction, "two")
            assert notes(other) == []
        assert notes(other) == ["one", "settled", "two"]


def test_nothing_is_kept_when_the_settlement_fails(db: Database, item_transaction: ItemTransaction) -> None:
    def settle() -> None:
        raise KeyError("no longer ours")

    with pytest.raises(KeyError), item_transaction.committing(settle):
        write(item_transaction, "one")
    assert notes(db) == []


def test_nothing_is_kept_when_the_pipeline_raises(db: Database, item_transaction: ItemTransaction) -> None:
    with pytest.raises(KeyError), item_transaction.committing(lambda: None):
        write(item_transaction, "one")
        raise KeyError
    assert notes(db) == []


def test_a_step_that_fails_takes_back_its_own_rows_and_no_others(db: Database, item_transaction: ItemTransaction) -> None:
    with item_transaction.committing(lambda: None):
        write(item_transaction, "one")
        with pytest.raises(Exception, match=r"(?i)unique"), item_transaction.transaction():
            item_transaction.execute("INSERT INTO note VALUES ('two')")
            item_transaction.execute("INSERT INTO note VALUES ('one')")
        write(item_transaction, "three")
    assert notes(db) == ["one", "three"]


def test_a_step_within_a_step_joins_it(db: Database, item_transaction: ItemTransaction) -> None:
    with item_transaction.committing(lambda: None):
        with pytest.raises(KeyError), item_transaction.transaction():
            write(item_transaction, "inner")
            raise KeyError
        write(item_transaction, "later")
    assert notes(db) == ["later"]


def test_nothing_is_locked_before_the_first_write(db: Database, item_transaction: ItemTransaction) -> None:
    with seen_from_outside(db) as other, item_transaction.committing(lambda: None):
        item_transaction.execute("SELECT COUNT(*) FROM note").fetchone()
        other.execute("INSERT INTO note VALUES ('meanwhile')")
        write(item_transaction, "then")
    assert notes(db) == ["meanwhile", "then"]


def test_an_item_that_wrote_nothing_is_settled_all_the_same(db: Database, item_transaction: ItemTransaction) -> None:
    with item_transaction.committing(lambda: write(item_transaction, "settled")):
        pass
    assert notes(db) == ["settled"]


def test_an_abandoned_item_stops_at_its_next_step(db: Database, item_transaction: ItemTransaction) -> None:
    with pytest.raises(Interrupted) as caught, item_transaction.committing(lambda: None):
        write(item_transaction, "one")
        item_transaction.abandon()
        item_transaction.execute("SELECT 1")
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert notes(db) == []


def test_an_item_abandoned_after_its_last_step_is_not_committed(db: Database, item_transaction: ItemTransaction) -> None:
    with pytest.raises(Interrupted), item_transaction.committing(lambda: None):
        write(item_transaction, "one")
        item_transaction.abandon()
    assert notes(db) == []
