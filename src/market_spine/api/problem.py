"""The one shape of every error: application/problem+json (RFC 9457), with the hint of the command line."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from market_spine.api.caching import NotModified
from market_spine.errors import (
    DatabaseError,
    DatabaseLocked,
    DatabaseLost,
    MarketSpineError,
    NotFound,
    Pruned,
    Superseded,
    UsageError,
)

log = logging.getLogger("market_spine.api")

MEDIA_TYPE = "application/problem+json"
CLIENT_GONE = 499  # nginx's status for it: logged, never received
_TITLES = {
    400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found", 405: "Method not allowed", 408: "Too slow",
    410: "Gone", 413: "Too large", 415: "Unsupported media type", 422: "Unprocessable", 429: "Too many requests",
    499: "Client has gone", 500: "Internal error", 503: "Unavailable",
}


class Problem(BaseModel):
    """An error, and what to do next."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["2025-12-22 is a Monday, not a Friday; that week ends on 2025-12-26"])
    hint: str | None = Field(default=None, examples=["use 2025-12-26"])
    errors: list[dict[str, Any]] | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": _TITLES[status], "content": {MEDIA_TYPE: {}}}
    for status in (400, 401, 403, 404, 408, 413, 415, 422, 429, 503)
}


class Refusal(Exception):
    """Raised for a request that gets a problem as its response."""

    def __init__(self, status: int, detail: str, *, hint: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.hint, self.headers = status, detail, hint, headers


def title_of(status: int) -> str:
    """What the status means."""
    return _TITLES.get(status, "Error")


def respond(
    status: int,
    detail: str,
    *,
    hint: str | None = None,
    errors: Sequence[Mapping[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response for an error."""
    body = {"type": "about:blank", "title": title_of(status), "status": status, "detail": detail}
    more = {"hint": hint, "errors": errors}
    body |= {name: value for name, value in more.items() if value is not None}
    return JSONResponse(body, status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Turns every exception into a problem."""
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(NotModified, _not_modified)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(MarketSpineError, _ours)
    app.add_exception_handler(Exception, _unexpected)


async def _refusal(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return respond(error.status, error.detail, hint=error.hint, headers=error.headers)


async def _not_modified(_request: Request, error: Exception) -> Response:
    assert isinstance(error, NotModified)
    return Response(status_code=304, headers=error.headers)


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return respond(error.status_code, str(error.detail), headers=error.headers)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [{"where": list(fault["loc"]), "message": fault["msg"]} for fault in error.errors()]
    detail = "; ".join(f"{'.'.join(map(str, fault['where']))}: {fault['message']}" for fault in errors[:3])
    return respond(422, detail[:500], hint="see /openapi.json", errors=jsonable_encoder(errors[:20]))


async def _ours(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MarketSpineError)
    return respond(status_of(error), error.message, hint=error.hint, headers=_later(error))


def status_of(error: MarketSpineError) -> int:
    """The status for an error of the program."""
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, (Pruned, Superseded)):
        return 410
    if isinstance(error, UsageError):
        return 422
    return 503 if isinstance(error, DatabaseError) else 500


def _later(error: MarketSpineError) -> dict[str, str]:
    return {"Retry-After": "5"} if isinstance(error, (DatabaseLocked, DatabaseLost)) else {}


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    method, path = request.method, request.url.path
    log.error("%s %s failed", method, path, exc_info=error, extra={"event": "http_crash", "method": method, "path": path})
    return respond(500, "internal error; the server's log has the traceback")
