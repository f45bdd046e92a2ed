"""When FINRA publishes each partition: the day it is due, and what its absence means on a given day.

A week's data is published on a Monday, 21 days after the week's own Monday for NMS Tier 1 and 35 days after it for NMS
Tier 2 and OTC (FINRA Rules 6110 and 6610: "no earlier than two", "four weeks"; the days are those observed since 2019).
When the exchange is closed that Monday, it is the next day on which it is open; on Columbus and Veterans Day the exchange is
open, so they shift nothing. No function here reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from market_spine.calendar import exchange
from market_spine.errors import ConfigurationError, UsageError
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS, Partition, parse_week
from market_spine.small_files import read_small_text, why

DELAY_DAYS: Mapping[str, int] = {NMS_TIER_1: 21, NMS_TIER_2: 35, OTC: 35}
GRACE_DAYS = 1

_SATURDAY = 5


class PublicationState(str, Enum):
    """What the absence of a partition means: not yet due, due today, late within the grace period, or missing."""

    AWAITING = "awaiting"
    DUE = "due"
    LATE = "late"
    MISSING = "missing"

    def __str__(self) -> str:
        return self.value


class Calendar(NamedTuple):
    """The operator's corrections of the exchange's calendar (see read_calendar)."""

    closed: frozenset[date] = frozenset()
    opened: frozenset[date] = frozenset()
    due: Mapping[Partition, date] = MappingProxyType({})


EXCHANGE = Calendar()


class Due(NamedTuple):
    """A partition and the day it is due."""

    day: date
    partition: Partition


def nominal_day(partition: Partition) -> date:
    """The Monday a partition is published on, unless an exchange holiday moves it to the day after."""
    return partition.monday + timedelta(days=DELAY_DAYS[partition.tier])


def due_date(partition: Partition, calendar: Calendar = EXCHANGE) -> date:
    """The day FINRA publishes a partition."""
    if partition in calendar.due:
        return calendar.due[partition]
    day = nominal_day(partition)
    while not is_open(day, calendar):
        day += timedelta(days=1)
    return day


def awaited(partition: Partition, day: date, calendar: Calendar = EXCHANGE) -> bool:
    """Whether the partition is not yet due that day."""
    return day < due_date(partition, calendar)


def state(partition: Partition, run_date: date, grace_days: int = GRACE_DAYS, calendar: Calendar = EXCHANGE) -> PublicationState:
    """What the absence of a partition means on `run_date`."""
    return state_by(due_date(partition, calendar), run_date, grace_days)


def state_by(due: date, run_date: date, grace_days: int = GRACE_DAYS) -> PublicationState:
    """The same for the day it is due."""
    if run_date < due:
        return PublicationState.AWAITING
    if run_date == due:
        return PublicationState.DUE
    return PublicationState.LATE if run_date <= due + timedelta(days=grace_days) else PublicationState.MISSING


def is_open(day: date, calendar: Calendar = EXCHANGE) -> bool:
    """Whether FINRA publishes on that day: an exchange day, as the operator's calendar corrects it."""
    if day in calendar.opened:
        return True
    return day.weekday() < _SATURDAY and day not in calendar.closed and day not in exchange.closures(day.year)


def next_due(run_date: date, tiers: Iterable[str] = TIERS, calendar: Calendar = EXCHANGE) -> list[Due]:
    """The partitions that become due next after `run_date`: all those of the earliest such day."""
    # The longest delay is five weeks; a date that the operator moved may be further off, so all of them are added.
    friday = run_date + timedelta(days=(4 - run_date.weekday()) % 7)
    weeks = [friday + timedelta(weeks=n) for n in range(-8, 2)]
    partitions = {Partition(week, tier) for week in weeks for tier in tiers}
    partitions |= {partition for partition in calendar.due if partition.tier in tiers}
    coming = sorted(due for due in (Due(due_date(p, calendar), p) for p in partitions) if due.day > run_date)
    return [due for due in coming if due.day == coming[0].day]


def read_calendar(path: str) -> Calendar:
    """An operator's calendar file, in TOML. Raises ConfigurationError.

    closed = [2027-01-11]                        # no publication that day: a special closure
    opened = []                                  # publication although the exchange is closed
    [due]
    "2026-01-16 / NMS_TIER_1" = 2026-02-10       # announced for another day
    """
    content = _load(path)
    unknown = sorted(set(content) - {"closed", "opened", "due"})
    if unknown:
        raise ConfigurationError(
            f"the calendar {path} has an unknown entry {unknown[0]!r}", hint="it may have closed, opened and [due]"
        )
    due = content.get("due", {})
    if not isinstance(due, dict):
        raise ConfigurationError(f"in the calendar {path}, due is not a table", hint="write it as [due]")
    moved = {_partition(path, name): _day(path, name, day) for name, day in due.items()}
    return Calendar(_days(path, content, "closed"), _days(path, content, "opened"), MappingProxyType(moved))


def _load(path: str) -> dict[str, Any]:
    import tomllib

    try:
        return dict(tomllib.loads(read_small_text(path)))
    except (OSError, ValueError, RecursionError) as error:
        message = f"cannot read the calendar {path}: {why(error)}"
        raise ConfigurationError(message, hint="write closed = [2027-01-11]") from error


def _days(path: str, content: Mapping[str, Any], name: str) -> frozenset[date]:
    days = content.get(name, [])
    if not isinstance(days, list):
        raise ConfigurationError(f"in the calendar {path}, {name} is not a list", hint=f"write {name} = [2027-01-11]")
    return frozenset(_day(path, name, day) for day in days)


def _day(path: str, name: str, day: object) -> date:
    if not isinstance(day, date) or isinstance(day, datetime):
        raise ConfigurationError(f"in the calendar {path}, {name} has {day!r}, not a date", hint="write dates bare: 2027-01-11")
    return day


def _partition(path: str, name: str) -> Partition:
    week, _, tier = name.partition("/")
    try:
        return Partition(parse_week(week.strip()), tier.strip())
    except UsageError as error:
        raise ConfigurationError(
            f"in the calendar {path}, {name!r} is not a partition: {error.message}", hint='write "2026-01-16 / NMS_TIER_1"'
        ) from error
