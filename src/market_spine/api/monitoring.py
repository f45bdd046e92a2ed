"""/metrics: Prometheus metrics, read from the database at each request."""

from __future__ import annotations

from importlib.util import find_spec

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, Response

from market_spine import clock
from market_spine.api.auth import may_read
from market_spine.api.problem import Refusal
from market_spine.monitor import metrics

router = APIRouter(tags=["health"], dependencies=[Depends(may_read)])


@router.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse)
def exposition(request: Request) -> Response:
    """Prometheus text format. Where tokens are required, give Prometheus one with the scope read."""
    if find_spec(metrics.PACKAGE) is None:
        raise Refusal(503, f"{metrics.PACKAGE} is not installed", hint="pip install 'market-spine[metrics]'")
    with request.app.state.connections.reading() as db:
        state = request.app.state
        text = metrics.exposition(db, clock.utc_now(), state.deadline, calendar=state.calendar, grace_days=state.grace_days)
    return Response(text, media_type=metrics.CONTENT_TYPE)
