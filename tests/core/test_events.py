"""The log of events: its lines, their order, and that they are written with the change or not at all."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from market_spine.core import events, merkle
from market_spine.core.events import Kind
from market_spine.db import Database, connect, migrations

AT = "2026-01-09T13:00:00+00:00"


def note(db: Database, subject: str, **body: object) -> None:
    events.record(db, Kind.CAPTURE_PINNED, subject, AT, **body)


def subjects(db: Database) -> list[str]:
    return [json.loads(line.line)["subject"] for line in events.lines(db)]


@pytest.fixture
def other(target: str, db: Database) -> Iterator[Database]:
    """A second session of the same database."""
    second = connect(target)
    yield second
    second.close()


def test_an_event_is_a_canonical_line_with_the_hash_of_the_one_before(db: Database) -> None:
    note(db, "2026-01-09/OTC", name="audit ½", rows=[1, None])
    note(db, "2026-01-09/OTC")
    first, second = list(events.lines(db))[-2:]
    entry = json.loads(second.line)
    assert first.line == json.dumps(json.loads(first.line), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sorted(entry) == ["actor", "at", "body", "execution_id", "host", "kind", "prev", "seq", "subject", "version"]
    assert entry["prev"] == hashlib.sha256(b"\x00" + first.line.encode()).hexdigest() == first.leaf.hex()
    assert (entry["seq"], entry["kind"], entry["at"]) == (first.seq + 1, "capture.pinned", AT)


def test_the_head_is_the_end_of_the_chain_and_the_root_of_the_tree(db: Database) -> None:
    for number in range(13):
        note(db, str(number))
        leaves = [line.leaf for line in events.lines(db)]
        head = events.head(db)
        assert (head.size, head.last_leaf, head.root) == (len(leaves), leaves[-1].hex(), merkle.root_of(leaves).hex())


def test_events_of_one_transaction_are_written_in_their_order_with_its_changes(db: Database) -> None:
    before = events.head(db).size
    with db.transaction():
        note(db, "a")
        with db.transaction():
            note(db, "b")
        assert events.head(db).size == before  # the lock of the head is taken last
    assert subjects(db)[before:] == ["a", "b"]


def test_what_is_rolled_back_leaves_no_event(db: Database) -> None:
    before = events.head(db)
    with pytest.raises(ZeroDivisionError), db.transaction():
        note(db, "a")
        raise ZeroDivisionError
    note(db, "b")
    assert subjects(db)[before.size :] == ["b"]


def test_what_a_savepoint_rolls_back_is_forgotten(db: Database) -> None:
    before = events.head(db).size
    with db.transaction():
        note(db, "a")
        marked = events.mark(db)
        note(db, "b")
        events.rewind(db, marked)
        note(db, "c")
    assert subjects(db)[before:] == ["a", "c"]


def test_two_sessions_take_turns_in_the_order_of_their_commits(db: Database, other: Database) -> None:
    before = events.head(db).size
    for number in range(6):
        note(other if number % 2 else db, str(number))
    assert subjects(db)[before:] == list("012345")
    assert [line.seq for line in events.lines(other)] == list(range(1, before + 7))


@pytest.mark.parametrize("statement", ["UPDATE core_events SET line = ''", "DELETE FROM core_events"])
def test_the_log_can_be_neither_changed_nor_shortened(db: Database, statement: str) -> None:
    note(db, "a")
    with pytest.raises(Exception, match="append-only"):
        db.execute(statement)
    assert subjects(db)[-1:] == ["a"]


def test_a_float_has_no_canonical_text(db: Database) -> None:
    with pytest.raises(TypeError, match=r"not 0\.5"):
        note(db, "a", share=0.5)


def test_events_name_the_run_they_belong_to(db: Database) -> None:
    db.execution_id = "20260109T130000-1a2b3c4d"
    note(db, "a")
    assert json.loads(list(events.lines(db))[-1].line)["execution_id"] == "20260109T130000-1a2b3c4d"


def test_lines_can_be_read_from_a_place_on(db: Database) -> None:
    before = events.head(db).size
    for name in "abcd":
        note(db, name)
    assert [line.seq for line in events.lines(db, before + 1, before + 3)] == [before + 2, before + 3]


def test_a_plain_connection_writes_events_at_once(tmp_path: Path) -> None:
    ours = connect(str(tmp_path / "x.db"))
    migrations.prepare(ours)
    plain = sqlite3.connect(tmp_path / "x.db")
    events.record(plain, Kind.CAPTURE_PINNED, "a", AT)
    assert subjects(ours)[-1:] == ["a"]
    plain.close()
    ours.close()


def test_a_database_with_the_core_tables_alone_keeps_none(tmp_path: Path) -> None:
    plain = sqlite3.connect(tmp_path / "x.db")
    events.record(plain, Kind.CAPTURE_PINNED, "a", AT)
    assert plain.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    plain.close()
