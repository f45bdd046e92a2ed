"""The store as a page shows it: now, or as it was known at the end of a day in New York."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from market_spine import clock
from market_spine.app import coverage
from market_spine.app.context import Expectations, Run
from market_spine.core.past import store_before
from market_spine.db import Database
from market_spine.operate import status_grid
from market_spine.operate.status_grid import WeekStatus
from market_spine.page.kept_weeks import KeptWeeks
from market_spine.query.as_of import end_of


@dataclass(frozen=True, slots=True)
class Look:
    """What a view is given. `run.db` holds states and captures as they were known on the day; `db` is the store itself, whose
    rows and measures are read as of `as_of`."""

    run: Run
    db: Database
    as_of: date | None = None
    kept: KeptWeeks | None = None

    def weeks(self) -> list[WeekStatus]:
        """Every week from the first that is kept to the day, newest first."""
        if self.kept is not None:
            return self.kept.read(self.run)
        first_weeks = coverage.known_weeks(self.run.db)
        return status_grid.read(self.run, status_grid.kept_weeks(self.day, first_weeks), first_weeks)

    @property
    def day(self) -> date:
        return self.run.run_date

    @property
    def before(self) -> str | None:
        """What was known has an earlier stamp; None now."""
        return None if self.as_of is None else end_of(self.as_of)


@contextlib.contextmanager
def looking(
    db: Database, day: date, now: datetime, as_of: date | None, expected: Expectations, kept: KeptWeeks | None = None
) -> Iterator[Look]:
    """The store now, or as of a day. Raises NotFound for a day before the log of events."""
    if as_of is None:
        yield Look(Run(db, day, now, "", expected=expected), db, kept=kept)
        return
    with store_before(db, end_of(as_of)) as past:
        yield Look(Run(past, as_of, clock.moment_of(as_of), "", expected=expected), db, as_of)
