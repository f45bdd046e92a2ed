"""Delivered notifications: in core_notifications, and in a small file while the database cannot be reached."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from market_spine import clock
from market_spine.db import Database
from market_spine.monitor.alerts import Action, Delivered, Event, Notice

FILE_NAME = "told.json"


def read(db: Database, channel: str) -> dict[str, Delivered]:
    """The last notification of a channel about each event, by key."""
    rows = db.execute(
        """
        SELECT kind, week_ending, tier, severity, message, began_at, told_at, over_at, event_key
        FROM core_notifications WHERE channel = ?
        """,
        (channel,),
    ).fetchall()
    return {
        r[8]: Delivered(Event(r[0], r[1], r[2], r[3], r[4], _moment(r[5])), _moment(r[6]), _moment(r[7]) if r[7] else None)
        for r in rows
    }


def write(db: Database, channel: str, notice: Notice, now: datetime) -> None:
    """Notes that a notice was delivered."""
    event, moment = notice.event, clock.stamp(now)
    with db.transaction():
        db.execute(
            """
            INSERT INTO core_notifications (event_key, channel, kind, week_ending, tier, severity, message, began_at, told_at,
                                            over_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (event_key, channel) DO UPDATE SET
                severity = excluded.severity, message = excluded.message, began_at = excluded.began_at,
                told_at = excluded.told_at, over_at = excluded.over_at
            """,
            (
                event.key, channel, event.kind, event.week, event.tier, event.severity, event.message,
                clock.stamp(event.since), moment, moment if notice.action is Action.OVER else None,
            ),
        )


def state_file(environ: Mapping[str, str]) -> Path:
    """The file used while there is no database: in MARKET_SPINE_STATE_DIR, else in the user's folder for state."""
    if named := environ.get("MARKET_SPINE_STATE_DIR"):
        return Path(named) / FILE_NAME
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home()) / "market-spine" / FILE_NAME
    home = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or os.sep) / ".local" / "state"
    return Path(home) / "market-spine" / FILE_NAME


def read_file(path: Path, channel: str) -> dict[str, Delivered]:
    """As `read`, from the file; a missing or unreadable one is empty."""
    return {key: last for (name, key), last in _entries(path).items() if name == channel}


def write_file(path: Path, channel: str, notice: Notice, now: datetime) -> None:
    """As `write`, into the file, which only its owner can read. Raises OSError."""
    event = notice.event
    entries = _entries(path) | {(channel, event.key): Delivered(event, now)}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(json.dumps([_row(name, last) for (name, _), last in entries.items()], indent=1), "utf-8")
    beside.replace(path)


def take_over(db: Database, path: Path) -> None:
    """Moves the entries of the file into the database and removes the file."""
    entries = _entries(path)
    with db.transaction():
        for (channel, _), last in entries.items():
            write(db, channel, Notice(Action.BEGAN, last.event), last.sent_at)
    if entries:
        path.unlink(missing_ok=True)


def _entries(path: Path) -> dict[tuple[str, str], Delivered]:
    try:
        rows = json.loads(path.read_text("utf-8"))
        entries = [(r["channel"], Delivered(_event(r), _moment(r["told_at"]))) for r in rows]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return {(channel, last.event.key): last for channel, last in entries}


def _row(channel: str, last: Delivered) -> dict[str, str | None]:
    event = last.event
    return {
        "channel": channel, "kind": event.kind, "week": event.week, "tier": event.tier, "severity": event.severity,
        "message": event.message, "since": clock.stamp(event.since), "told_at": clock.stamp(last.sent_at),
    }


def _event(row: Mapping[str, str]) -> Event:
    return Event(row["kind"], row["week"], row["tier"], row["severity"], row["message"], _moment(row["since"]))


def _moment(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)
