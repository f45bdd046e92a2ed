"""core_webhooks: how far each subscriber has been sent the log of events, and the events it never accepted."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from market_spine import clock
from market_spine.db import Database


class Endpoint(NamedTuple):
    """A subscriber: `cursor` is the last event it has been sent; `attempts` are those of the next one."""

    endpoint: str
    address: str
    cursor: int
    attempts: int
    next_try_at: str | None
    last_error: str | None


class DeadLetter(NamedTuple):
    """An event that a subscriber did not accept in all attempts."""

    endpoint: str
    address: str
    seq: int
    error: str
    given_up_at: str


def subscribe(db: Database, endpoint: str, address: str, now: datetime) -> Endpoint:
    """The subscriber; a new one begins with the first event of the log."""
    with db.transaction():
        row = db.execute(
            """
            INSERT INTO core_webhooks (endpoint, address, cursor, updated_at) VALUES (?, ?, 0, ?)
            ON CONFLICT (endpoint) DO UPDATE SET address = excluded.address
            RETURNING endpoint, address, cursor, attempts, next_try_at, last_error
            """,
            (endpoint, address, clock.stamp(now)),
        ).fetchone()
    return Endpoint._make(row)


def endpoints(db: Database) -> list[Endpoint]:
    """Every subscriber."""
    rows = db.execute("SELECT endpoint, address, cursor, attempts, next_try_at, last_error FROM core_webhooks ORDER BY address")
    return [Endpoint._make(row) for row in rows]


class Trouble(NamedTuple):
    """A subscriber that has not got everything: events given up, and the error that holds back the next one."""

    address: str
    given_up: int
    last_error: str | None

    def __str__(self) -> str:
        events = f"{self.given_up} event{' was' if self.given_up == 1 else 's were'} given up: spine webhooks resend"
        waits = f"the next event waits after {self.last_error}: spine webhooks send --at-once"
        parts = [events] * bool(self.given_up) + [waits] * bool(self.last_error)
        return f"webhook {self.address}: {'; '.join(parts)}"


def troubles(db: Database) -> list[Trouble]:
    """The subscribers that have not got everything."""
    rows = db.execute(
        """
        SELECT w.address, COUNT(d.seq), w.last_error
        FROM core_webhooks w LEFT JOIN core_webhook_dead_letters d ON d.endpoint = w.endpoint
        GROUP BY w.endpoint, w.address, w.last_error
        HAVING COUNT(d.seq) > 0 OR w.last_error IS NOT NULL ORDER BY w.address
        """
    )
    return [Trouble._make(row) for row in rows]


def dead_letters(db: Database) -> list[DeadLetter]:
    """What was given up, oldest event first."""
    rows = db.execute(
        """
        SELECT d.endpoint, w.address, d.seq, d.error, d.given_up_at
        FROM core_webhook_dead_letters d JOIN core_webhooks w ON w.endpoint = d.endpoint ORDER BY d.seq, w.address
        """
    )
    return [DeadLetter._make(row) for row in rows]


def delivered(db: Database, endpoint: str, cursor: int, now: datetime) -> None:
    """Records that a subscriber has everything up to `cursor`. Of two processes that send at once, the one ahead counts."""
    with db.transaction():
        db.execute(
            """
            UPDATE core_webhooks SET cursor = ?, attempts = 0, next_try_at = NULL, last_error = NULL, updated_at = ?
            WHERE endpoint = ? AND cursor < ?
            """,
            (cursor, clock.stamp(now), endpoint, cursor),
        )


def failed(db: Database, endpoint: str, error: str, next_try_at: datetime, now: datetime) -> None:
    """Records an attempt that failed, and when the next one is due."""
    with db.transaction():
        db.execute(
            """
            UPDATE core_webhooks SET attempts = attempts + 1, next_try_at = ?, last_error = ?, updated_at = ? WHERE endpoint = ?
            """,
            (clock.stamp(next_try_at), error, clock.stamp(now), endpoint),
        )


def give_up(db: Database, endpoint: str, seq: int, error: str, now: datetime) -> None:
    """Makes an event a dead letter and moves on to the next."""
    with db.transaction():
        db.execute(
            """
            INSERT INTO core_webhook_dead_letters (endpoint, seq, error, given_up_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (endpoint, seq) DO UPDATE SET error = excluded.error, given_up_at = excluded.given_up_at
            """,
            (endpoint, seq, error, clock.stamp(now)),
        )
        delivered(db, endpoint, seq, now)


def accepted_late(db: Database, endpoint: str, seq: int) -> None:
    """Removes a dead letter that was accepted after all."""
    with db.transaction():
        db.execute("DELETE FROM core_webhook_dead_letters WHERE endpoint = ? AND seq = ?", (endpoint, seq))


def seek(db: Database, endpoint: str, cursor: int, now: datetime) -> None:
    """Sets how far a subscriber counts as served: 0 sends it everything again."""
    with db.transaction():
        db.execute(
            """
            UPDATE core_webhooks SET cursor = ?, attempts = 0, next_try_at = NULL, last_error = NULL, updated_at = ?
            WHERE endpoint = ?
            """,
            (cursor, clock.stamp(now), endpoint),
        )
