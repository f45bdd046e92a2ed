"""The routes of the pages: GET only, each at a fixed path, as HTML, CSV or JSON, now or as of a day."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from starlette.exceptions import HTTPException

from market_spine import clock
from market_spine.api import app as api
from market_spine.api import caching, problem
from market_spine.api.app import Serving
from market_spine.api.gate import App
from market_spine.api.models import Day, Friday, Tier
from market_spine.api.problem import Refusal
from market_spine.app.context import Expectations
from market_spine.core.anomalies import SEVERITIES
from market_spine.db import redact
from market_spine.errors import MarketSpineError
from market_spine.page import access, render
from market_spine.page.kept import Kept, Written
from market_spine.page.kept_weeks import KeptWeeks
from market_spine.page.looking import Look, looking
from market_spine.page.parts import Page
from market_spine.page.render import Frame
from market_spine.page.site import ASSETS, Served, content_of, hashed
from market_spine.page.views import diff, measures, overview, weeks, work
from market_spine.partition import NMS_TIER_1, Partition

_FOREVER = "public, max-age=31536000, immutable"
_TYPES = {
    "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml",
    "html": "text/html; charset=utf-8", "csv": "text/csv; charset=utf-8", "json": "application/json",
}
_DEEPEST = 1_000_000
_FIRST_TIER = Tier(NMS_TIER_1)

Format = Enum("Format", {"html": "html", "csv": "csv", "json": "json"}, type=str)
Severity = Enum("Severity", {name: name for name in SEVERITIES}, type=str)  # type: ignore[misc]
OptionalDay = Annotated[Day | None, BeforeValidator(lambda given: given or None)]  # a form sends an empty one
Name = Annotated[str, Path(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Offset = Annotated[int, Query(ge=0, le=_DEEPEST)]


@dataclass(frozen=True, slots=True)
class Display:
    """How pages are shown: how a command is typed for this database; a demonstration has a day of its own, and says so."""

    typed: Callable[[str], str] = str
    day: date | None = None
    demo: str = ""


class Asked:
    """What every page takes: the day it is seen as of, and another format than HTML, of one table."""

    def __init__(
        self,
        request: Request,
        as_of: Annotated[OptionalDay, Query(description="As known at the end of that day in New York.")] = None,
        format: Annotated[Format, Query(description="CSV is of one table.")] = Format.html,
        table: Annotated[str | None, Query(max_length=40, pattern="^[a-z0-9_]+$")] = None,
    ) -> None:
        self.request, self.as_of, self.format, self.table = request, as_of, format, table

    def answer(self, view: Callable[[Look], Page], *, tagged: bool = True) -> Response:
        """The page that a view makes; `tagged` unless it shows what changes without an event."""
        state = self.request.app.state
        now, day = _present(state.display)
        expected = Expectations(state.calendar, state.grace_days)
        with state.connections.reading() as db:
            headers = caching.check(self.request, Response(), db) if tagged else {"Cache-Control": "no-store"}
            tag = headers.get("ETag", "")
            kept: Written | None = state.kept.get(tag)
            if kept is None:
                with looking(db, day, now, self.as_of, expected, state.weeks) as look:
                    kept = Written(self._text(view(look), look).encode(), access.HEADERS | headers | self._own_headers())
                if tag:
                    state.kept.put(tag, kept)
        return kept.response()

    def _text(self, page: Page, look: Look) -> str:
        if self.format is Format.csv:
            return render.as_csv(page, self.table)
        if self.format is Format.json:
            return render.as_json(page, self.table, look)
        return render.html(page, frame_of(self.request, self.as_of))

    def _own_headers(self) -> dict[str, str]:
        """The type of the response; a browser stores CSV under the name of its page."""
        headers = {"Content-Type": _TYPES[self.format.value]}
        if self.format is Format.csv:
            name = re.sub("[^A-Za-z0-9.-]+", "_", f"{self.request.url.path.strip('/') or 'overview'}.{self.table or 'csv'}")
            headers["Content-Disposition"] = f'attachment; filename="{name.removesuffix(".csv")}.csv"'
        return headers


Question = Annotated[Asked, Depends()]


def _present(display: Display) -> tuple[datetime, date]:
    if display.day is not None:
        return clock.moment_of(display.day), display.day
    now = clock.utc_now()
    return now, clock.market_date(now)


def frame_of(request: Request, as_of: date | None = None) -> Frame:
    """What surrounds the pages of this server."""
    state = request.app.state
    return Frame(Served(as_of), redact(state.connections.target), as_of, state.display.demo, state.display.typed)


class _PageRoute(APIRoute):
    """A route whose errors are pages, too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except (Refusal, MarketSpineError, RequestValidationError) as error:
                return _error_page(request, error)

        return handle


