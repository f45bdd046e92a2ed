"""One run at a time: a lock with an owner and a heartbeat, in core_locks, for cron, shell and API alike.

A thread of the holder writes a heartbeat on its own connection. The holder counts as dead when its process no longer exists,
when its heartbeat is older than its lease, or, on PostgreSQL, when its session has ended and beats are missing; then the next
run takes the lock over. The previous holder may still wake up (a stopped process, an interrupted network), therefore every
transaction of a holder first checks that it still owns the lock: `Database.guard`. Ages are measured by `Database.now`, the
one clock that all users of a database share.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

from market_spine import clock
from market_spine.db import Database
from market_spine.errors import DatabaseError, DatabaseLocked, LockLost, RunLocked
from market_spine.process import Process, is_gone, this_process

log = logging.getLogger("market_spine")

RUN = "run"
LEASE_SECONDS = 60.0
_BEATS_A_LEASE = 12
_BEATS_MISSED = 3
_POLL_SECONDS = 0.25
_SETTLE_SECONDS = 3.0  # for a session that is about to end
_RELEASE_SECONDS = 1.0


class Holder(NamedTuple):
    """Who has a lock. `owner` is the run's execution id."""

    owner: str
    process: Process
    since: datetime
    heartbeat_at: datetime
    lease_seconds: float

    def __str__(self) -> str:
        return f"run {self.owner} ({self.process}) since {clock.stamp(self.since)}"


class Verdict(NamedTuple):
    """Whether a lock is held, and why."""

    held: bool
    reason: str


def judge(holder: Holder | None, age: float, *, gone: bool, session_free: bool) -> Verdict:
    """Whether `holder` still holds the lock, by the `age` of its heartbeat in seconds, whether its process is `gone` and whether
    its session's lock is free.

    An age far below zero means that the clock was set back: such a heartbeat proves nothing.
    """
    if holder is None:
        return Verdict(not session_free, "nobody holds it" if session_free else "a session that is just ending holds it")
    if gone:
        return Verdict(False, "its process is gone")
    if abs(age) > holder.lease_seconds:
        return Verdict(False, f"its last heartbeat is {abs(age):.0f} s old")
    if session_free and age > _BEATS_MISSED * holder.lease_seconds / _BEATS_A_LEASE:
        return Verdict(False, f"its session is gone and its last heartbeat is {age:.0f} s old")
    return Verdict(True, f"its last heartbeat is {max(age, 0):.0f} s old")


@contextlib.contextmanager
def run_lock(
    db: Database, owner: str, *, wait_seconds: float = 0, name: str = RUN, lease_seconds: float = LEASE_SECONDS
) -> Iterator[Holder | None]:
    """Holds lock `name` as `owner` while the body runs; every transaction of `db` in the body is fenced by it.

    Yields the dead holder it was taken over from, or None. Raises RunLocked when another run still holds it after
    `wait_seconds`, and LockLost from a transaction of the body once another run has taken it over.
    """
    if db.label == ":memory:":  # nobody else can open it
        yield None
        return
    connection = db.reopen()
    try:
        me = _new_holder(connection, owner, lease_seconds)
        before = _take(connection, name, me, clock.ticks() + wait_seconds)
    except BaseException:
        connection.close()
        raise
    heart = _Heart(connection, name, me)
    heart.start()
    db.name_session(_session(owner))
    db.guard = _guard(db, name, me)
    try:
        yield before
    finally:
        db.guard = None
        db.rollback()
        heart.stop()


def holder_of(db: Database, name: str = RUN) -> Holder | None:
    """The holder named in the lock's row, dead or alive."""
    values = db.execute(
        """
        SELECT owner, host, machine, pid, started, since, heartbeat_at, lease_seconds FROM core_locks WHERE name = ?
        """,
        (name,),
    ).fetchone()
    if values is None:
        return None
    row = _Row._make(values)
    process = Process(row.host, row.machine, row.pid, row.started)
    since, heartbeat_at = datetime.fromisoformat(row.since), datetime.fromisoformat(row.heartbeat_at)
    return Holder(row.owner, process, since, heartbeat_at, row.lease_seconds)


class _Row(NamedTuple):
    """A row of core_locks."""

    owner: str
    host: str
    machine: str
    pid: int
    started: str
    since: str
    heartbeat_at: str
    lease_seconds: float


def verdict_on(db: Database, holder: Holder | None, *, session_free: bool) -> Verdict:
    """`judge`, with what this process can observe."""
    if holder is None:
        return judge(None, 0, gone=False, session_free=session_free)
    age = (db.now() - holder.heartbeat_at).total_seconds()
    return judge(holder, age, gone=is_gone(holder.process, this_process()), session_free=session_free)


# --------------------------------------------------------------------------------------------------------------- taking


def _new_holder(connection: Database, owner: str, lease_seconds: float) -> Holder:
    connection.name_session(_session(owner))
    now = connection.now()
    return Holder(owner, this_process(), now, now, lease_seconds)


def _session(owner: str) -> str:
    """The name of a run's sessions on the server, so that those of a dead holder can be ended."""
    return f"market-spine {owner}"


