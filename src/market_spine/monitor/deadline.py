"""The deadline of a run: the days and the New York time cron is set up for, and the deadline after a publication.

FINRA publishes on Mondays, or on the next exchange day; a run picks it up at its next turn. So a publication day moved by
a holiday moves the deadline of a daily schedule by a day, and that of a Friday schedule not at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from market_spine.clock import market_zone
from market_spine.errors import ConfigurationError

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Deadline:
    """Weekdays (Monday is 0) and the time in New York by which that day's run has ended."""

    days: frozenset[int]
    at: time

    def after(self, day: date) -> datetime:
        """The first deadline on a later day than `day`."""
        later = next(day + timedelta(days=n) for n in range(1, 8) if (day + timedelta(days=n)).weekday() in self.days)
        return datetime.combine(later, self.at, market_zone())


def parse_deadline(text: str) -> Deadline:
    """`Fri 12:00`, `Mon-Fri 9:30`, `Tue,Fri 18:00`. Raises ConfigurationError."""
    match = re.fullmatch(r"\s*([A-Za-z,\- ]+?)\s+(\d{1,2}):(\d{2})\s*", text)
    days = _days(match[1]) if match else None
    if match is None or not days or int(match[2]) > 23 or int(match[3]) > 59:
        raise ConfigurationError(f"--expected-by {text!r} is not a day and time", hint="write 'Fri 12:00' or 'Mon-Fri 9:30'")
    return Deadline(days, time(int(match[2]), int(match[3])))


def _days(text: str) -> frozenset[int] | None:
    """`Mon-Fri`, `Tue,Fri`; full names and any case are accepted. None for what is not a weekday."""
    days: set[int] = set()
    for part in text.split(","):
        ends = [_DAYS.index(name[:3]) if name[:3] in _DAYS else None for name in part.lower().replace(" ", "").split("-")]
        first, last = ends[0], ends[-1]
        if first is None or last is None or len(ends) > 2:
            return None
        days.update((first + n) % 7 for n in range((last - first) % 7 + 1))
    return frozenset(days)
