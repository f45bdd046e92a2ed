"""/healthz: the process answers. /readyz: it could do its work."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from market_spine import clock, publication
from market_spine.errors import MarketSpineError
from market_spine.migrations import check_schema

router = APIRouter(tags=["health"])


_READY = {"status": "ready", "checks": {"database": "ok", "schema": "ok", "calendar": "ok"}}
_NOT_READY = {
    "status": "not ready",
    "checks": {"database": "there is no database spine.db", "schema": "unknown", "calendar": "ok"},
}


@router.get(
    "/healthz", summary="The process answers", responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}}
)
async def healthz() -> dict[str, str]:
    """Asks nothing else, and no thread either: it is what a balancer asks in a rush."""
    return {"status": "ok"}


@router.get(
    "/readyz", summary="Database, schema and calendar are usable",
    responses={
        200: {"content": {"application/json": {"example": _READY}}},
        503: {
            "description": "Not ready; what is wrong stands beside its name",
            "content": {"application/json": {"example": _NOT_READY}},
        },
    },
)  # fmt: skip
def readyz(request: Request, response: Response) -> dict[str, Any]:
    """`ok`, or what is wrong, for each."""
    checks = {"database": "ok", "schema": "ok", "calendar": "ok"}
    try:
        with request.app.state.connections.reading() as db:
            db.execute("SELECT 1").fetchone()
            checks["schema"] = _said(lambda: check_schema(db))
    except MarketSpineError as error:
        checks["database"], checks["schema"] = error.message, "unknown"
    checks["calendar"] = _said(lambda: publication.next_due(clock.market_date()))
    ready = set(checks.values()) == {"ok"}
    response.status_code = 200 if ready else 503
    return {"status": "ready" if ready else "not ready", "checks": checks}


def _said(check: Any) -> str:
    """`ok`, or the words of what the check raised."""
    try:
        check()
    except Exception as error:
        return getattr(error, "message", f"{type(error).__name__}: {error}")
    return "ok"
