"""Request types, checked and documented by FastAPI. Everything is bounded."""

from __future__ import annotations

import re
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt

from market_spine.app.pipelines import PIPELINES
from market_spine.partition import DOMAIN, TIERS, check_friday
from market_spine.work.item import MAX_ATTEMPTS, Params, Request, State
from market_spine.work.requests import of_every_tier

ITEMS_AT_ONCE = 500
LONGEST_PAGE = 500
_DAYS = (date(2000, 1, 1), date(2099, 12, 31))
_ISO_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_LARGEST_ID = 2**63 - 1

Tier = Enum("Tier", {tier: tier for tier in TIERS}, type=str)  # type: ignore[misc]
PipelineName = Enum("PipelineName", {name: name for name in PIPELINES}, type=str)  # type: ignore[misc]


def _as_day(given: Any) -> Any:
    if isinstance(given, str) and not _ISO_DAY.fullmatch(given):
        raise ValueError("write it as YYYY-MM-DD")
    if not isinstance(given, (str, date)) or isinstance(given, datetime):
        raise ValueError("write it as text, YYYY-MM-DD")
    return given


def _bounded(day: date) -> date:
    if not _DAYS[0] <= day <= _DAYS[1]:
        raise ValueError(f"it must be between {_DAYS[0]} and {_DAYS[1]}")
    return day


def _friday(day: date) -> date:
    return check_friday(day)


def _bounded_moment(moment: datetime) -> datetime:
    if not _DAYS[0].year <= moment.year <= _DAYS[1].year:
        raise ValueError(f"it must be between {_DAYS[0]} and {_DAYS[1]}")
    return moment


def _as_text(given: Any) -> Any:
    if not isinstance(given, (str, datetime)):
        raise ValueError("write it as text, e.g. 2026-01-09T12:00:00+00:00")
    return given


Day = Annotated[date, BeforeValidator(_as_day), AfterValidator(_bounded)]
Friday = Annotated[Day, AfterValidator(_friday), Field(examples=["2025-12-26"])]
Moment = Annotated[
    AwareDatetime, BeforeValidator(_as_text), AfterValidator(_bounded_moment), Field(examples=["2026-01-09T12:00:00+00:00"])
]
ItemId = Annotated[int, Field(ge=1, le=_LARGEST_ID)]
Word = Annotated[str, Query(max_length=100, pattern=r"^[\x21-\x7e]+$")]
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="Items per page.")]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="Items to skip.")]
Reason = Annotated[str | None, Field(default=None, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PartitionKey(_Body):
    """A week and, for most pipelines, a tier."""

    week_ending: Friday
    tier: Tier | None = None


class WorkParams(_Body):
    """`run_date` names the captures (default: the day the item is executed); `force` ingests unchanged content, too; `tier`
    may be here instead of in the partition key; `file_url` is the file to ingest, on a host that the worker allows."""

    run_date: Day | None = None
    force: StrictBool = False
    tier: Tier | None = None
    file_url: Annotated[str, Field(max_length=2000, pattern=r"^https?://[\x21-\x7e]+$")] | None = None


class WorkRequest(_Body):
    """A work item to enqueue; without a tier, where the pipeline needs one, an item for each tier."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "domain": DOMAIN, "pipeline": "ingest_week", "priority": 5,
                    "partition_key": {"week_ending": "2025-12-26", "tier": "OTC"}, "desired_at": "2026-01-26T15:00:00+00:00",
                }
            ]
        },
    )

    domain: Annotated[str, Field(pattern=f"^{re.escape(DOMAIN)}$")] = DOMAIN
    pipeline: PipelineName
    partition_key: PartitionKey
    params: WorkParams = WorkParams()
    desired_at: Moment | None = None
    priority: Annotated[StrictInt, Field(ge=-1000, le=1000)] = 0
    max_attempts: Annotated[StrictInt, Field(ge=1, le=20)] = MAX_ATTEMPTS
    rerun: StrictBool = False

    def as_requests(self) -> list[Request]:
        """The values the queue takes. Raises UsageError."""
        tier, params = self.partition_key.tier or self.params.tier, self.params
        return of_every_tier(
            {
                "pipeline": self.pipeline.value, "week_ending": self.partition_key.week_ending, "tier": tier and tier.value,
                "domain": self.domain, "params": Params(params.run_date, params.force, params.file_url),
                "desired_at": self.desired_at, "priority": self.priority, "max_attempts": self.max_attempts, "rerun": self.rerun,
            }
        )


class _Items(_Body):
    """Items by their ids, or one by its id."""

    ids: Annotated[list[ItemId], Field(max_length=ITEMS_AT_ONCE)] = []
    work_item_id: ItemId | None = None

    @property
    def named(self) -> list[int]:
        return [*self.ids, *([] if self.work_item_id is None else [self.work_item_id])]


class RetryBody(_Items):
    """The items to retry: those named, or all FAILED ones of a domain."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ids": [123], "reason": "the source is back"}]})

    domain: Annotated[str, Field(pattern=f"^{re.escape(DOMAIN)}$")] | None = None
    reason: Reason


class CancelBody(_Items):
    """The items to cancel."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ids": [123], "reason": "a mistake"}]})

    reason: Reason


StateName = State
