"""Connections without a complete request: how many may be open, and how long one may take. uvicorn has settings for the time
between requests and for the length of a head, but none for these two: its `limit_concurrency` counts half-open connections and
then refuses the requests of everybody else."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, NamedTuple

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from market_spine import clock

log = logging.getLogger("market_spine.api")

_RESERVED_FILES = 128  # of the process's open files: database connections, the log, the program itself
_GRACE_SECONDS = 0.5  # under load many are accepted before one is read; a head that has already arrived must be read
_RUSH = 4  # the limit times this, during the grace
HEAD_SECONDS = 10.0


class Wait(NamedTuple):
    """Since when a connection waits, and the timer that ends it; None while uvicorn or the gate runs one."""

    since: float
    timer: asyncio.TimerHandle | None = None


class Guard:
    """State shared by the connections of a server: the limits, and the connections waiting for their client, longest first."""

    def __init__(self, most: int, head_seconds: float = HEAD_SECONDS) -> None:
        self.most, self.head_seconds = most, head_seconds
        self.waiting: dict[GuardedProtocol, Wait] = {}

    def protocol(self) -> Any:
        """What uvicorn's Config takes as `http`."""
        return partial(GuardedProtocol, guard=self)

    def make_room(self, opened: set[Any]) -> None:
        """Closes the connection that has waited longest; while all others are being served that is the newest one."""
        while len(opened) > self.most and self.waiting:
            oldest, wait = next(iter(self.waiting.items()))
            if clock.ticks() - wait.since < _GRACE_SECONDS and len(opened) <= _RUSH * self.most:
                break
            opened.discard(oldest)
            oldest.abort()
            message = "more than %d connections: the one that waited longest was closed"
            log.warning(message, self.most, extra={"event": "http_full", "limit": self.most})

    def forget(self, connection: GuardedProtocol) -> None:
        wait = self.waiting.pop(connection, None)
        if wait and wait.timer:
            wait.timer.cancel()


class GuardedProtocol(H11Protocol):
    """One connection. It waits for its client until the head of a request is complete, while a body arrives, and between
    requests; the gate limits the time of a body, uvicorn that between requests."""

    def __init__(self, *given: Any, guard: Guard, **named: Any) -> None:
        super().__init__(*given, **named)
        self._guard = guard

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._note()
        self._guard.make_room(self.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._note()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note()

    def send_400_response(self, msg: str) -> None:
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # malformed input after the response was begun
            self.abort()

    def abort(self) -> None:
        """Closes at once, without waiting for what is still to be written."""
        self._guard.forget(self)
        self.transport.abort()

    def _note(self) -> None:
        """Updates the list of waiting connections. The timer does not restart with each byte, or a slow head would never end."""
        state = self.conn.their_state
        if self.transport.is_closing() or state not in (h11.IDLE, h11.SEND_BODY):
            self._guard.forget(self)
            return
        in_body = state is h11.SEND_BODY and not self.cycle.response_complete
        between = state is h11.IDLE and self.timeout_keep_alive_task is not None
        wait = self._guard.waiting.get(self) or Wait(clock.ticks())
        if in_body or between:
            if wait.timer:
                wait.timer.cancel()
            wait = Wait(wait.since)
        elif wait.timer is None:
            wait = Wait(wait.since, self.loop.call_later(self._guard.head_seconds, self.abort))
        self._guard.waiting[self] = wait


def most_connections(requested: int) -> int:
    """The requested number, limited by the files the process may open: 1,024 on most systems, of which it needs some itself."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return requested
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _RUSH * requested + _RESERVED_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(requested, (soft - _RESERVED_FILES) // _RUSH))
