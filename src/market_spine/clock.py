"""The only module that reads a clock. Commands and routes read it once and pass the time down as an argument."""

from __future__ import annotations

import contextlib
import os
import time as time_module
from datetime import date, datetime, time, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

MARKET_ZONE = "America/New_York"


@lru_cache(maxsize=1)
def market_zone() -> ZoneInfo:
    """New York's time zone; its rules are loaded at the first use."""
    from zoneinfo import ZoneInfo

    return ZoneInfo(MARKET_ZONE)


def utc_now() -> datetime:
    """The present moment, UTC, to the second."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def exact_now() -> datetime:
    """The present moment, UTC, to the microsecond: for heartbeats and durations, never for the data a run stores."""
    return datetime.now(timezone.utc)


def market_date(now: datetime | None = None) -> date:
    """The run date of a moment: its calendar day in New York, whatever TZ the machine has."""
    return (now or utc_now()).astimezone(market_zone()).date()


def moment_of(run_date: date) -> datetime:
    """The time used for a replayed run date: its noon, UTC."""
    return datetime.combine(run_date, time(12), timezone.utc)


def stamp(moment: datetime) -> str:
    """A moment as it is stored: ISO 8601, UTC, to the second."""
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")


def exact_stamp(moment: datetime) -> str:
    """As stamp, to the millisecond, for computing durations. Sorts correctly among stamps to the second."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")


def machine_zone() -> str:
    """The name of this machine's own zone: `UTC`, `EST`."""
    return datetime.now().astimezone().tzname() or "unknown"


def machine_zone_rules() -> ZoneInfo | timezone:
    """This machine's own zone with its rules if it has a name, else with today's offset."""
    from zoneinfo import ZoneInfo

    name = os.environ.get("TZ", "").lstrip(":") or str(Path("/etc/localtime").resolve()).partition("/zoneinfo/")[2]
    with contextlib.suppress(ValueError, OSError):
        return ZoneInfo(name) if name else timezone.utc
    return timezone(datetime.now().astimezone().utcoffset() or timedelta())


def ticks() -> float:
    """Seconds of a monotonic clock: for rates, timeouts and expiry, never for a date."""
    return time_module.monotonic()


def epoch() -> float:
    """Seconds since 1970, as in file times: only for the age of a file."""
    return time_module.time()


def pause(seconds: float) -> None:
    """Sleeps."""
    time_module.sleep(max(0.0, seconds))
