"""Webhooks: each event of the log is sent to every subscriber, in order and at least once, signed as Standard Webhooks specifies.

The signature (https://www.standardwebhooks.com) is HMAC-SHA256 over `id.timestamp.body`. The id of an event never changes, so a
subscriber that has seen an id drops the second one. An attempt that fails is repeated after the delays below, and holds back what
comes after it; after the last one the event is a dead letter, which `spine status` shows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from market_spine import clock
from market_spine.config import address as parsed
from market_spine.core import events, webhooks
from market_spine.core.webhooks import Endpoint
from market_spine.db import Database
from market_spine.errors import ConfigurationError
from market_spine.query import changes

SECRET = "MARKET_SPINE_WEBHOOK_SECRET"
PREFIX = "whsec_"
SECONDS = 10.0  # of one request
RUN_SECONDS = 60.0  # of one subscriber at the end of a run; the rest is sent by the next one
_PAGE = 50
_LEAST_BYTES, _MOST_BYTES = 24, 64  # of a secret, by the specification
# The delays that the specification suggests: the tenth attempt is the last, three days after the first.
DELAYS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)


def check(url: str) -> str:
    """Returns `url`. Raises ConfigurationError for anything but http and https."""
    parts = parsed(url, "--webhook")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigurationError("--webhook is not an http or https address", hint="--webhook https://example.com/market-spine")
    return url


def secrets_of(text: str) -> list[bytes]:
    """The signing keys, comma-separated: the present one, and the one it replaces as long as a subscriber still uses that.

    Raises ConfigurationError.
    """
    try:
        keys = [base64.b64decode(one.strip().removeprefix(PREFIX), validate=True) for one in text.split(",") if one.strip()]
    except ValueError:
        keys = [b""]
    if not keys or not all(_LEAST_BYTES <= len(key) <= _MOST_BYTES for key in keys):
        what = "is not a webhook secret" if keys else "is not set"
        raise ConfigurationError(f"{SECRET} {what}: whsec_ and 24 to 64 bytes in base64", hint="spine webhooks secret")
    return keys


def identify(url: str) -> str:
    """Identifies a URL without revealing it."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def shown(url: str) -> str:
    """A URL as it may be kept and printed: its path may hold a secret."""
    parts = parsed(url, "--webhook")
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}/…"


def retry_at(attempts: int, now: datetime) -> datetime | None:
    """When an event is tried again after that number of attempts; None when it is given up."""
    return now + DELAYS[attempts - 1] if attempts <= len(DELAYS) else None


def signed(message_id: str, moment: datetime, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """The three headers of a message."""
    seconds = str(int(moment.timestamp()))
    content = f"{message_id}.{seconds}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)
    return {
        "webhook-id": message_id, "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


class Sender:
    """Sends the log of a database to one subscriber."""

    def __init__(self, db: Database, url: str, keys: Sequence[bytes], now: datetime) -> None:
        self._db, self._url, self._keys, self._now = db, check(url), keys, now
        first = next(events.lines(db, 0, 1), None)
        self._store = first.leaf.hex()[:16] if first else ""

    def catch_up(self, *, at_once: bool = False, seconds: float = RUN_SECONDS) -> str | None:
        """Sends what the subscriber has not got yet; returns what went wrong. Before its next attempt is due nothing is sent,
        unless `at_once`."""
        subscriber = webhooks.subscribe(self._db, identify(self._url), shown(self._url), self._now)
        if subscriber.next_try_at and datetime.fromisoformat(subscriber.next_try_at) > self._now and not at_once:
            return None
        cursor, attempts, ends = subscriber.cursor, subscriber.attempts, clock.ticks() + seconds
        while entries := changes.since(self._db, cursor, _PAGE):
            reached, error = self._send_page(entries)
            if reached > cursor:
                webhooks.delivered(self._db, subscriber.endpoint, reached, self._now)
                cursor, attempts = reached, 0
            if error is not None:
                attempts += 1
                if not self._given_up(subscriber, cursor + 1, attempts, error):
                    return f"event {cursor + 1} could not be sent to {subscriber.address}: {error}"
                cursor, attempts = cursor + 1, 0
            if clock.ticks() > ends:
                return f"{subscriber.address} has been sent the events up to {cursor}, and more wait: spine webhooks send"
        return None

    def resend(self) -> tuple[int, str | None]:
        """Sends the dead letters again; returns how many were accepted, and what went wrong."""
        accepted = 0
        for letter in webhooks.dead_letters(self._db):
            if letter.endpoint == identify(self._url):
                _, error = self._send_page(changes.since(self._db, letter.seq - 1, 1))
                if error is not None:
                    return accepted, f"event {letter.seq} could not be sent to {letter.address}: {error}"
                webhooks.accepted_late(self._db, letter.endpoint, letter.seq)
                accepted += 1
        return accepted, None

    def _given_up(self, subscriber: Endpoint, seq: int, attempts: int, error: str) -> bool:
        due = retry_at(attempts, self._now)
        if due is None:
            webhooks.give_up(self._db, subscriber.endpoint, seq, error, self._now)
        else:
            webhooks.failed(self._db, subscriber.endpoint, error, due, self._now)
        return due is None

    def _send_page(self, entries: Sequence[Mapping[str, Any]]) -> tuple[int, str | None]:
        """Sends these events in order, until one fails; returns the last that was accepted, and the error."""
        reached = int(entries[0]["seq"]) - 1
        for entry in entries:
            try:
                self._post(entry)
            except OSError as error:
                return reached, " ".join(str(error).split())[:200]
            reached = int(entry["seq"])
        return reached, None

    def _post(self, entry: Mapping[str, Any]) -> None:
        """One message. Raises OSError when it was not accepted with a 2xx; a redirect is not followed."""
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import HTTPRedirectHandler, Request, build_opener

        class NoRedirect(HTTPRedirectHandler):
            def redirect_request(self, *_: object) -> None:
                return None

        message = {"type": entry["kind"], "timestamp": entry["at"], "data": entry}
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "market-spine"}
        headers |= signed(f"{self._store}.{entry['seq']}", clock.utc_now(), body, self._keys)
        request = Request(self._url, data=body, headers=headers, method="POST")
        try:
            with build_opener(NoRedirect).open(request, timeout=SECONDS):
                return
        except HTTPError as error:
            raise OSError(f"HTTP {error.code} {error.reason}") from error
        except HTTPException as error:  # what came back is not HTTP
            raise OSError(f"{type(error).__name__} {error}") from error
