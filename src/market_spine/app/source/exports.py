"""FINRA's asynchronous requests: ask, poll, fetch a pre-signed link. For weeks too large to page through.

POST with `async` answers 202 and a Location; that answers 202 while pending and 200 with a `resultLink` when complete,
which is fetched without our token and dies two hours later. At most 100,000 rows a request.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from market_spine import clock
from market_spine.app.source.query import JSON, TEXT, Body, Endpoint, Row, read_table, refusal
from market_spine.categories import Category
from market_spine.errors import SourceError, Unproved

_log = logging.getLogger(__name__)

LARGEST_EXPORT = 100_000


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds between two looks (FINRA asks for at least 60) and until we give up; bytes of one result."""

    poll: float = 60.0
    give_up: float = 3600.0
    max_bytes: int = 1 << 29


def export(endpoint: Endpoint, dataset: str, body: Body, total: int, patience: Patience) -> Iterator[Row]:
    """Every row of a query, in as many requests as it takes. Raises SourceError."""
    for offset in range(0, total, LARGEST_EXPORT):
        part = {**body, "limit": LARGEST_EXPORT, "offset": offset, "delimiter": "|", "quoteValues": True}
        yield from _part(endpoint, dataset, part, patience)


def _part(endpoint: Endpoint, dataset: str, body: Body, patience: Patience) -> Iterator[Row]:
    status_url = _submit(endpoint, dataset, body)
    _log.info("asynchronous request submitted, offset %s", body["offset"])
    link = _await_result(endpoint, status_url, patience)
    yield from read_table(endpoint.client.lines(link, max_bytes=patience.max_bytes))


def _submit(endpoint: Endpoint, dataset: str, body: Body) -> str:
    reply = endpoint.send("POST", endpoint.url(dataset), {**body, "async": True}, TEXT)
    if reply.status != 202:
        raise refusal(reply)
    place = reply.headers.get("Location", "")
    if _origin(place) != _origin(endpoint.base_url):  # our token goes there
        raise SourceError(Category.SOURCE_REFUSED, f"FINRA names a status page elsewhere: {_origin(place)}")
    return place


def _await_result(endpoint: Endpoint, url: str, patience: Patience) -> str:
    deadline = clock.ticks() + patience.give_up
    while True:
        reply = endpoint.send("GET", url, None, JSON)
        if reply.status not in (200, 202):
            raise refusal(reply)
        try:
            answer = json.loads(reply.content or b"{}")
        except ValueError as error:
            raise Unproved(Category.SOURCE_NOT_DATA, "the status of an asynchronous request is no JSON") from error
        link = answer.get("resultLink") if isinstance(answer, dict) else None
        if reply.status == 200 and link:
            return _checked(str(link), endpoint)
        if reply.status == 200:
            raise SourceError(Category.SOURCE_UNAVAILABLE, f"FINRA's asynchronous request ended as {answer.get('status')!r}")
        if clock.ticks() >= deadline:
            seconds = f"{patience.give_up:.0f} s"
            raise SourceError(Category.SOURCE_UNAVAILABLE, f"FINRA's asynchronous request is pending for {seconds}")
        clock.pause(patience.poll)


def _checked(link: str, endpoint: Endpoint) -> str:
    """A result link may lie on another host, but not be fetched less safely than FINRA itself."""
    if urlsplit(link).scheme not in ("https", urlsplit(endpoint.base_url).scheme):
        raise SourceError(Category.SOURCE_REFUSED, f"FINRA names a result link that is not https: {_origin(link)}")
    return link


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
