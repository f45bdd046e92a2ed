"""/api/v1/work: the work queue."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import from_thread
from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from market_spine.api.auth import Caller, may_operate, may_read
from market_spine.api.models import (
    ITEMS_AT_ONCE,
    CancelBody,
    Friday,
    ItemId,
    Limit,
    Offset,
    PipelineName,
    RetryBody,
    Word,
    WorkRequest,
)
from market_spine.api.problem import CLIENT_GONE, Refusal
from market_spine.categories import Category
from market_spine.partition import DOMAIN
from market_spine.work import queue
from market_spine.work.item import Answer, State
from market_spine.work.queue import OPEN, Filter

router = APIRouter(prefix="/api/v1/work", tags=["work"])

Reader = Annotated[Caller, Depends(may_read)]
Operator = Annotated[Caller, Depends(may_operate)]
_ITEM = {
    "id": 123, "domain": DOMAIN, "pipeline": "ingest_week", "partition_key": {"week_ending": "2025-12-26", "tier": "OTC"},
    "desired_at": "2026-01-26T15:00:00+00:00", "priority": 0, "state": "FAILED", "attempt_count": 3, "max_attempts": 3,
    "last_error": f"{Category.SOURCE_UNAVAILABLE}: HTTP 503", "last_error_at": "2026-01-26T15:20:04+00:00", "params": {},
}


def _refuse_if_gone(request: Request) -> None:
    """Raises Refusal when the client went away while its request waited for its turn to write."""
    if from_thread.run(request.is_disconnected):
        raise Refusal(CLIENT_GONE, "the client disconnected: nothing was changed")


def _example(document: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": document}}}}


_ENQUEUED = _example({"items": [{"outcome": "created", "item": {**_ITEM, "state": "PENDING", "attempt_count": 0}}]})


@router.post("/enqueue", summary="Enqueue one item, or a list", responses={**_ENQUEUED, 201: _ENQUEUED[200]})
def enqueue(
    request: Request,
    response: Response,
    _caller: Operator,
    body: Annotated[WorkRequest | Annotated[list[WorkRequest], Body(min_length=1, max_length=ITEMS_AT_ONCE)], Body()],
) -> dict[str, Any]:
    """One pipeline of one partition each. `created`; `existing`: open, unchanged; `reported`: ended, unchanged; `reset`: ended
    and started again because the request has `"rerun": true`. Status 201 when anything was created or reset."""
    requests = [item for one in (body if isinstance(body, list) else [body]) for item in one.as_requests()]
    with request.app.state.connections.writing() as db:
        _refuse_if_gone(request)
        enqueued = queue.enqueue(db, requests, db.now())
    if any(one.answer in (Answer.CREATED, Answer.RESET) for one in enqueued):
        response.status_code = 201
    return {"items": [{"outcome": one.answer.value, "item": one.item.as_document()} for one in enqueued]}


@router.get(
    "/pending", summary="List items", responses=_example({"failed": [_ITEM], "page": {"total": 1, "limit": 100, "offset": 0}})
)
def pending(
    request: Request,
    _caller: Reader,
    state: Annotated[State | None, Query(description="One state; else those still to be done.")] = None,
    domain: Word | None = None,
    pipeline: PipelineName | None = None,
    week: Friday | None = None,
    sort: Annotated[
        str, Query(pattern="^(due|newest)$", description="due: in the order they are claimed; newest: last change first")
    ] = "due",
    limit: Limit = 100,
    offset: Offset = 0,
) -> dict[str, Any]:
    """Items under the name of the requested state, `pending` by default."""
    which = Filter((state,) if state else OPEN, domain, pipeline.value if pipeline else None, (str(week),) if week else ())
    with request.app.state.connections.reading() as db:
        page = queue.listed(db, which, newest=sort == "newest", limit=limit, offset=offset)
    name = state.value.lower() if state else "pending"
    return {
        name: [item.as_document() for item in page.items],
        "page": {"total": page.total, "limit": limit, "offset": offset},
    }


@router.post("/retry", summary="Make items due now", responses=_example({"retried": [_ITEM], "unchanged": []}))
def retry(request: Request, caller: Operator, body: RetryBody) -> dict[str, Any]:
    """By id: FAILED, CANCELLED and waiting items; by domain: its FAILED ones. Their attempts start again at 0."""
    if not body.named and body.domain is None:
        raise Refusal(422, "no items to retry", hint='send "ids", "work_item_id" or "domain"')
    with request.app.state.connections.writing() as db:
        _refuse_if_gone(request)
        ids = [*body.named, *(queue.failed_of(db, body.domain) if body.domain else [])]
        done = queue.retry(db, ids, db.now(), body.reason, caller.name)
    return {"retried": [i.as_document() for i in done.changed], "unchanged": [i.as_document() for i in done.unchanged]}


@router.post("/cancel", summary="Cancel items that have not ended", responses=_example({"cancelled": [_ITEM], "unchanged": []}))
def cancel(request: Request, caller: Operator, body: CancelBody) -> dict[str, Any]:
    """What a worker has written for a running item is rolled back."""
    if not body.named:
        raise Refusal(422, "no items to cancel", hint='send "ids" or "work_item_id"')
    with request.app.state.connections.writing() as db:
        _refuse_if_gone(request)
        done = queue.cancel(db, body.named, db.now(), body.reason, caller.name)
    return {"cancelled": [i.as_document() for i in done.changed], "unchanged": [i.as_document() for i in done.unchanged]}


@router.get("/{item_id}", summary="Show one item", responses=_example({"item": _ITEM}))
def show(request: Request, _caller: Reader, item_id: Annotated[ItemId, Path()]) -> dict[str, Any]:
    """The item with its state, attempts and last error."""
    with request.app.state.connections.reading() as db:
        return {"item": queue.find(db, item_id).as_document()}
