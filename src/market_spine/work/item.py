"""A work item as a value, and the decisions about it: values in, values out; no database, no clock."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any

from market_spine import clock
from market_spine.errors import UsageError
from market_spine.partition import DOMAIN, check_friday, check_tier, partition_key

MAX_ATTEMPTS = 3
RETRY_AFTER = timedelta(minutes=5)
_RETRY_FACTOR = 3
_LONGEST_PAUSE = timedelta(hours=6)
_ERROR_LENGTH = 2000


class State(str, Enum):
    """The states of core_work_items."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    RETRY_WAIT = "RETRY_WAIT"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Answer(str, Enum):
    """What enqueueing an item did."""

    CREATED = "created"
    EXISTING = "existing"  # already open: nothing changed
    REPORTED = "reported"  # already ended: nothing changed; "rerun" would reset it
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Params:
    """Parameters of an item's pipeline: the run date that names its captures, whether to ingest unchanged content, and the
    address of a file to ingest instead of what the worker's source has."""

    run_date: date | None = None
    force: bool = False
    file_url: str | None = None

    def to_json(self) -> str:
        return json.dumps({name: str(v) if isinstance(v, date) else v for name, v in asdict(self).items() if v})

    @classmethod
    def from_json(cls, text: str) -> Params:
        """Reads what to_json wrote."""
        facts = json.loads(text)
        day = facts.get("run_date")
        return cls(date.fromisoformat(day) if day else None, bool(facts.get("force", False)), facts.get("file_url"))


@dataclass(frozen=True, slots=True)
class Request:
    """An item to enqueue; validates itself when created. `desired_at` None means now. Raises UsageError."""

    pipeline: str
    week_ending: date
    tier: str | None = None
    domain: str = DOMAIN
    params: Params = field(default_factory=Params)
    desired_at: datetime | None = None
    priority: int = 0
    max_attempts: int = MAX_ATTEMPTS
    rerun: bool = False

    def __post_init__(self) -> None:
        from market_spine.app.pipelines import PIPELINES

        if self.domain != DOMAIN:
            raise UsageError(f"there is no domain {self.domain!r}", hint=f"the domain is {DOMAIN}")
        if self.pipeline not in PIPELINES:
            raise UsageError(f"there is no pipeline {self.pipeline!r}", hint=f"the pipelines are {', '.join(PIPELINES)}")
        check_friday(self.week_ending)
        of_week = PIPELINES[self.pipeline].of_week
        if of_week and self.tier is not None:
            raise UsageError(f"{self.pipeline} is for a whole week and takes no tier", hint="leave the tier out")
        if not of_week:
            if self.tier is None:
                raise UsageError(f"{self.pipeline} needs a tier", hint="add a tier to the partition key")
            check_tier(self.tier)

    @property
    def key(self) -> str:
        """The partition_key, in one canonical form, since it is part of the item's identity."""
        return partition_key(self.week_ending.isoformat(), self.tier)


@dataclass(frozen=True, slots=True)
class Item:
    """A row of core_work_items."""

    id: int
    domain: str
    pipeline: str
    partition_key: str
    params_json: str
    desired_at: str
    priority: int
    state: State
    attempt_count: int
    max_attempts: int
    last_error: str | None
    last_error_at: str | None
    next_attempt_at: str | None
    current_execution_id: str | None
    latest_execution_id: str | None
    locked_by: str | None
    locked_at: str | None
    created_at: str
    updated_at: str
    completed_at: str | None
    waits_for: str | None = None

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Item:
        """From a whole row of the table, whose columns come in this order."""
        values = dict(zip(cls.__slots__, row, strict=False))  # a newer program may have added columns after these
        return cls(**values | {"state": State(values["state"])})

    @property
    def week_ending(self) -> date:
        return date.fromisoformat(json.loads(self.partition_key)["week_ending"])

    @property
    def tier(self) -> str | None:
        tier: str | None = json.loads(self.partition_key).get("tier")
        return tier

    @property
    def params(self) -> Params:
        return Params.from_json(self.params_json)

    @property
    def where(self) -> str:
        """`ingest_week 2025-12-26 / OTC`."""
        return f"{self.pipeline} {self.week_ending}" + (f" / {self.tier}" if self.tier else "")

    def as_document(self) -> dict[str, Any]:
        """For JSON: the columns, with the key and the params as objects."""
        facts = asdict(self)
        facts["state"] = self.state.value
        facts["partition_key"] = json.loads(facts["partition_key"])
        facts["params"] = json.loads(facts.pop("params_json"))
        return facts


@dataclass(frozen=True, slots=True)
class Verdict:
    """The next state of an item that did not complete, and why. `counts`: its attempt is used up."""

    state: State
    why: str | None
    not_before: datetime | None = None
    counts: bool = True
    waits_for: str | None = None  # the stage whose completion wakes the item

    @property
    def reason(self) -> str | None:
        """The reason in one line, as stored in last_error."""
        return None if self.why is None else " ".join(self.why.split())[:_ERROR_LENGTH]

    @property
    def not_before_stamp(self) -> str | None:
        return None if self.not_before is None else clock.stamp(self.not_before)


def after_failure(item: Item, why: str, now: datetime, retry_after: timedelta = RETRY_AFTER) -> Verdict:
    """The next attempt comes after 5 minutes, then each time after three times as long; the last failure is final."""
    if item.attempt_count >= item.max_attempts:
        return Verdict(State.FAILED, why)
    return Verdict(State.RETRY_WAIT, why, now + retry_after * _RETRY_FACTOR ** (item.attempt_count - 1))


def after_waiting(
    item: Item, why: str, now: datetime, until: datetime | None = None, retry_after: timedelta = RETRY_AFTER,
    waits_for: str | None = None,
) -> Verdict:
    """A prerequisite is missing, which is not the item's fault, so no attempt is used up.

    Retried when the stage it `waits_for` is complete, else after a third of the time it has waited so far, between 5 minutes
    and 6 hours, but not before `until`.
    """
    waited = now - datetime.fromisoformat(item.desired_at)
    pause = max(retry_after, min(waited / _RETRY_FACTOR, _LONGEST_PAUSE))
    return Verdict(State.RETRY_WAIT, f"waits: {why}", max(now + pause, until or now), counts=False, waits_for=waits_for)


def after_loss(item: Item, why: str) -> Verdict:
    """Its worker died or lost the database: the next worker may claim it at once, and the attempt counts."""
    return Verdict(State.FAILED if item.attempt_count >= item.max_attempts else State.PENDING, why)


def given_back() -> Verdict:
    """Its worker was stopped: as if it had never been claimed."""
    return Verdict(State.PENDING, None, counts=False)


@dataclass(frozen=True, slots=True)
class Lease:
    """How long an item stays with a silent worker, and how often a live one renews its lease."""

    length: timedelta = timedelta(minutes=30)

    @property
    def beat(self) -> float:
        """Seconds between two heartbeats."""
        return min(self.length.total_seconds() / 5, 60.0)


def is_dead(age: float, silent: float, lease: Lease, patience: float) -> bool:
    """Whether a lease may be reclaimed. `age`: seconds since the last heartbeat by the ledger's clock; `silent`: seconds for
    which this process has observed no heartbeat, by its own clock; `patience`: how long it must observe before it trusts `age`.

    A clock that jumps or differs makes the lease of a live worker look expired, but its heartbeats still arrive. A stamp
    from the future never ages: after a whole lease of silence it is ignored.
    """
    length = lease.length.total_seconds()
    return silent >= length or (age >= length and silent >= patience)
