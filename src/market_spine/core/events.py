"""core_events: every change of state as a line, in the transaction of the change; state is what the lines add up to.

A line is canonical JSON (sorted keys, no floats, UTF-8):
`{"actor","at","body","execution_id","host","kind","prev","seq","subject","version"}`. `prev` is the leaf hash of the line
before (zeros for the first), so the lines are a chain; `leaf` is SHA-256(0x00 ‖ line), so they are also the leaves of an
RFC 6962 tree (merkle.py). The format is final: a reader of any later version can check every line.

Events of a transaction are collected and written at its end: on PostgreSQL the lock of core_event_head, which makes `seq`
gapless and in the order of the commits, is then held for a moment only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

from market_spine import __version__
from market_spine.core import bodies, merkle
from market_spine.db import Connection, Database, writing
from market_spine.errors import NotFound
from market_spine.process import actor, hostname

FIRST_PREV = "0" * 64
_LAST = 1 << 62
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def _no_float(text: str) -> float:
    raise ValueError(f"{text} is not a whole number")


_DECODER = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float)


class Kind(str, Enum):
    """What can happen to the state; the list is closed."""

    CAPTURE_STORED = "capture.stored"
    CAPTURE_NORMALIZED = "capture.normalized"
    CAPTURE_MEASURED = "capture.measured"
    CAPTURE_REJECTED = "capture.rejected"
    CAPTURE_HELD = "capture.held"
    CAPTURE_RELEASED = "capture.released"
    CAPTURE_WITHDRAWN = "capture.withdrawn"
    CAPTURE_RESTORED = "capture.restored"
    CAPTURE_PRUNED = "capture.pruned"
    CAPTURE_PINNED = "capture.pinned"
    WEEK_MADE = "week.made"
    WINDOW_MADE = "window.made"
    READINESS_CHANGED = "readiness.changed"
    ANOMALY_OPENED = "anomaly.opened"
    ANOMALY_CLOSED = "anomaly.closed"
    GATE_FITTED = "gate.fitted"
    RUN_FINISHED = "run.finished"
    SCHEMA_MIGRATED = "schema.migrated"


class Event(NamedTuple):
    """What happened, before it has its place in the log."""

    kind: Kind
    subject: str
    at: str
    body: Mapping[str, object]


class Line(NamedTuple):
    """An entry of the log as it is stored."""

    seq: int
    line: str
    leaf: bytes


class Head(NamedTuple):
    """How far the log goes: its size, the hash of its last leaf (hex), and the right edge of its tree."""

    size: int
    last_leaf: str
    frontier: merkle.Frontier

    @property
    def root(self) -> str:
        return merkle.root(self.frontier).hex()


@dataclass(slots=True)
class _Pending:
    """The events of the open transaction of `db`, which are written before it commits."""

    db: Database
    events: list[Event] = field(default_factory=list)

    def __call__(self) -> None:
        _append(self.db, self.events, self.db.execution_id)
        self.events.clear()


def record(connection: Connection, kind: Kind, subject: str, at: str, **body: object) -> None:
    """Adds an event to the open transaction; without one, it is a transaction of its own. A database that holds only the
    specified core tables keeps no events."""
    if not hasattr(connection, "before_commit"):
        if _has_log(connection):
            with writing(connection):
                _append(connection, [Event(kind, subject, at, body)], "")
        return
    with writing(connection):
        _pending(connection).events.append(Event(kind, subject, at, body))


def mark(db: Database) -> int:
    """How many events the open transaction has recorded, for `rewind`."""
    return len(_pending(db).events)


def rewind(db: Database, marked: int) -> None:
    """Forgets what was recorded since `mark`, because a savepoint was rolled back."""
    del _pending(db).events[marked:]


def pending_subjects(db: Database, kinds: Collection[Kind]) -> set[str]:
    """The subjects of the events of these kinds that the open transaction has recorded."""
    return {event.subject for event in _pending(db).events if event.kind in kinds}


def head(connection: Connection) -> Head:
    """The end of the log."""
    row = connection.execute("SELECT size, last_leaf, frontier FROM core_event_head").fetchone()
    size, last_leaf, frontier = row or (0, FIRST_PREV, "")
    return Head(size, last_leaf, edge_of(frontier))


def lines(db: Database, since: int = 0, until: int | None = None) -> Iterator[Line]:
    """The lines after `since`, up to `until`, in order."""
    rows = db.stream(
        "SELECT seq, line, leaf FROM core_events WHERE seq > ? AND seq <= ? ORDER BY seq",
        (since, until if until is not None else _LAST),
    )
    for seq, line, leaf in rows:
        yield Line(seq, line, bytes(leaf))


def check_began(db: Database, before: str) -> None:
    """Raises NotFound when the log has no event before a moment (a stamp)."""
    first = next(lines(db, 0, 1), None)
    began = json.loads(first.line)["at"] if first else None
    if began is None or began >= before:
        since = f"began on {began[:10]}" if began else "is empty"
        raise NotFound(f"the log of events {since}; what was known before it is not recorded", hint="spine captures")


def subject_of(partition_key: str | None) -> str:
    """`2026-01-09/OTC` or `2026-01-09`, of a partition_key as the core tables keep it; empty for none."""
    key = json.loads(partition_key) if partition_key else {}
    return "/".join(str(key[name]) for name in ("week_ending", "tier") if key.get(name))


def figure(value: object) -> str | None:
    """A number of a table as an event holds it: its shortest exact text, without an exponent."""
    return None if value is None else f"{Decimal(str(value)).normalize():f}"


def canonical(entry: Mapping[str, object]) -> str:
    """The one text of an entry. Raises TypeError for what has more than one, such as a float."""
    return _encode(_plain(entry))


def is_canonical(line: str, entry: object) -> bool:
    """Whether a line is the one text of the entry that was read from it with `parse`."""
    return _encode(entry) == line


def parse(line: str) -> Any:
    """The entry of a line. Raises ValueError for what is not JSON, or holds a float."""
    return _DECODER.decode(line)


def edge_of(text: str) -> merkle.Frontier:
    """The right edge as core_event_head keeps it: the nodes in hex, without a separator. Raises ValueError."""
    nodes = bytes.fromhex(text)
    if nodes.hex() != text:  # fromhex takes capitals and blanks too
        raise ValueError("the right edge of the log is not written as this program writes it")
    return tuple(nodes[at : at + merkle.HASH_SIZE] for at in range(0, len(nodes), merkle.HASH_SIZE))


def _append(connection: Connection, events: list[Event], execution_id: str) -> None:
    if not events:
        return
    size, last_leaf, frontier = _reserve(connection, len(events))
    edge, who = edge_of(frontier), {"actor": actor(), "execution_id": execution_id, "host": hostname(), "version": __version__}
    for seq, event in enumerate(events, size - len(events) + 1):
        body = bodies.short(event.subject, event.at, event.body)
        entry = {"kind": event.kind.value, "subject": event.subject, "at": event.at, "body": body}
        line = canonical({**who, **entry, "seq": seq, "prev": last_leaf})
        leaf = merkle.leaf_hash(line.encode())
        connection.execute("INSERT INTO core_events (seq, line, leaf) VALUES (?, ?, ?)", (seq, line, leaf))
        edge, last_leaf = merkle.append(edge, seq - 1, leaf), leaf.hex()
    connection.execute("UPDATE core_event_head SET last_leaf = ?, frontier = ?", (last_leaf, b"".join(edge).hex()))


def _reserve(connection: Connection, count: int) -> tuple[int, str, str]:
    """Takes the next `count` numbers: the size of the log with them, and the last leaf and right edge without them."""
    while True:
        row: tuple[int, str, str] | None = connection.execute(
            "UPDATE core_event_head SET size = size + ? RETURNING size, last_leaf, frontier", (count,)
        ).fetchone()
        if row is not None:
            return row
        connection.execute(
            "INSERT INTO core_event_head (id, size, last_leaf, frontier) VALUES (1, 0, ?, '') ON CONFLICT DO NOTHING",
            (FIRST_PREV,),
        )


def _pending(db: Any) -> _Pending:
    """The one collector of the open transaction."""
    for hook in db.before_commit:
        if isinstance(hook, _Pending):
            return hook
    made = _Pending(db)
    db.before_commit.append(made)
    return made


def _has_log(connection: Connection) -> bool:
    """Asked of a plain sqlite3.Connection only."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'core_event_head'").fetchone() is not None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int)):
        return value.value if isinstance(value, Enum) else value
    raise TypeError(f"an event holds text, whole numbers, lists and mappings, not {value!r}")
