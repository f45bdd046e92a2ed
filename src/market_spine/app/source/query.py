"""FINRA's Query API: requests, login, and the meaning of its many kinds of response.

Facts and their sources: docs/finra-api.md. Zero rows come as 204, as `[]`, as a header alone or as a sentence; errors
come with 200; a page may be short before the end. Paging proves the result complete or raises Unproved.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from market_spine import clock
from market_spine.app.source.web import TRY_LATER, Client, Reply, host
from market_spine.categories import Category
from market_spine.errors import ConfigurationError, SourceError, Unproved

_log = logging.getLogger(__name__)

PAGE_ROWS = 5000  # Record-Max-Limit today; the value in a response is used from then on
LARGEST_PAGE = 20_000  # our own limit: a page is held in memory
LAST_OFFSET = 500_000
JSON, TEXT = "application/json", "text/plain"
_EARLY = 60.0  # a token is renewed this many seconds before it expires

Row = Mapping[str, Any]
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a query, with what FINRA reports about all of them."""

    rows: list[Row]
    total: int | None
    max_limit: int | None
    request_id: str | None


class Token:
    """A bearer token by OAuth2 client credentials, used until it expires."""

    def __init__(self, client: Client, url: str, client_id: str, secret: str) -> None:
        self._client, self._url = client, url
        self._login = (client_id, secret)
        self._value: str | None = None
        self._ends = 0.0
        self._refused: ConfigurationError | None = None

    def value(self) -> str:
        """The token, fetched when there is none or it is about to expire. Raises ConfigurationError when refused."""
        if self._refused:
            raise self._refused  # another attempt for every partition would lock the account
        if self._value is None or clock.ticks() >= self._ends:
            self._fetch()
        assert self._value is not None
        return self._value

    def drop(self) -> None:
        """Drops the token: FINRA rejects it as expired."""
        self._value = None

    def _fetch(self) -> None:
        url = f"{self._url}?grant_type=client_credentials"
        reply = self._client.send("POST", url, login=self._login, headers={"Accept": JSON})
        if reply.status in (400, 401, 403):
            reason = _json_object(reply).get("error_message", f"HTTP {reply.status}")
            self._refused = ConfigurationError(
                f"FINRA refuses the credential: {reason}",
                hint="check MARKET_SPINE_FINRA_CLIENT_ID and its secret; a secret ends after a year, a test one sooner",
            )
            raise self._refused
        if reply.status != 200:
            raise SourceError(Category.SOURCE_UNAVAILABLE, f"{host(self._url)} returned {reply.status} to a token request")
        grant = _json_object(reply)
        try:
            self._value, lasts = str(grant["access_token"]), float(grant.get("expires_in", 1800))
        except (KeyError, ValueError) as error:
            raise SourceError(Category.SOURCE_UNAVAILABLE, f"{host(self._url)} sent no usable token") from error
        self._ends = clock.ticks() + max(lasts - _EARLY, lasts / 2)
        _log.debug("token fetched from %s", host(self._url))


class Endpoint:
    """The datasets of FINRA's otcMarket group."""

    def __init__(self, client: Client, base_url: str, token: Token | None = None) -> None:
        self.client, self.base_url, self.token = client, base_url.rstrip("/"), token

    def url(self, dataset: str) -> str:
        return f"{self.base_url}/data/group/otcMarket/name/{dataset}"

    def ask(self, dataset: str, body: Body) -> Page:
        """One page. Raises SourceError; Unproved when the response is not data."""
        return page_of(self.send("POST", self.url(dataset), body, JSON))

    def send(self, method: str, url: str, body: Body | None, accept: str) -> Reply:
        """One request, with our token if we have one; it is renewed once when FINRA rejects it as expired."""
        reply = self._send(method, url, body, accept)
        if reply.status == 401 and self.token:
            self.token.drop()
            reply = self._send(method, url, body, accept)
        return reply

    def _send(self, method: str, url: str, body: Body | None, accept: str) -> Reply:
        headers = {"Accept": accept}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token.value()}"
        return self.client.send(method, url, body=body, headers=headers)

    def pages(self, dataset: str, body: Body) -> Iterator[Page]:
        """Every page of a query, advancing by the rows received, until Record-Total; raises Unproved if they do not add up."""
        page = self.ask(dataset, {**body, "limit": PAGE_ROWS, "offset": 0})
        total, got = page.total, len(page.rows)
        if not page.rows and not total:
            return
        if total is None:
            raise Unproved(Category.SOURCE_INCOMPLETE, "FINRA did not report how many rows there are (Record-Total)")
        if total > LAST_OFFSET + PAGE_ROWS:
            most = LAST_OFFSET + PAGE_ROWS
            raise SourceError(Category.SOURCE_TOO_LARGE, f"{total:,} rows; FINRA returns only the first {most:,}")
        yield page
        while got < total:
            limit = max(1, min(page.max_limit or PAGE_ROWS, LARGEST_PAGE))
            page = self.ask(dataset, {**body, "limit": limit, "offset": got})
            if page.total != total:
                changed = f"the number of rows changed from {total} to {page.total} while paging"
                raise Unproved(Category.SOURCE_INCOMPLETE, changed)
            if not page.rows:
                raise Unproved(Category.SOURCE_INCOMPLETE, f"FINRA sent {got:,} of {total:,} rows")
            got += len(page.rows)
            yield page
        if got != total:
            raise Unproved(Category.SOURCE_INCOMPLETE, f"FINRA sent {got:,} rows and counted {total:,}")


