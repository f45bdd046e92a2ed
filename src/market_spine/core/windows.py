"""The tables of the windows: figures of a tier over consecutive weeks, by the captures they are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.db import Database

LENGTHS = (6, 13)
# What may change which capture is current, or what it measured.
_CHANGES = (
    Kind.CAPTURE_NORMALIZED, Kind.CAPTURE_MEASURED, Kind.CAPTURE_HELD, Kind.CAPTURE_RELEASED, Kind.CAPTURE_WITHDRAWN,
    Kind.CAPTURE_RESTORED, Kind.CAPTURE_PRUNED,
)


class Input(NamedTuple):
    """A capture that a window is made of."""

    week: str
    capture_key: int
    capture_id: str
    content_hash: str


class Plan(NamedTuple):
    """A window that there is, or that is to be made; inputs oldest first."""

    week: str
    tier: str
    length: int
    inputs: tuple[Input, ...]

    @property
    def where(self) -> str:
        return f"window of {self.length} weeks to {self.week} / {self.tier}"

    @property
    def inputs_hash(self) -> str:
        """Identifies the captures and their contents: the first 16 hex digits of a SHA-256."""
        text = json.dumps([(each.capture_id, each.content_hash) for each in self.inputs])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def identity(self) -> tuple[str, str, int, str]:
        return self.week, self.tier, self.length, self.inputs_hash


class Stored(NamedTuple):
    """A row of the windows, with the headline figures of its tier."""

    window_key: int
    week: str
    tier: str
    length: int
    inputs_hash: str
    made_at: str
    execution_id: str
    hhi: float | None
    total_shares: float

    @property
    def identity(self) -> tuple[str, str, int, str]:
        return self.week, self.tier, self.length, self.inputs_hash


class Progress(NamedTuple):
    """Up to which event the windows follow the captures, and which lengths are kept."""

    seq: int
    lengths: tuple[int, ...]


def progress(db: Database) -> Progress:
    """How far the windows are. Before the first, nothing was followed."""
    row = db.execute("SELECT seq, lengths FROM finra_otc_transparency_window_progress").fetchone()
    seq, lengths = row or (0, ",".join(map(str, LENGTHS)))
    return Progress(seq, tuple(map(int, lengths.split(","))))


def follow(db: Database, seq: int, lengths: Sequence[int]) -> None:
    """Stores how far the windows are. Call it inside their transaction."""
    db.execute(
        """
        INSERT INTO finra_otc_transparency_window_progress (id, seq, lengths) VALUES (1, ?, ?)
        ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, lengths = excluded.lengths
        """,
        (seq, ",".join(map(str, lengths))),
    )


def add(db: Database, plan: Plan, compared_week: str, made_at: str) -> int:
    """Inserts a window and its inputs; returns its key."""
    (key,) = db.execute(
        """
        INSERT INTO finra_otc_transparency_window (week_ending, tier, length, inputs_hash, compared_week, made_at, execution_id)
        VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING window_key
        """,
        (plan.week, plan.tier, plan.length, plan.inputs_hash, compared_week, made_at, db.execution_id),
    ).fetchone()
    db.bulk_insert(
        "finra_otc_transparency_window_input", ("window_key", "position", "week_ending", "capture_key"),
        [(key, position, each.week, each.capture_key) for position, each in enumerate(plan.inputs)],
    )
    return int(key)


def put(db: Database, window_key: int, tier: tuple[Any, ...], venues: Sequence[tuple[Any, ...]]) -> None:
    """Stores the figures of a window: TierWindow and VenueWindows, as tuples."""
    db.bulk_insert("finra_otc_transparency_window_tier", ("window_key", *TIER), [(window_key, *tier)])
    db.bulk_insert("finra_otc_transparency_window_venue", ("window_key", *VENUE), [(window_key, *row) for row in venues])


def clear(db: Database, window_key: int) -> None:
    """Deletes the figures of a window, which are to be computed again; from now on it is of this run."""
    db.execute("UPDATE finra_otc_transparency_window SET execution_id = ? WHERE window_key = ?", (db.execution_id, window_key))
    db.execute("DELETE FROM finra_otc_transparency_window_tier WHERE window_key = ?", (window_key,))
    db.execute("DELETE FROM finra_otc_transparency_window_venue WHERE window_key = ?", (window_key,))


def drop(db: Database, capture_key: int) -> None:
    """Deletes every window of a capture whose rows are replaced: they were made the same day, of rows that no longer exist."""
    for window_key in keys_with(db, [capture_key]):
        clear(db, window_key)
        db.execute("DELETE FROM finra_otc_transparency_window_input WHERE window_key = ?", (window_key,))
        db.execute("DELETE FROM finra_otc_transparency_window WHERE window_key = ?", (window_key,))


class Figures(NamedTuple):
    """What is stored of a window: TierWindow (None: nothing is) and VenueWindows, as tuples."""

    tier: tuple[Any, ...] | None
    venues: list[tuple[Any, ...]]


def figures(db: Database, window_key: int) -> Figures:
    """The figures of a window, venues by id."""
    key, of_tier, of_venue = (window_key,), ", ".join(TIER), ", ".join(VENUE)
    tier = db.execute(f"SELECT {of_tier} FROM finra_otc_transparency_window_tier WHERE window_key = ?", key).fetchone()
    venues = db.execute(f"SELECT {of_venue} FROM finra_otc_transparency_window_venue WHERE window_key = ? ORDER BY venue_id", key)
    return Figures(None if tier is None else tuple(tier), list(map(tuple, venues)))


class Filed(NamedTuple):
    """What a window is filed under."""

    window_key: int
    week: str
    tier: str
    length: int
    inputs_hash: str


def every(db: Database) -> list[Filed]:
    """Every window, also one without figures, by week, tier and length."""
    rows = db.execute(
        """
        SELECT window_key, week_ending, tier, length, inputs_hash FROM finra_otc_transparency_window
        ORDER BY week_ending, tier, length, window_key
        """
    )
    return list(map(Filed._make, rows))


def keys_with(db: Database, capture_keys: Iterable[int]) -> list[int]:
    """The windows that one of these captures is an input of, oldest first."""
    keys: set[int] = set()
    for capture_key in capture_keys:
        rows = db.execute("SELECT window_key FROM finra_otc_transparency_window_input WHERE capture_key = ?", (capture_key,))
        keys.update(window_key for (window_key,) in rows)
    return sorted(keys)


def between(db: Database, first: str, last: str) -> list[Stored]:
    """The windows that end with a week from `first` to `last`, in the order in which they were made."""
    rows = db.execute(
        """
        SELECT w.window_key, w.week_ending, w.tier, w.length, w.inputs_hash, w.made_at, w.execution_id, t.hhi, t.total_shares
        FROM finra_otc_transparency_window w JOIN finra_otc_transparency_window_tier t ON t.window_key = w.window_key
        WHERE w.week_ending >= ? AND w.week_ending <= ? ORDER BY w.window_key
        """,
        (first, last),
    ).fetchall()
    return [Stored._make(row) for row in rows]


def inputs_between(db: Database, first: str, last: str) -> dict[int, tuple[int, ...]]:
    """The keys of the captures that each of these windows is made of, by window key, oldest week first."""
    rows = db.execute(
        """
        SELECT i.window_key, i.capture_key FROM finra_otc_transparency_window w
        JOIN finra_otc_transparency_window_input i ON i.window_key = w.window_key
        WHERE w.week_ending >= ? AND w.week_ending <= ? ORDER BY i.window_key, i.position
        """,
        (first, last),
    )
    inputs: dict[int, list[int]] = {}
    for window_key, capture_key in rows:
        inputs.setdefault(window_key, []).append(capture_key)
    return {window_key: tuple(keys) for window_key, keys in inputs.items()}


def touched(db: Database, since: int) -> set[tuple[str, str]]:
    """The partitions (week and tier) of which a capture changed after an event, those of the open transaction among them."""
    rows = db.execute(
        """
        SELECT DISTINCT json_extract(line, '$.subject') FROM core_events
        WHERE json_extract(line, '$.kind') IN (?, ?, ?, ?, ?, ?, ?) AND seq > ?
        """,
        (*(kind.value for kind in _CHANGES), since),
    )
    subjects = {subject for (subject,) in rows} | events.pending_subjects(db, _CHANGES)
    return {(week, tier) for week, _, tier in (subject.partition("/") for subject in subjects) if tier}


TIER = (
    "basis", "sessions", "venue_count", "total_shares", "ats_shares", "total_trades", "shares_slope", "hhi", "hhi_mean",
    "hhi_slope", "effective_venues_slope", "ats_fraction_slope", "trade_size_slope",
)
VENUE = ("venue_id", "total_shares", "share_mean", "slope", "rank", "deviation", "active_weeks")
