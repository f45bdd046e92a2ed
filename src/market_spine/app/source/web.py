"""HTTP with rate limit, retries, timeouts and size limit, in one session; another thread can end it."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.util.retry import Retry

from market_spine import __version__, clock
from market_spine.app.source.sockets import Adapter, Sockets
from market_spine.categories import Category
from market_spine.errors import SourceError

_log = logging.getLogger(__name__)

TRY_LATER = (429, 502, 503, 504)
_CHUNK = 1 << 16
_MB = 1 << 20


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """How long we wait and how often we send requests. Times are seconds."""

    timeout: float = 60.0  # without a byte
    whole: float = 600.0  # for one request, whatever it takes: redirects, retries, headers, body
    retries: int = 5
    backoff: float = 0.5  # before the second retry; doubles from there
    longest_wait: float = 120.0  # a Retry-After beyond this is a refusal
    per_second: float = 20.0  # FINRA's limit for one address


@dataclass(frozen=True, slots=True)
class Reply:
    """A response, read completely."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    url: str

    @property
    def kind(self) -> str:
        """The media type, in lower case, without parameters; '' when not given."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class Pace:
    """Lets requests through no faster than the limit."""

    def __init__(self, per_second: float, sockets: Sockets) -> None:
        self._gap = 1 / per_second
        self._next = 0.0
        self._sockets = sockets

    def wait(self) -> None:
        now = clock.ticks()
        if self._next > now:
            self._sockets.pause(min(self._next - now, self._gap))
            now = max(now, self._next)
        self._next = now + self._gap


class _Retries(Retry):
    """urllib3's Retry, paced like any request and ended like any; a Retry-After beyond `longest_wait` is an error."""

    pace: Pace
    sockets: Sockets
    longest_wait = 120.0

    def new(self, **changes: Any) -> _Retries:
        fresh = super().new(**changes)
        fresh.pace, fresh.sockets, fresh.longest_wait = self.pace, self.sockets, self.longest_wait
        return fresh

    def sleep(self, response: Any = None) -> None:
        wait = self.get_retry_after(response) if response is not None else None
        if wait is not None and wait > self.longest_wait:
            raise SourceError(
                Category.SOURCE_UNAVAILABLE, f"the source requests a pause of {wait:.0f} s", hint="run again after that time"
            )
        if self.sockets.ended or self.sockets.pause(wait or self.get_backoff_time()):
            raise _Ended
        self.pace.wait()


class _Ended(Exception):
    """The request's time is over, or the client was stopped."""


class Client:
    """One session. It keeps cookies and connections; it uses the environment's proxies, not its .netrc."""

    def __init__(self, limits: HttpLimits | None = None) -> None:
        self._limits = limits = limits or HttpLimits()
        self._sockets = Sockets()
        self._pace = Pace(limits.per_second, self._sockets)
        self._many, self._few = self._retries(limits.retries), self._retries(min(1, limits.retries))
        self._adapter = Adapter(self._sockets, max_retries=self._many)
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": f"market-spine/{__version__}", "Accept-Encoding": "gzip"})
        self._session.mount("https://", self._adapter)
        self._session.mount("http://", self._adapter)

    def send(
        self,
        method: str,
        url: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
        max_bytes: int = 64 * _MB,
        redirects: bool = True,
    ) -> Reply:
        """One request, its response read completely; repeated when the response is interrupted. `login` is for HTTP Basic.

        Raises SourceError SOURCE_UNAVAILABLE when retries or time are used up or the client was stopped, SOURCE_TOO_LARGE
        beyond `max_bytes`.
        """
        sending = partial(self._open, method, url, body, headers, login, redirects)
        with self._sockets.limit(self._limits.whole):
            try:
                reply = self._send(url, sending, max_bytes)
            except (SourceError, _Ended) as error:
                if self._sockets.ended:
                    raise self._over(url) from error
                raise
        if self._sockets.ended:  # a body without a length looks complete when its connection is shut down
            raise self._over(url)
        return reply

    def stop(self) -> None:
        """From another thread: ends the request under way, and refuses any other."""
        self._sockets.stop()

    def close(self) -> None:
        self._session.close()

    def _send(self, url: str, sending: Callable[[], requests.Response], max_bytes: int) -> Reply:
        for left in range(self._limits.retries, -1, -1):
            with sending() as response:
                try:
                    content = b"".join(self._read(response, max_bytes))
                    return Reply(response.status_code, response.headers, content, response.url)
                except requests.RequestException as error:
                    if not left or self._sockets.ended:
                        raise _unavailable(url, error) from error
            self._sockets.pause(self._limits.backoff * (2 ** (self._limits.retries - left)) * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")

    def _over(self, url: str) -> SourceError:
        stopped = self._sockets.stopped.is_set()
        why = "the request was stopped" if stopped else f"{host(url)} took more than {self._limits.whole:.0f} s"
        return SourceError(Category.SOURCE_UNAVAILABLE, why, hint="run again later")

    def _open(
        self,
        method: str,
        url: str,
        body: object,
        headers: Mapping[str, str] | None,
        login: tuple[str, str] | None,
        redirects: bool,
    ) -> requests.Response:
        self._pace.wait()
        try:
            response = self._session.request(
                method,
                url,
                json=body,
                headers=dict(headers or {}),
                auth=login or _no_login,
                timeout=(min(10.0, self._limits.timeout), self._limits.timeout),
                stream=True,
                allow_redirects=redirects,
            )
        except (requests.RequestException, SourceError) as error:
            self._adapter.max_retries = self._few
            raise error if isinstance(error, SourceError) else _unavailable(url, error) from error
        # After all retries have failed once, the partitions after this one do not wait as long again.
        self._adapter.max_retries = self._few if response.status_code in TRY_LATER else self._many
        return response

    def _read(self, response: requests.Response, max_bytes: int) -> Iterator[bytes]:
        size = 0
        for chunk in response.iter_content(_CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise SourceError(Category.SOURCE_TOO_LARGE, f"{host(response.url)} sent more than {max_bytes // _MB} MB")
            yield chunk

    def _retries(self, count: int) -> _Retries:
        retries = _Retries(
            total=count,
            status_forcelist=TRY_LATER,
            allowed_methods=None,  # our POSTs only query
            backoff_factor=self._limits.backoff,
            backoff_jitter=self._limits.backoff,
            raise_on_status=False,
            respect_retry_after_header=True,
        )
        retries.pace, retries.sockets, retries.longest_wait = self._pace, self._sockets, self._limits.longest_wait
        return retries


def host(url: str) -> str:
    """The host of a URL: safe to show in an error, without query string or login."""
    return urlsplit(url).hostname or url


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from reading ~/.netrc, whose login would replace our token."""
    return request


def _unavailable(url: str, error: Exception) -> SourceError:
    words = _words(error)[:200].rstrip(".") or type(error).__name__
    return SourceError(Category.SOURCE_UNAVAILABLE, f"cannot reach {host(url)}: {words}", hint="run again later")


def _words(error: object) -> str:
    """The innermost of nested errors, in one line."""
    while isinstance(error, BaseException):
        inner = getattr(error, "reason", None)
        error = inner if isinstance(inner, BaseException) else error.args[0] if error.args else ""
    return " ".join(str(error).split())