def equal(field: str, value: str) -> Body:
    return {"compareType": "EQUAL", "fieldName": field, "fieldValue": value}


def compare(kind: str, field: str, day: date) -> Body:
    return {"compareType": kind, "fieldName": field, "fieldValue": day.isoformat()}


def page_of(reply: Reply) -> Page:
    """The page in a response. Raises SourceError, Unproved."""
    if reply.status == 204:
        return Page([], 0, None, None)
    if reply.status != 200:
        raise refusal(reply)
    rows = _rows(reply)
    on_page = _number(reply, "Total-Records-On-Page")
    if on_page is not None and on_page != len(rows):
        raise Unproved(Category.SOURCE_INCOMPLETE, f"a page of {on_page} rows arrived with {len(rows)}")
    total = _number(reply, "Record-Total")
    request_id = reply.headers.get("FINRA-api-request-id")
    return Page(rows, total, _number(reply, "Record-Max-Limit"), request_id)


def refusal(reply: Reply) -> SourceError:
    """The error for a response other than 200."""
    name, status = host(reply.url), reply.status
    message = " ".join(str(_json_object(reply).get("message", "")).split())[:300]
    refused = f"{name} refuses the request ({status}){': ' if message else ''}{message}"
    if status in (401, 403):
        return SourceError(
            Category.SOURCE_UNAUTHORIZED,
            refused,
            hint="set MARKET_SPINE_FINRA_CLIENT_ID and MARKET_SPINE_FINRA_CLIENT_SECRET_FILE",
        )
    if status in TRY_LATER or status >= 500:
        return SourceError(Category.SOURCE_UNAVAILABLE, f"{name} returned {status}, after retries", hint="run again later")
    return SourceError(Category.SOURCE_REFUSED, refused)


def read_table(lines: Iterable[str]) -> Iterator[Row]:
    """Rows of delimited text, quoted or not, by header name. Raises Unproved when there is no FINRA header."""
    lines = iter(lines)
    header = next(lines, "")
    quoted = header.startswith('"')
    delimiter = next((mark for mark in ("|", "\t", "\x01", ",") if mark in header), "|")
    names = [name.strip('"') for name in header.split(delimiter)]
    if "weekStartDate" not in names:
        raise Unproved(Category.SOURCE_NOT_DATA, f"the text does not begin with FINRA's header but with {header[:60]!r}")
    for values in csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE):
        if len(values) != len(names):
            raise Unproved(Category.SOURCE_INCOMPLETE, f"a line has {len(values)} values instead of {len(names)}")
        yield dict(zip(names, values, strict=True))


def _rows(reply: Reply) -> list[Row]:
    if reply.kind in (TEXT, "text/csv"):
        return list(read_table(reply.content.decode("utf-8-sig", "replace").splitlines()))
    if reply.kind not in (JSON, ""):
        raise Unproved(Category.SOURCE_NOT_DATA, f"{host(reply.url)} returned 200 with {reply.kind}, not data")
    try:
        document = json.loads(reply.content, parse_float=Decimal)
    except ValueError as error:
        raise Unproved(Category.SOURCE_INCOMPLETE, f"{host(reply.url)} sent truncated JSON: {error}") from error
    if isinstance(document, list):
        return document
    return _no_rows(document, reply)


def _no_rows(document: object, reply: Reply) -> list[Row]:
    """JSON that is not a list: FINRA's older way to report zero rows, or an error with status 200."""
    facts = document if isinstance(document, dict) else {"message": document}
    words = str(facts.get("message", ""))
    if words.startswith("No data found"):  # the sentence is the only mark of this response
        return []
    status = facts.get("statusCode", reply.status)
    raise Unproved(
        Category.SOURCE_NOT_DATA,
        f"{host(reply.url)} returned 200 with an error inside ({status}){': ' if words else ''}{words[:200]}",
    )


def _json_object(reply: Reply) -> Row:
    try:
        document = json.loads(reply.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _number(reply: Reply, header: str) -> int | None:
    text = reply.headers.get(header, "")
    return int(text) if text.isdigit() else None