def _error_page(request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        faults = [f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors()]
        return error_page(request, 422, "; ".join(faults[:3])[:500])
    if isinstance(error, Refusal):
        return error_page(request, error.status, error.detail, error.hint, dict(error.headers or {}))
    assert isinstance(error, MarketSpineError)
    return error_page(request, problem.status_of(error), error.message, error.hint)


def error_page(
    request: Request, status: int, detail: str, hint: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """A page that says what is wrong; of the database not even its name, since nobody may have been let in."""
    frame = replace(frame_of(request), database="")
    content = render.error(status, problem.title_of(status), detail, hint, frame)
    return HTMLResponse(content, status, headers=access.HEADERS | {"Cache-Control": "no-store"} | (headers or {}))


router = APIRouter(
    tags=["pages"], route_class=_PageRoute, dependencies=[Depends(access.may_look)], default_response_class=HTMLResponse
)


@router.get("/", summary="What is to be known this morning")
def front(asked: Question) -> Any:
    """One sentence of state, what is open and what to type, the last weeks, and what comes next."""
    return asked.answer(overview.overview)


@router.get("/weeks", summary="The heat map of weeks and tiers")
def week_list(
    asked: Question,
    first: Annotated[OptionalDay, Query(alias="from")] = None,
    last: Annotated[OptionalDay, Query(alias="to")] = None,
) -> Any:
    """Every week since the first that is kept, or those from one day to another."""
    return asked.answer(lambda look: weeks.listed(look, first, last))


@router.get("/weeks/{week}", summary="One week")
def one_week(asked: Question, week: Friday) -> Any:
    """Its tiers side by side, its totals and its story."""
    return asked.answer(lambda look: weeks.week(look, week))


@router.get("/weeks/{week}/{tier}", summary="One week of one tier")
def one_partition(asked: Question, week: Friday, tier: Tier) -> Any:
    """Its captures as vintages, the verdicts of the gates, and what depends on it."""
    return asked.answer(lambda look: weeks.partition(look, Partition(week, tier.value)))


@router.get("/diff/{first}/{second}", summary="The difference of two captures")
def difference(asked: Question, first: Name, second: Name) -> Any:
    """Rows, venues and symbols that moved."""
    return asked.answer(lambda look: diff.difference(look, first, second))


@router.get("/venues", summary="The venues of a tier in a week")
def venue_list(asked: Question, tier: Tier = _FIRST_TIER, week: Annotated[Friday | None, Query()] = None) -> Any:
    """Share, rank, and means over the windows that are kept."""
    return asked.answer(lambda look: measures.venues(look, tier.value, week))


@router.get("/venues/{name:path}", summary="One venue over the weeks")
def one_venue(asked: Question, name: Name) -> Any:
    """By its MPID, else `CRD` and its number, else its name."""
    return asked.answer(lambda look: measures.venue(look, name))


@router.get("/concentration", summary="Concentration of every tier")
def concentration(asked: Question) -> Any:
    """ATSs and other firms apart; weeks without firm totals are marked."""
    return asked.answer(measures.concentration)


@router.get("/symbols", summary="Search for a symbol")
def symbol_list(asked: Question, q: Annotated[str, Query(max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$")] = "") -> Any:
    """By the beginning of a symbol, or a part of a name."""
    return asked.answer(lambda look: measures.symbol_search(look, q.strip()))


@router.get("/symbols/{name:path}", summary="One symbol over the weeks")
def one_symbol(asked: Question, name: Name) -> Any:
    """Every version of each week."""
    return asked.answer(lambda look: measures.symbol(look, name))


@router.get("/anomalies", summary="Anomalies")
def anomaly_list(
    asked: Question, severity: Severity | None = None, everything: Annotated[bool, Query(alias="all")] = False, offset: Offset = 0
) -> Any:
    """Those that are not resolved, or all, newest first."""
    return asked.answer(lambda look: work.anomaly_list(look, severity.value if severity else None, everything, offset))


@router.get("/gates", summary="The gates")
def gates(asked: Question) -> Any:
    """Their limits, and their last decisions."""
    return asked.answer(work.gates)


@router.get("/runs", summary="The runs")
def run_list(asked: Question, offset: Offset = 0) -> Any:
    """Newest first."""
    return asked.answer(lambda look: work.run_list(look, offset))


@router.get("/runs/{run_id}", summary="One run")
def one_run(asked: Question, run_id: Name) -> Any:
    """How it ended, and what it did to each partition."""
    return asked.answer(lambda look: work.run(look, run_id))


@router.get("/queue", summary="The work queue")
def work_queue(asked: Question) -> Any:
    """What is to be done, and what failed."""
    return asked.answer(work.work_queue, tagged=False)


@router.get("/calendar", summary="FINRA's publication days")
def calendar(asked: Question) -> Any:
    """When each week is published, and what comes next."""
    return asked.answer(work.calendar)


def static(name: Annotated[str, Path(max_length=80)]) -> Response:
    """A style sheet, script or picture by the hash of its content: it never changes."""
    asset = next((asset for asset in ASSETS if hashed(asset) == name), None)
    if asset is None:
        raise HTTPException(404)
    headers = {"Cache-Control": _FOREVER, **access.HEADERS}
    return Response(content_of(asset), media_type=_TYPES[asset.rpartition(".")[2]], headers=headers)


def build(serving: Serving, display: Display = Display()) -> App:
    """The application: the API, and the pages beside it. Raises ConfigurationError."""

    def extend(app: FastAPI) -> None:
        app.state.display, app.state.kept, app.state.weeks = display, Kept(), KeptWeeks()
        app.include_router(router)
        app.add_api_route("/static/{name}", static, include_in_schema=False)
        _with_pages_for_people(app)

    return api.build(serving, extend)


def _with_pages_for_people(app: FastAPI) -> None:
    """An unknown address is a page for a browser; for programs it stays a problem."""
    as_problem: Any = app.exception_handlers[HTTPException]

    async def handle(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if "text/html" in request.headers.get("accept", "") and request.method in ("GET", "HEAD"):
            return error_page(request, error.status_code, str(error.detail))
        response: Response = await as_problem(request, error)
        return response

    app.add_exception_handler(HTTPException, handle)