def _take(connection: Database, name: str, me: Holder, deadline: float) -> Holder | None:
    """Tries until the deadline; returns the dead holder whose lock it was. Raises RunLocked."""
    reported = False
    while True:
        try:
            holder, verdict = _attempt(connection, name, me)
        except DatabaseLocked:
            if clock.ticks() >= deadline:
                raise
            continue
        if not verdict.held:
            if holder is not None:
                log.warning("Took the lock over from %s: %s", holder, verdict.reason)
            return holder
        who = str(holder) if holder else "another run"
        if clock.ticks() >= deadline:
            raise RunLocked(f"{who} holds the lock; {verdict.reason}", hint="wait for it, or run with --if-locked wait")
        if not reported:
            log.info("Waiting for %s, which holds the lock", who)
            reported = True
        clock.pause(_POLL_SECONDS)


def _attempt(connection: Database, name: str, me: Holder) -> tuple[Holder | None, Verdict]:
    """Takes the lock unless a living run holds it; returns its previous holder and whether that one still holds it.

    The order matters on PostgreSQL: the session's advisory lock comes before the row, so that one run at a time tries to
    replace the row. The server releases it when a session ends; one that hangs is terminated first.
    """
    holder = holder_of(connection, name)
    free = connection.session_lock(name)
    verdict = verdict_on(connection, holder, session_free=free)
    if verdict.held and holder is not None:
        if free:
            connection.session_unlock(name)
        return holder, verdict
    if holder is not None:
        connection.end_sessions(_session(holder.owner))
    if not free and not _session_lock_soon(connection, name):
        return holder, Verdict(True, "its session on the server does not end")
    if not _replace(connection, name, holder, me):
        connection.session_unlock(name)
        return holder_of(connection, name), Verdict(True, "another run took it first")
    return holder, Verdict(False, verdict.reason)


def _session_lock_soon(connection: Database, name: str) -> bool:
    deadline = clock.ticks() + _SETTLE_SECONDS
    while not connection.session_lock(name):
        if clock.ticks() >= deadline:
            return False
        clock.pause(_POLL_SECONDS / 5)
    return True


def _replace(connection: Database, name: str, holder: Holder | None, me: Holder) -> bool:
    """Replaces exactly that `holder` by `me`; False when its heartbeat has moved on or another run was first."""
    with connection.transaction():
        if holder is not None:
            connection.execute(
                "DELETE FROM core_locks WHERE name = ? AND owner = ? AND heartbeat_at = ?",
                (name, holder.owner, _text(holder.heartbeat_at)),
            )
        now = _text(connection.now())
        row = connection.execute(
            """
            INSERT INTO core_locks (name, owner, host, machine, pid, started, since, heartbeat_at, lease_seconds)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING RETURNING owner
            """,
            (
                name, me.owner, me.process.host, me.process.machine, me.process.pid, me.process.started, now, now,
                me.lease_seconds,
            ),
        ).fetchone()
    return row is not None


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


# -------------------------------------------------------------------------------------------------------------- holding


def _guard(db: Database, name: str, me: Holder) -> Callable[[], None]:
    """The check at the beginning and the end of the holder's transactions. Raises LockLost."""

    def check() -> None:
        if not _still_holds(db, name, me.owner):
            raise LockLost(
                "this run lost its lock to another one while it was stopped or cut off; it writes nothing more, and "
                "the other run completes the work"
            )

    return check


def _still_holds(db: Database, name: str, owner: str) -> bool:
    """Inside a transaction: whether the lock is still the owner's, and will be until the transaction ends.

    SQLite has one writer: a run in a transaction cannot lose the lock before its end, and it writes its heartbeat here, since
    the thread cannot meanwhile. On PostgreSQL FOR KEY SHARE blocks a takeover (DELETE), but not the thread's heartbeats.
    """
    if db.engine == "sqlite":
        held = db.execute(
            "UPDATE core_locks SET heartbeat_at = ? WHERE name = ? AND owner = ? RETURNING owner", (_text(db.now()), name, owner)
        )
    else:
        held = db.execute("SELECT owner FROM core_locks WHERE name = ? AND owner = ? FOR KEY SHARE", (name, owner))
    return held.fetchone() is not None


class _Heart(threading.Thread):
    """Writes the heartbeat until stopped, then releases the lock. Owns its connection."""

    def __init__(self, connection: Database, name: str, me: Holder) -> None:
        super().__init__(name=f"heartbeat of {me.owner}", daemon=True)
        self._connection, self._name, self._me = connection, name, me
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(self._me.lease_seconds / _BEATS_A_LEASE):
            self._surviving(self._beat)
        self._surviving(self._release)
        self._connection.close()

    def stop(self) -> None:
        """Releases the lock; when that takes long (a full disk, a cut network) the next run finds a dead owner."""
        self._stopped.set()
        self.join(_RELEASE_SECONDS)

    def _beat(self) -> None:
        beaten = self._connection.execute(
            "UPDATE core_locks SET heartbeat_at = ? WHERE name = ? AND owner = ?",
            (_text(self._connection.now()), self._name, self._me.owner),
        )
        if beaten.rowcount == 0:  # taken over: the guard of the next transaction will stop the run
            self._stopped.set()

    def _release(self) -> None:
        self._connection.execute("DELETE FROM core_locks WHERE name = ? AND owner = ?", (self._name, self._me.owner))

    def _surviving(self, act: Callable[[], None]) -> None:
        """A failed heartbeat is retried at the next interval; the guard decides whether the lock is lost, not the thread."""
        try:
            act()
        except DatabaseError as error:
            log.debug("heartbeat: %s", error.message)
            with contextlib.suppress(DatabaseError):
                self._connection.reconnect()
                self._connection.name_session(_session(self._me.owner))
                self._connection.session_lock(self._name)
