"""ETags: what is stored changes only with an event, an action or the begin of a run: until the next one, a response to the same
request is the same."""

from __future__ import annotations

import hashlib

from fastapi import Request, Response

from market_spine import __version__, clock
from market_spine.db import Database


class NotModified(Exception):
    """The client has this response already."""

    def __init__(self, tag: str) -> None:
        self.headers = headers_of(tag)


def headers_of(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "private, no-cache"}


def check(request: Request, response: Response, db: Database) -> dict[str, str]:
    """Gives the response its ETag, and returns the headers; raises NotModified when the client has sent the same one. The day
    counts, too: acknowledgements end with it."""
    written = db.execute(
        """
        SELECT (SELECT size FROM core_event_head), (SELECT MAX(id) FROM core_operator_actions),
               (SELECT MAX(started_at) FROM core_executions)
        """
    ).fetchone()
    facts = (tuple(written), __version__, clock.market_date(), request.url.path, request.url.query)
    tag = f'W/"{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"'
    if tag in (one.strip() for one in request.headers.get("if-none-match", "").split(",")):
        raise NotModified(tag)
    response.headers.update(headers_of(tag))
    return headers_of(tag)
