"""Before any route: the Host header, the rate, the token, the content type, the size of the body and its time. Plain ASGI:
nothing is parsed, and no body is read before its token has been checked."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from market_spine import clock
from market_spine.api import auth, problem
from market_spine.api.problem import CLIENT_GONE, Refusal
from market_spine.log import printable

log = logging.getLogger("market_spine.api")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_BODY_SECONDS = 30.0
_LONGEST_PATH = 200  # in the log
_CLIENTS_REMEMBERED = 4096
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
_BODILESS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a request. `hosts`: the accepted Host headers, exactly; `rate`: requests per second and address."""

    hosts: frozenset[str]
    body_bytes: int = 1 << 20
    rate: float = 200.0
    burst: float = 400.0
    body_seconds: float = _BODY_SECONDS


class Buckets:
    """A token bucket for each address; the addresses seen longest ago are forgotten."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, now: float) -> float:
        """0 when the request may pass; else the seconds until one may."""
        left, at = self._seen.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        passes = left >= 1
        self._seen[address] = (left - 1 if passes else left, now)
        if len(self._seen) > _CLIENTS_REMEMBERED:
            self._seen.popitem(last=False)
        return 0.0 if passes else (1 - left) / self._rate


class Gate:
    """The outermost application."""

    def __init__(self, app: App, limits: Limits, tokens: auth.Tokens | None = None) -> None:
        self._app, self._limits, self._tokens = app, limits, tokens
        self._buckets = Buckets(limits.rate, limits.burst)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, path = clock.ticks(), 0, printable(scope["path"], _LONGEST_PATH)

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(header for header in _HEADERS if header[0] not in given)]
            await send(message)

        try:
            await self._app(scope, await self._let_in(scope, receive), send_on)
        except Refusal as refusal:
            status = refusal.status  # logged even when the client has gone
            response = problem.respond(refusal.status, refusal.detail, hint=refusal.hint, headers=refusal.headers)
            await response(scope, receive, send_on)
        finally:
            facts = {"event": "http", "method": scope["method"], "path": path, "status": status}
            log.info("%s %s %s", scope["method"], path, status, extra=facts | {"ms": _milliseconds(began)})

    async def _let_in(self, scope: Message, receive: Receive) -> Receive:
        """Checks the request; returns the callable that receives its body. Raises Refusal."""
        headers = scope["headers"]
        self._check_host([value for name, value in headers if name == b"host"])
        self._check_rate(str((scope.get("client") or ("?",))[0]))
        if scope["method"] in _BODILESS:
            return receive
        auth.admit(self._tokens, auth.bearer(headers), auth.OPERATE)  # every other method changes something
        self._check_type(next((value for name, value in headers if name == b"content-type"), b""))
        try:
            body = await asyncio.wait_for(self._body(headers, receive), self._limits.body_seconds)
        except asyncio.TimeoutError:
            detail = f"the body was incomplete after {self._limits.body_seconds:g} seconds"
            raise Refusal(408, detail, hint="send it again", headers={"Connection": "close"}) from None
        return _replay(body, receive)

    def _check_host(self, given: list[bytes]) -> None:
        if len(given) != 1 or given[0].decode("latin-1").lower() not in self._limits.hosts:
            raise Refusal(400, "the Host header is not a host of this server", hint="allow it: spine serve --allow-host NAME")

    def _check_rate(self, address: str) -> None:
        wait = self._buckets.take(address, clock.ticks())
        if wait:
            raise Refusal(429, "too many requests from this address", headers={"Retry-After": str(max(1, round(wait)))})

    @staticmethod
    def _check_type(given: bytes) -> None:
        if given.split(b";")[0].strip().lower() != b"application/json":
            raise Refusal(415, "the body must be JSON", hint="send: Content-Type: application/json")

    async def _body(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes:
        limit, body = self._limits.body_bytes, bytearray()
        length = next((value for name, value in headers if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > limit:
            raise _too_large(limit)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(CLIENT_GONE, "the client disconnected before its body was complete: nothing was changed")
            body += message.get("body", b"")
            if len(body) > limit:
                raise _too_large(limit)
            if not message.get("more_body"):
                return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Replays the body that was read, then passes on what follows it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the body is larger than {limit:,} bytes", hint="send it in several requests")


def _milliseconds(began: float) -> float:
    return round((clock.ticks() - began) * 1000, 2)
