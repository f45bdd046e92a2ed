"""What is stored: the manifest, readiness, anomalies, gaps, and any view, now or as of a date."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import date
from enum import Enum
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Query, Request, Response

from market_spine import clock
from market_spine.api import caching
from market_spine.api.auth import Caller, may_read
from market_spine.api.models import Day, Friday, Limit, Offset, Tier, Word
from market_spine.api.problem import Refusal
from market_spine.app.context import Run
from market_spine.core import manifest
from market_spine.core.anomalies import SEVERITIES
from market_spine.core.past import store_before
from market_spine.db import Database
from market_spine.errors import InvalidWeek, UnknownTier
from market_spine.operate import anomalies as stored_anomalies
from market_spine.operate import gaps
from market_spine.operate.anomalies import Which
from market_spine.partition import DOMAIN, TIERS, check_tier, parse_week, partition_key, weeks_back
from market_spine.query import answer, changes
from market_spine.query.as_of import end_of
from market_spine.query.views import VIEWS

router = APIRouter(prefix="/api/v1", tags=["data"])

Reader = Annotated[Caller, Depends(may_read)]
ViewName = Enum("ViewName", {name: name for name in VIEWS}, type=str)  # type: ignore[misc]
Stage = Enum("Stage", {name: name for name in manifest.RANK}, type=str)  # type: ignore[misc]
Severity = Enum("Severity", {name: name for name in SEVERITIES}, type=str)  # type: ignore[misc]
Domain = Enum("Domain", {"FINRA": DOMAIN}, type=str)
Format = Enum("Format", {"json": "json", "csv": "csv"}, type=str)
_MOST_ROWS = 50_000
_DEEPEST = 100_000
_CURSOR = r"^[A-Za-z0-9_.:-]{0,80}~[0-9]{1,9}$"
_LONGEST_WAIT, _POLL_SECONDS = 5, 0.25
_KEY = '{"week_ending": "2025-12-26", "tier": "OTC"}'


def _example(document: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": document}}}}


@contextlib.contextmanager
def _state(request: Request, response: Response, day: date | None) -> Iterator[Database]:
    """The store now, or as it was known at the end of a day. Raises NotFound for a day before the log of events, and NotModified
    for a client that has the response."""
    with request.app.state.connections.reading() as db:
        caching.check(request, response, db)
        if day is None:
            yield db
            return
        with store_before(db, end_of(day)) as past:
            yield past


@router.get("/changes", summary="List every change of state since a cursor", responses=_example({"events": [], "cursor": 0}))
def list_changes(
    request: Request,
    _caller: Reader,
    since: Annotated[int, Query(ge=0, le=2**53, description="The last event seen.")] = 0,
    limit: Limit = 100,
    wait: Annotated[float, Query(ge=0, le=_LONGEST_WAIT, description="Seconds to wait for an event.")] = 0,
) -> dict[str, Any]:
    """Events of the log after `since`, oldest first, in the order of their commits: none is missed and none comes twice. The next
    request takes `cursor`. With `wait` the response comes with the next event, or empty after that time."""
    deadline = clock.ticks() + wait
    while True:
        with request.app.state.connections.reading() as db:
            entries = changes.since(db, since, limit)
        if entries or clock.ticks() >= deadline:
            return {"events": entries, "cursor": entries[-1]["seq"] if entries else since}
        clock.pause(_POLL_SECONDS)


@router.get("/manifest", summary="List the stages that are done", responses=_example({"manifest": [{"id": 1, "stage": "RAW"}]}))
def list_manifest(
    request: Request,
    response: Response,
    _caller: Reader,
    domain: Word | None = None,
    partition_key: Annotated[str | None, Query(max_length=200, examples=[_KEY], description="JSON")] = None,
    stage: Stage | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> dict[str, Any]:
    """Rows of core_manifest, newest first; with a partition and a stage, `row_count` is that of the newest one."""
    key = None if partition_key is None else _canonical(partition_key)
    with request.app.state.connections.reading() as db:
        caching.check(request, response, db)
        rows = manifest.entries(db, domain, key, stage.value if stage else None, limit, offset)
    counted = {"row_count": rows[0]["row_count"]} if rows and key and stage else {}  # of the newest capture
    return {"manifest": rows, "page": {"limit": limit, "offset": offset}, **counted}


def _canonical(text: str) -> str:
    """A partition key as it is stored, however its JSON was written. Raises Refusal."""
    try:
        given = json.loads(text)
        week, tier = parse_week(str(given["week_ending"])), given.get("tier")
        if not set(given) <= {"week_ending", "tier"}:
            raise KeyError("an unknown name")
        return partition_key(week.isoformat(), None if tier is None else check_tier(tier))
    except (InvalidWeek, UnknownTier):
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refusal(422, "partition_key is not the key of a partition", hint=f"write it as {_KEY}") from None


@router.get("/readiness", summary="List which weeks are ready, and what blocks the others", responses=_example({"readiness": []}))
def readiness(
    request: Request,
    response: Response,
    _caller: Reader,
    week: Friday | None = None,
    ready_for: Word | None = None,
    is_ready: bool | None = None,
    as_of: Day | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> dict[str, Any]:
    """Readiness as the last run recorded it, or as it was known at the end of the day `as_of`, newest weeks first; one entry for
    the week and one for each of its tiers."""
    with _state(request, response, as_of) as db:
        rows = _readiness(
            db, (str(week) if week else None, ready_for, None if is_ready is None else int(is_ready), limit, offset)
        )
    return {"readiness": rows, "page": {"limit": limit, "offset": offset}}


class _ReadinessRow(NamedTuple):
    """A row of core_data_readiness, in the order of the SELECT below."""

    domain: str
    partition_key: str
    ready_for: str
    is_ready: int
    all_partitions_present: int
    all_stages_complete: int
    no_critical_anomalies: int
    blocking_issues: str | None
    created_at: str
    updated_at: str

    def as_document(self) -> dict[str, Any]:
        flags = ("is_ready", "all_partitions_present", "all_stages_complete", "no_critical_anomalies")
        parsed = {"partition_key": json.loads(self.partition_key), "blocking_issues": json.loads(self.blocking_issues or "[]")}
        return self._asdict() | parsed | {name: bool(getattr(self, name)) for name in flags}


def _readiness(db: Database, parameters: tuple[Any, ...]) -> list[dict[str, Any]]:
    rows = db.execute(
        """
        SELECT domain, partition_key, ready_for, is_ready, all_partitions_present, all_stages_complete, no_critical_anomalies,
               blocking_issues, created_at, updated_at
        FROM core_data_readiness
        WHERE json_extract(partition_key, '$.week_ending') = COALESCE(?, json_extract(partition_key, '$.week_ending'))
          AND ready_for = COALESCE(?, ready_for) AND is_ready = COALESCE(?, is_ready)
        ORDER BY json_extract(partition_key, '$.week_ending') DESC, partition_key, ready_for LIMIT ? OFFSET ?
        """,
        parameters,
    )
    return [_ReadinessRow._make(row).as_document() for row in rows]


@router.get("/anomalies", summary="List anomalies", responses=_example({"anomalies": []}))
def anomalies(
    request: Request,
    response: Response,
    _caller: Reader,
    severity: Severity | None = None,
    week: Friday | None = None,
    unresolved: bool = False,
    as_of: Day | None = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> dict[str, Any]:
    """Anomalies with their state, newest first; with `as_of`, those known at the end of that day."""
    severities = (severity.value,) if severity else SEVERITIES
    with _state(request, response, as_of) as db:
        listed = stored_anomalies.page(db, Which(severities, week, unresolved), limit, offset)
    today = as_of or clock.market_date()
    shown = [{**anomaly.entry(), "state": anomaly.state(today)} for anomaly in listed.items]
    return {"anomalies": shown, "page": {"total": listed.total, "limit": limit, "offset": offset}}


@router.get(
    "/doctor/{domain}", summary="List gaps",
    responses=_example({"domain": DOMAIN, "weeks": 6, "gaps": []}),
)
def doctor(
    request: Request, _caller: Reader, domain: Domain, weeks: Annotated[int, Query(ge=1, le=104)] = 6, deep: bool = False
) -> dict[str, Any]:
    """Missing partitions and stages that the publication calendar expects in the last `weeks` weeks, stale results, and stored
    content that is gone or, with `deep`, no longer matches its hash; each gap with the command that closes it. Same as `spine
    doctor`."""
    now = clock.utc_now()
    with request.app.state.connections.reading() as db:
        run = Run(db, clock.market_date(now), now, "")
        open_gaps = gaps.find_gaps(run, weeks_back(weeks, run.run_date), today=run.run_date, deep=deep)
    return {"domain": domain.value, "weeks": weeks, "gaps": [gap.entry() for gap in open_gaps]}


@router.get(
    "/data/{view}", summary="Query a view, now or as of a date",
    responses={200: {"content": {"application/json": {"example": {"view": "hhi", "rows": []}}, "text/csv": {}}}},
)
def data(
    request: Request,
    response: Response,
    _caller: Reader,
    view: ViewName,
    week: Friday | None = None,
    tier: Tier | None = None,
    symbol: Annotated[str | None, Query(max_length=30, pattern=r"^[\x21-\x7e]+$")] = None,
    as_of: Day | None = None,
    length: Annotated[int | None, Query(ge=1, le=520, description="Weeks of a rolling view.")] = None,
    format: Format = Format.json,
    limit: Annotated[int, Query(ge=1, le=_MOST_ROWS)] = 1000,
    offset: Annotated[int, Query(ge=0, le=_DEEPEST, description="Rows to skip; use `cursor` to read everything.")] = 0,
    cursor: Annotated[str | None, Query(max_length=100, pattern=_CURSOR, description="`next` of the page before.")] = None,
) -> Any:
    """Rows in a fixed order; as CSV the same bytes as `spine query VIEW --csv`. The default limit is 1,000 rows. A page
    that is not the last has a cursor for the next, as `next` and in the header `Link`; 410 once its data have been replaced."""
    weeks, tiers = (week,) if week else None, (tier.value,) if tier else TIERS
    question = answer.Question(VIEWS[view.value], weeks, tiers, symbol, as_of, length)
    with request.app.state.connections.reading() as db:
        headers = caching.check(request, response, db)
        page = answer.page(db, question, _position(cursor, offset), limit)
    following = f"{page.following.capture_id}~{page.following.row}" if page.following else None
    if following:
        link = request.url.include_query_params(cursor=following).remove_query_params("offset")
        headers["Link"] = response.headers["Link"] = f'<{link.path}?{link.query}>; rel="next"'
    if format is Format.csv:
        content = "".join(answer.as_csv(question.view, page.rows))
        return Response(content, media_type="text/csv; charset=utf-8", headers=headers)
    shown = [dict(zip(question.view.columns, row, strict=True)) for row in page.rows]
    return {"view": view.value, "rows": shown, "page": {"limit": limit, "offset": offset, "next": following}}


def _position(cursor: str | None, offset: int) -> answer.Position:
    if cursor is None:
        return answer.Position("", offset)
    capture_id, _, row = cursor.rpartition("~")
    return answer.Position(capture_id, int(row))
