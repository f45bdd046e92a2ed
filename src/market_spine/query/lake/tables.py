"""The tables of a lake: what was valid from the end of which day to the end of which other one, and why.

An interval holds on every day d with valid_from <= d < valid_to; valid_to is NULL for what is valid to this day. What was
withdrawn or held and came back has several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from market_spine.db import Database
from market_spine.partition import DOMAIN
from market_spine.query import readiness
from market_spine.query.as_of import Spell, WeekSpell, day_of, spells, week_spells
from market_spine.query.windows import WindowSpell, window_spells

Rows = Iterator[tuple[Any, ...]]


class Table(NamedTuple):
    """A table of the lake: a file of its own, written again when it changes."""

    name: str
    columns: tuple[str, ...]
    rows: Rows


COLUMNS: dict[str, tuple[str, ...]] = {
    "files": ("path", "view", "name", "mark", "sha256", "bytes", "rows"),
    "compacted": ("path", "view", "part", "mark", "sha256", "bytes", "rows"),
    "captures": (
        "capture_id", "week_ending", "tier", "run_date", "captured_at", "content_hash", "row_count", "total_shares",
        "published_on", "revised_on", "measured_from", "pruned_at",
    ),
    "validity": ("capture_id", "week_ending", "tier", "valid_from", "valid_to", "measured_from", "pruned_at"),
    "week_validity": ("capture_id", "week_ending", "valid_from", "valid_to"),
    "window_validity": (
        "inputs_hash", "week_ending", "tier", "length", "valid_from", "valid_to", "compared_hash", "reason",
    ),
    "window_inputs": ("inputs_hash", "week_ending", "tier", "length", "position", "capture_id"),
    "withdrawals": ("capture_id", "withdrawn_at", "reason", "undone_at"),
    "holds": ("capture_id", "held_at", "gate", "reason", "has_rows", "released_at", "released_reason"),
    "judgements": ("number", "week_ending", "tier", "is_ready", "blocking_issues", "judged_at", "judged_on"),
}


def read_tables(db: Database) -> Iterator[Table]:
    """Every table but `files` and `compacted`, which say where the rows are."""
    of_partitions = spells(db)
    windows = window_spells(db, of_partitions)
    for name, rows in (
        ("captures", _captures(db)),
        ("validity", _validity(of_partitions)),
        ("week_validity", _week_validity(week_spells(db, of_partitions))),
        ("window_validity", _window_validity(windows)),
        ("window_inputs", _window_inputs(db)),
        ("withdrawals", _withdrawals(db)),
        ("holds", _holds(db)),
        ("judgements", _judgements(db)),
    ):
        yield Table(name, COLUMNS[name], rows)


class _Capture(NamedTuple):
    """A capture, kept or pruned."""

    capture_id: str
    week: str
    tier: str
    run_date: str
    captured_at: str
    content_hash: str
    row_count: int | None
    total_shares: float | None
    published_on: str | None
    revised_on: str | None
    measured_at: str | None
    pruned_at: str | None


def _captures(db: Database) -> Rows:
    rows = db.execute(
        """
        SELECT c.capture_id, c.week_ending, c.tier, c.run_date, c.captured_at, c.content_hash, c.row_count, c.total_shares,
               c.published_on, c.revised_on, m.created_at, NULL
        FROM finra_otc_transparency_capture c
        LEFT JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'CALC'
        UNION ALL
        SELECT t.capture_id, json_extract(t.partition_key, '$.week_ending'), json_extract(t.partition_key, '$.tier'), t.run_date,
               t.captured_at, t.content_hash, t.row_count, t.total_shares, NULL, NULL, t.measured_at, t.pruned_at
        FROM core_tombstones t WHERE t.domain = ? AND NOT EXISTS (
            SELECT 1 FROM finra_otc_transparency_capture kept WHERE kept.capture_id = t.capture_id)
        ORDER BY 2, 3, 4
        """,
        (DOMAIN,),
    ).fetchall()
    for capture in map(_Capture._make, rows):
        measured_from = capture.measured_at and day_of(capture.measured_at)
        yield (*capture[:10], measured_from, capture.pruned_at)


def _validity(of_partitions: Mapping[tuple[str, str], Sequence[Spell]]) -> Rows:
    for (week, tier), of_partition in of_partitions.items():
        for spell, following in zip_longest(of_partition, of_partition[1:]):
            capture = spell.capture
            if capture is not None:
                measured_from = capture.measured_at and day_of(capture.measured_at)
                until = following.day if following else None
                yield capture.capture_id, week, tier, spell.day, until, measured_from, capture.pruned_at


def _week_validity(of_weeks: Mapping[str, Sequence[WeekSpell]]) -> Rows:
    for week, of_week in of_weeks.items():
        for spell, following in zip_longest(of_week, of_week[1:]):
            if spell.result is not None:
                yield spell.result.capture_id, week, spell.day, following.day if following else None


def _window_validity(history: Mapping[tuple[str, str, int], Sequence[WindowSpell]]) -> Rows:
    hashes = {
        spell.window.stored.window_key: spell.window.stored.inputs_hash
        for of_window in history.values() for spell in of_window if spell.window and spell.window.stored
    }
    for (week, tier, length), of_window in history.items():
        for spell, following in zip_longest(of_window, of_window[1:]):
            window, until = spell.window, following.day if following else None
            if window is not None:
                inputs_hash = window.stored.inputs_hash if window.stored else None
                compared = hashes.get(window.compared)
                yield inputs_hash, week, tier, length, spell.day, until, compared, window.reason


def _window_inputs(db: Database) -> Rows:
    """Of what captures each window is made, pruned ones too, oldest week first."""
    yield from db.execute(
        """
        SELECT w.inputs_hash, w.week_ending, w.tier, w.length, i.position, COALESCE(c.capture_id, t.capture_id)
        FROM finra_otc_transparency_window w
        JOIN finra_otc_transparency_window_input i ON i.window_key = w.window_key
        LEFT JOIN finra_otc_transparency_capture c ON c.capture_key = i.capture_key
        LEFT JOIN core_tombstones t ON t.capture_key = i.capture_key AND t.domain = ?
        ORDER BY w.week_ending, w.tier, w.length, w.inputs_hash, i.position
        """,
        (DOMAIN,),
    )


def _withdrawals(db: Database) -> Rows:
    yield from db.execute(
        """
        SELECT capture_id, withdrawn_at, reason, undone_at FROM finra_otc_transparency_withdrawal
        ORDER BY withdrawn_at, capture_id
        """
    )


def _holds(db: Database) -> Rows:
    yield from db.execute(
        """
        SELECT capture_id, held_at, gate, reason, has_rows, released_at, released_reason FROM finra_otc_transparency_hold
        ORDER BY held_at, capture_id, ingest_no
        """
    )


def _judgements(db: Database) -> Rows:
    for j in readiness.judgements(db):
        yield j.seq, j.week, j.tier or None, j.is_ready, j.blocking_issues, j.judged_at, day_of(j.judged_at)
