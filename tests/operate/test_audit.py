"""`spine audit verify`: a whole log is found whole, and each change of it or of what it stands for is named."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from random import Random

import pytest
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk, restated

from market_spine.core import anomalies, events, merkle
from market_spine.core.checkpoint import checkpoint, read_checkpoint
from market_spine.db import Database
from market_spine.errors import UsageError
from market_spine.operate import anomalies as operator_anomalies
from market_spine.operate import audit, prune, rebuild, rollback
from market_spine.partition import NMS_TIER_1, OTC

LATER = date(2026, 1, 23)
Change = Callable[[Database], object]


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """Two captures, a rollback, a pin, an anomaly that was closed, and one that is open."""
    desk = restated(tmp_path / "files", db)
    run = desk.context(LATER)
    rollback.roll_back(run, WEEK, (OTC,), "wrong")
    prune.pin(db, f"NMS_TIER_1:{WEEK}:20260109", "audit", "kept", run.now)
    first, _ = (
        anomalies.record_anomaly(
            db, domain="finra.otc_transparency", severity="CRITICAL", category="X", message=message,
            partition_key={"week_ending": str(WEEK)}, stage="RAW", now=run.now,
        )
        for message in ("first", "second")
    )
    operator_anomalies.resolve(db, first, "looked at", run.now)
    return desk


@contextlib.contextmanager
def tampered(db: Database, change: Change) -> Iterator[None]:
    """The owner of the database changes something behind the log; afterwards it is as it was."""
    with contextlib.suppress(ZeroDivisionError), db.transaction():
        if db.engine == "postgresql":
            db.execute("ALTER TABLE core_events DISABLE TRIGGER ALL")
        else:
            db.execute("DROP TRIGGER core_events_never_changed")
            db.execute("DROP TRIGGER core_events_never_removed")
        change(db)
        yield
        raise ZeroDivisionError


def test_a_whole_log_is_found_whole(desk: Desk) -> None:
    verdict = audit.verify(desk.db)
    assert (verdict.faults, verdict.size > 20) == ([], True)


def test_operators_keep_it_whole(desk: Desk) -> None:
    run = desk.context(FRIDAYS[3])
    rollback.undo(run, WEEK, (OTC,), "right after all")
    rebuild.rebuild(run, WEEK)
    prune.prune(run, 0, "old")
    desk.publish(WEEK, NMS_TIER_1, PLAIN[:1])  # shrunken: refused
    desk.run(FRIDAYS[3])
    desk.publish(WEEK, NMS_TIER_1, REVISED + PLAIN[2:3])
    desk.run(FRIDAYS[3])
    assert audit.verify(desk.db).faults == []


def execute(*statement: str) -> Change:
    return lambda db: [db.execute(one) for one in statement]


TAMPERINGS = {
    "an event is missing": (execute("DELETE FROM core_events WHERE seq = 5"), "events 5 to 5 are missing"),
    "the tail is cut": (execute("DELETE FROM core_events WHERE seq > 20"), "core_event_head says"),
    "two events change places": (
        execute(
            "UPDATE core_events SET seq = -1 WHERE seq = 8", "UPDATE core_events SET seq = 8 WHERE seq = 9",
            "UPDATE core_events SET seq = 9 WHERE seq = -1",
        ),
        "event 8: its line says that it is event 9",
    ),
    "an event is dated back": (
        execute("UPDATE core_events SET line = REPLACE(line, '2026-01-23', '2026-01-02') WHERE seq = (SELECT size FROM core_event_head)"),
        ": its leaf is not the hash of its line",
    ),
    "an event is put in": (
        execute(
            "INSERT INTO core_events (seq, line, leaf) SELECT size + 1, '{}', leaf FROM core_event_head, core_events WHERE seq = 1"
        ),
        "core_event_head says",
    ),
    "a withdrawal is undone in the table": (
        execute("UPDATE finra_otc_transparency_capture SET withdrawn_at = NULL WHERE withdrawn_at IS NOT NULL"),
        "current capture of 2025-11-28/OTC: the events say",
    ),
    "a week is called ready": (
        execute("UPDATE core_data_readiness SET is_ready = 1, blocking_issues = NULL"), "readiness of 2025-11-28: the events say"
    ),
    "an anomaly is closed in the table": (
        execute("UPDATE core_anomalies SET resolved_at = '2026-01-23T00:00:00+00:00'"), ": the events say X, 2",
    ),
    "a capture is removed": (
        execute(f"DELETE FROM finra_otc_transparency_capture WHERE capture_id LIKE '%NMS_TIER_1:{WEEK}:20260109'"),
        f"finra.otc_transparency:NMS_TIER_1:{WEEK}:20260109: the events say",
    ),
    "a result of the week is put in": (
        execute("UPDATE finra_otc_transparency_week SET capture_id = capture_id || 'x'"), "the tables 'a result of the week'"
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_was_changed_behind_the_log_is_named(desk: Desk, name: str) -> None:
    change, says = TAMPERINGS[name]
    with tampered(desk.db, change):
        assert says in "\n".join(audit.verify(desk.db).faults)
    assert audit.verify(desk.db).faults == []


def test_of_two_states_the_fields_that_differ_are_named(desk: Desk) -> None:
    capture = f"finra.otc_transparency:OTC:{WEEK}:20260109"
    changed = execute(f"UPDATE finra_otc_transparency_capture SET row_count = 77 WHERE capture_id = '{capture}'")
    with tampered(desk.db, changed):
        (fault,) = audit.verify(desk.db).faults
    assert re.fullmatch(rf"{capture}: the events say rows \d+, the tables rows 77", fault)


def rewrite(db: Database) -> None:
    """Writes the whole log anew with another actor, hashes and head included: in itself it is whole."""
    lines = [line.line.replace('"actor":"', '"actor":"not ') for line in events.lines(db)]
    db.execute("DELETE FROM core_events")
    db.execute("DELETE FROM core_event_head")
    prev, edge = events.FIRST_PREV, ()
    for seq, text in enumerate(lines, 1):
        entry = json.loads(text) | {"prev": prev}
        line = events.canonical(entry)
        leaf = merkle.leaf_hash(line.encode())
        db.execute("INSERT INTO core_events (seq, line, leaf) VALUES (?, ?, ?)", (seq, line, leaf))
        edge, prev = merkle.append(edge, seq - 1, leaf), leaf.hex()
    frontier = b"".join(edge).hex()
    db.execute(
        "INSERT INTO core_event_head (id, size, last_leaf, frontier) VALUES (1, ?, ?, ?)", (len(lines), prev, frontier)
    )


def test_a_log_written_anew_is_found_by_a_checkpoint_kept_elsewhere_and_by_nothing_else(desk: Desk) -> None:
    kept = checkpoint(desk.db)
    assert kept is not None
    with tampered(desk.db, rewrite):
        assert audit.verify(desk.db).faults == []
        (fault,) = audit.verify(desk.db, [kept]).faults
    assert "of another log, or of one that began otherwise" in fault


def test_a_checkpoint_fits_every_later_log(desk: Desk) -> None:
    kept = checkpoint(desk.db)
    assert kept is not None
    desk.publish_weeks([WEEK], REVISED)
    desk.run(FRIDAYS[3])
    assert audit.verify(desk.db, [kept]).faults == []
    assert read_checkpoint(str(kept)) == read_checkpoint(kept.line) == kept


def test_a_log_that_was_cut_is_shorter_than_its_checkpoint(desk: Desk) -> None:
    kept = checkpoint(desk.db)
    assert kept is not None
    (fault,) = audit.verify(desk.db, [kept._replace(size=kept.size + 3)]).faults
    assert "its last 3 events are gone" in fault


@pytest.mark.parametrize("text", ["", "x", "market-spine/ab\n0\nAAAA", "other/ab\n1\n" + "A" * 43 + "=", "market-spine/ab one two"])
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a checkpoint"):
        read_checkpoint(text)


# Every column that the events must bear out, with the key of its row.
REPLAYED = (
    ("core_events", "line"), ("core_events", "leaf"), ("core_event_head", "size"), ("core_event_head", "last_leaf"), ("core_event_head", "frontier"),
    ("finra_otc_transparency_capture", "capture_id"), ("finra_otc_transparency_capture", "run_date"),
    ("finra_otc_transparency_capture", "content_hash"), ("finra_otc_transparency_capture", "captured_at"),
    ("finra_otc_transparency_capture", "row_count"), ("finra_otc_transparency_capture", "total_shares"),
    ("finra_otc_transparency_capture", "normalized_at"), ("finra_otc_transparency_capture", "withdrawn_at"),
    ("finra_otc_transparency_capture", "pinned_as"), ("finra_otc_transparency_week", "capture_id"),
    ("core_data_readiness", "is_ready"), ("core_data_readiness", "blocking_issues"),
    ("core_anomalies", "category"),
)


def flip(value: object, draw: Random) -> object:
    """The value with one bit changed; of text one that keeps it ASCII, so that both engines can hold it."""
    if isinstance(value, bytes):
        at = draw.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1 << draw.randrange(8)]) + value[at + 1 :]
    if isinstance(value, str):
        at = draw.choice([n for n, c in enumerate(value) if " " < c < "\x7f"])
        bit = next(b for b in draw.sample(range(7), 7) if " " <= chr(ord(value[at]) ^ 1 << b) < "\x7f")
        changed = value[:at] + chr(ord(value[at]) ^ 1 << bit) + value[at + 1 :]
        return changed if not value.startswith("{") or is_json(changed) else flip(value, draw)
    return int(str(value).partition(".")[0]) ^ 1 << draw.randrange(4)


def is_json(text: str) -> bool:
    """The index over the subjects refuses a line that is not."""
    try:
        return bool(json.loads(text))
    except ValueError:
        return False


def flipped(draw: Random) -> Change:
    """Changes one bit of one value that is not NULL."""

    def change(db: Database) -> None:
        table, column = draw.choice(REPLAYED)
        open_only = " AND resolved_at IS NULL" if table == "core_anomalies" else ""
        values = [v for (v,) in db.execute(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL{open_only}").fetchall()]
        if not values:
            return change(db)
        value = draw.choice(values)
        old = bytes(value) if isinstance(value, memoryview) else value
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?{open_only}", (flip(old, draw), old))
        return None

    return change


def test_one_bit_changed_anywhere_is_found(desk: Desk) -> None:
    """BIT_CHANGES=500 for more of them."""
    missed = []
    for seed in range(int(os.environ.get("BIT_CHANGES", "60"))):
        with tampered(desk.db, flipped(Random(seed))):
            missed += [] if audit.verify(desk.db).faults else [seed]
    assert missed == []
