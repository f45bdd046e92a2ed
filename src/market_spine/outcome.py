"""The result of a partition in a phase: the value that phases return, and from which summary, JSON and logs are made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from market_spine.categories import Category
from market_spine.partition import Partition


class Phase(str, Enum):
    """The four phases, in order."""

    INGEST = "ingest"
    NORMALIZE = "normalize"
    CALC = "calc"
    READINESS = "readiness"


class Status(str, Enum):
    """The result of a partition in a phase."""

    DONE = "done"
    SKIPPED = "skipped"
    AWAITING = "awaiting"
    LATE = "late"
    WARNING = "warning"
    FAILED = "failed"
    HELD = "held"
    READY = "ready"
    NOT_READY = "not_ready"


class Reason(str, Enum):
    """Why a partition is ingested or not, as the user reads it."""

    NEW = "NEW"
    CHANGED = "CHANGED"
    REVISED = "REVISED"
    FORCED = "FORCED"
    UNCHANGED = "unchanged"


class Outcome(NamedTuple):
    """One partition (or, without a tier, one week) in one phase. `message` is the text of the log line after the mark."""

    phase: Phase
    status: Status
    week_ending: date
    tier: str | None
    message: str
    reason: str | None = None
    capture_id: str | None = None
    rows: int | None = None
    category: Category | None = None
    hint: str | None = None
    details: Mapping[str, object] = MappingProxyType({})

    @classmethod
    def of(cls, phase: Phase, status: Status, partition: Partition, message: str, **facts: object) -> Outcome:
        return cls(phase, status, partition.week_ending, partition.tier, message, **facts)  # type: ignore[arg-type]

    @property
    def where(self) -> str:
        return f"{self.week_ending} / {self.tier}" if self.tier else str(self.week_ending)
