"""Delivered notifications: in core_notifications, and in a small file while the database cannot be reached."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from market_spine import clock
from market_spine.db import Database
from market_spine.monitor.alerts import Action, Delivered, Event, Notice

FILE_NAME = "notified.json"
_FORMER_NAME = "told.json"  # of version 1.0: still read, so that an upgrade sends nothing twice


class _Row(NamedTuple):
    """A row of core_notifications, in the order of the SELECT below."""

    kind: str
    week: str | None
    tier: str | None
    severity: str
    message: str
    began_at: str
    notified_at: str
    over_at: str | None
    event_key: str

    def as_delivered(self) -> Delivered:
        event = Event(self.kind, self.week, self.tier, self.severity, self.message, _moment(self.began_at))
        return Delivered(event, _moment(self.notified_at), _moment(self.over_at) if self.over_at else None)


def read(db: Database, channel: str) -> dict[str, Delivered]:
    """The last notification of a channel about each event, by key."""
    rows = db.execute(
        """
        SELECT kind, week_ending, tier, severity, message, began_at, told_at, over_at, event_key
        FROM core_notifications WHERE channel = ?
        """,
        (channel,),
    )
    return {row.event_key: row.as_delivered() for row in map(_Row._make, rows)}


def write(db: Database, channel: str, notice: Notice, now: datetime) -> None:
    """Records that a notice was delivered."""
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
                clock.stamp(event.since), moment, moment if notice.action in (Action.OVER, Action.NEWS) else None,
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
    partial = path.with_suffix(f".{os.getpid()}.tmp")
    partial.write_text(json.dumps([_entry(name, last) for (name, _), last in entries.items()], indent=1), "utf-8")
    partial.replace(path)


def take_over(db: Database, path: Path) -> None:
    """Moves the entries of the file into the database and removes the file."""
    entries = _entries(path)
    with db.transaction():
        for (channel, _), last in entries.items():
            write(db, channel, Notice(Action.BEGAN, last.event), last.sent_at)
    if entries:
        path.unlink(missing_ok=True)
        path.with_name(_FORMER_NAME).unlink(missing_ok=True)


def _entries(path: Path) -> dict[tuple[str, str], Delivered]:
    """The entries of the file, by channel and key; those of the file with the former name count where it has none."""
    return _parsed(path.with_name(_FORMER_NAME)) | _parsed(path)


def _parsed(path: Path) -> dict[tuple[str, str], Delivered]:
    try:
        entries = json.loads(path.read_text("utf-8"))
        parsed = [(entry["channel"], Delivered(_event(entry), _notified_at(entry))) for entry in entries]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return {(channel, last.event.key): last for channel, last in parsed}


def _entry(channel: str, last: Delivered) -> dict[str, str | None]:
    event = last.event
    return {
        "channel": channel, "kind": event.kind, "week": event.week, "tier": event.tier, "severity": event.severity,
        "message": event.message, "since": clock.stamp(event.since), "notified_at": clock.stamp(last.sent_at),
    }


def _event(entry: Mapping[str, str]) -> Event:
    return Event(entry["kind"], entry["week"], entry["tier"], entry["severity"], entry["message"], _moment(entry["since"]))


def _notified_at(entry: Mapping[str, str]) -> datetime:
    """The key was `told_at` in version 1.0."""
    return _moment(entry["notified_at"] if "notified_at" in entry else entry["told_at"])


def _moment(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)
