"""/healthz: the process responds. /readyz: its database, schema and calendar are usable."""

from __future__ import annotations

from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response

from market_spine import clock
from market_spine.calendar import publication
from market_spine.db.migrations import check_schema
from market_spine.errors import MarketSpineError

router = APIRouter(tags=["health"])


_READY = {"status": "ready", "checks": {"database": "ok", "schema": "ok", "calendar": "ok"}}
_NOT_READY = {
    "status": "not ready",
    "checks": {"database": "there is no database spine.db", "schema": "unknown", "calendar": "ok"},
}


@router.get(
    "/healthz", summary="The process responds", responses={200: {"content": {"application/json": {"example": {"status": "ok"}}}}}
)
async def healthz() -> dict[str, str]:
    """Checks nothing else and uses no worker thread, so that it responds under load."""
    return {"status": "ok"}


@router.get(
    "/readyz", summary="Database, schema and calendar are usable",
    responses={
        200: {"content": {"application/json": {"example": _READY}}},
        503: {
            "description": "Not ready; each failed check has its message",
            "content": {"application/json": {"example": _NOT_READY}},
        },
    },
)
async def readyz(request: Request, response: Response) -> dict[str, Any]:
    """`ok` or an error message for each check; on a thread and a connection of its own, so that it responds under load."""
    checks = await to_thread.run_sync(_checks, request, limiter=_limiter(request))
    ready = set(checks.values()) == {"ok"}
    response.status_code = 200 if ready else 503
    return {"status": "ready" if ready else "not ready", "checks": checks}


def _limiter(request: Request) -> CapacityLimiter:
    """Made in the event loop that uses it."""
    state = request.app.state
    if not hasattr(state, "probes"):
        state.probes = CapacityLimiter(1)
    limiter: CapacityLimiter = state.probes
    return limiter


def _checks(request: Request) -> dict[str, str]:
    checks = {"database": "ok", "schema": "ok", "calendar": "ok"}
    try:
        with request.app.state.connections.probing() as db:
            db.execute("SELECT 1").fetchone()
            checks["schema"] = _result(lambda: check_schema(db))
    except MarketSpineError as error:
        checks["database"], checks["schema"] = error.message, "unknown"
    checks["calendar"] = _result(lambda: publication.next_due(clock.market_date()))
    return checks


def _result(check: Any) -> str:
    """`ok`, or the message of what the check raised."""
    try:
        check()
    except Exception as error:
        return getattr(error, "message", f"{type(error).__name__}: {error}")
    return "ok"
