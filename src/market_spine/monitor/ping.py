"""The dead-man switch: a ping at the start of a run, one at its end; when they stop, the other side alerts.

The addresses follow healthchecks.io: URL/start, URL, URL/fail, the summary as the body,
and a run id that belongs to all pings of one run.
"""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from market_spine import clock, config
from market_spine.errors import ConfigurationError

SECONDS = 10.0
_TRIES = 3
_BODY_BYTES = 100_000
_SUFFIX = {"start": "/start", "success": "", "fail": "/fail"}


def check(url: str) -> str:
    """Returns `url`. Raises ConfigurationError for anything but http and https."""
    parts = config.address(url, "--ping-url")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigurationError("--ping-url is not an http or https address", hint="copy it from your check's page")
    return url


def address(url: str, event: str, run_id: str) -> str:
    """The URL for `event` (start, success, fail); the run id becomes the UUID that healthchecks.io wants."""
    parts = urlsplit(url)
    rid = f"rid={uuid.uuid5(uuid.NAMESPACE_URL, run_id)}" if run_id else ""
    query = "&".join(part for part in (parts.query, rid) if part)
    return parts._replace(path=parts.path.rstrip("/") + _SUFFIX[event], query=query).geturl()


def send(url: str, event: str, run_id: str, body: str = "", *, seconds: float = SECONDS, tries: int = _TRIES) -> None:
    """Sends the ping, in up to `tries` attempts. Raises OSError when none succeeded."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    content = body.encode()[:_BODY_BYTES]
    headers = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "market-spine"}
    request = Request(address(check(url), event, run_id), data=content, headers=headers, method="POST")
    for left in reversed(range(tries)):
        try:
            with urlopen(request, timeout=seconds):
                return
        except HTTPError as error:
            if (error.code < 500 and error.code != 429) or not left:
                raise OSError(f"HTTP {error.code} {error.reason}") from error
        except OSError:
            if not left:
                raise
        clock.pause(1)
