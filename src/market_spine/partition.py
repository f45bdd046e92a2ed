"""One week of one tier: the unit in which FINRA publishes, and in which everything here succeeds or fails."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, timedelta

from market_spine.errors import InvalidWeek, UnknownTier

DOMAIN = "finra.otc_transparency"

NMS_TIER_1, NMS_TIER_2, OTC = "NMS_TIER_1", "NMS_TIER_2", "OTC"
TIERS = (NMS_TIER_1, NMS_TIER_2, OTC)
WHOLE_WEEK = "WEEK"  # in the id of a week's results, where that of a capture has the tier

_FRIDAY = 4
_DAYS = (date(2000, 1, 1), date(2099, 12, 31))
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """A week of a tier. `week_ending` is always a Friday, `tier` one of TIERS; anything else raises."""

    week_ending: date
    tier: str

    def __post_init__(self) -> None:
        check_friday(self.week_ending)
        check_tier(self.tier)

    @property
    def monday(self) -> date:
        """FINRA's weekStartDate: the calendar Monday, holidays included."""
        return self.week_ending - timedelta(days=4)

    @property
    def week(self) -> str:
        return self.week_ending.isoformat()

    @property
    def key(self) -> str:
        """The partition_key of the core tables, as JSON text."""
        return partition_key(self.week, self.tier)

    def __str__(self) -> str:
        return f"{self.week} / {self.tier}"


def partition_key(week: str, tier: str | None = None) -> str:
    """`{"week_ending": …, "tier": …}`; a whole week has only the first key."""
    key = {"week_ending": week}
    if tier is not None:
        key["tier"] = tier
    return json.dumps(key)


def check_friday(day: date) -> date:
    """Returns `day`; raises InvalidWeek naming the Friday that was probably meant."""
    if day.weekday() != _FRIDAY:
        raise InvalidWeek(
            f"{day} is a {day:%A}, not a Friday; that week ends on {friday_of(day)}",
            hint=f"use {friday_of(day)}",
        )
    return day


def check_tier(tier: str) -> str:
    """Returns `tier`; raises UnknownTier."""
    if tier not in TIERS:
        raise UnknownTier(f"unknown tier {tier!r}", hint=f"the tiers are {', '.join(TIERS)}")
    return tier


def friday_of(day: date) -> date:
    """The Friday that ends the trading week of `day`: the coming one on Monday to Friday, the past one at a weekend."""
    return day + timedelta(days=_FRIDAY - day.weekday())


def parse_day(text: str) -> date:
    """`YYYY-MM-DD` and nothing else. Raises InvalidWeek (a ValueError)."""
    try:
        if _DAY.fullmatch(text):
            return _within_reach(date.fromisoformat(text))
    except InvalidWeek:
        raise
    except ValueError:
        pass
    raise InvalidWeek(f"Invalid date format: {text!r}", hint="write dates as YYYY-MM-DD, for example 2025-12-26")


def _within_reach(day: date) -> date:
    """Returns `day`; raises InvalidWeek where counting weeks from it could overflow the calendar."""
    if not _DAYS[0] <= day <= _DAYS[1]:
        raise InvalidWeek(f"{day} is out of range", hint=f"use a date between {_DAYS[0]} and {_DAYS[1]}")
    return day


def parse_week(text: str) -> date:
    """`YYYY-MM-DD`, a Friday. Raises InvalidWeek saying what is wrong and which Friday is meant."""
    return check_friday(parse_day(text))


def parse_week_list(text: str) -> list[date]:
    """Comma-separated Fridays, in the order given, each once. Raises InvalidWeek."""
    weeks = [parse_week(part.strip()) for part in text.split(",") if part.strip()]
    if not weeks:
        raise InvalidWeek("Invalid date format: no week given", hint="write weeks as YYYY-MM-DD,YYYY-MM-DD")
    return list(dict.fromkeys(weeks))


def parse_tier_list(text: str) -> tuple[str, ...]:
    """Comma-separated tiers in any case, returned in the order of TIERS. Raises UnknownTier."""
    tiers = {check_tier(part.strip().upper()) for part in text.split(",") if part.strip()}
    if not tiers:
        raise UnknownTier("no tier given", hint=f"the tiers are {', '.join(TIERS)}")
    return tuple(tier for tier in TIERS if tier in tiers)


def weeks_back(lookback_weeks: int, reference: date) -> list[date]:
    """The last `lookback_weeks` Fridays up to and including `reference`, newest first. Raises InvalidWeek below 1."""
    if lookback_weeks < 1:
        raise InvalidWeek(f"cannot look back {lookback_weeks} weeks", hint="use --lookback-weeks 1 or more")
    newest = reference - timedelta(days=(reference.weekday() - _FRIDAY) % 7)
    return [newest - timedelta(weeks=n) for n in range(lookback_weeks)]


def weeks_between(one: date, other: date) -> list[date]:
    """Every Friday from one to the other, oldest first, both included."""
    begin, end = sorted((one, other))
    return [begin + timedelta(weeks=on) for on in range((end - begin).days // 7 + 1)]


def weeks_of(week_ending: date, length: int) -> list[date]:
    """The weeks of the window that ends with a week, oldest first."""
    return [week_ending - timedelta(weeks=back) for back in reversed(range(length))]


def weeks_with(week: date, length: int) -> list[date]:
    """The ends of the windows that hold a week."""
    return [week + timedelta(weeks=on) for on in range(length)]


def generate_capture_id(domain: str, week_ending: date | str, tier: str, run_date: date | None = None) -> str:
    """`{domain}:{tier}:{week_ending}:{YYYYMMDD}`. The same run date gives the same id (a replay), a later one a new id."""
    if run_date is None:
        from market_spine.clock import market_date

        run_date = market_date()
    return capture_id_of(domain, week_ending, tier, f"{run_date:%Y%m%d}")


def capture_id_of(domain: str, week_ending: date | str, tier: str, day: str) -> str:
    """The id of the capture, or with WHOLE_WEEK of the week's results, of a run date written YYYYMMDD."""
    return f"{domain}:{tier}:{week_ending}:{day}"


def run_date_of(capture_id: str) -> date:
    """The run date that a capture's id ends with."""
    return date.fromisoformat(capture_id.rpartition(":")[2])


def partition_of(capture_id: str) -> Partition:
    """The partition that a capture's id names."""
    _, tier, week, _ = capture_id.rsplit(":", 3)
    return Partition(date.fromisoformat(week), tier)


def week_lock(week_ending: date) -> str:
    """The name of a week's lock, for whoever writes what belongs to it."""
    return f"{DOMAIN}:{week_ending}"
