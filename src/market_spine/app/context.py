"""A run: the database, the time and the limits that every phase is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple

from market_spine import clock
from market_spine.app.forecast import Forecast
from market_spine.calendar import publication
from market_spine.calendar.publication import EXCHANGE, GRACE_DAYS, Calendar
from market_spine.db import Database
from market_spine.gates.past import Limits
from market_spine.measure.dimensions import Dimensions
from market_spine.partition import Partition, week_lock

__all__ = ["Expectations", "Limits", "Run"]

if TYPE_CHECKING:
    from market_spine.measure.measures import TierMeasures

_HAND_OVER_SYMBOLS = 500_000  # some fifty megabytes


class Expectations(NamedTuple):
    """What a run expects of its source. Without a calendar every partition is expected at once."""

    calendar: Calendar | None = EXCHANGE
    grace_days: int = GRACE_DAYS
    rehash_share: float = 0.25  # of the partitions, hashed anew in a run although the source says they are unchanged

    def awaits(self, partition: Partition, day: date) -> bool:
        """Whether the partition is not yet due that day."""
        return self.calendar is not None and publication.awaited(partition, day, self.calendar)


@dataclass(slots=True)
class Run:
    """What the phases of one run share. `now` dates its rows; `run_date` names its captures."""

    db: Database
    run_date: date
    now: datetime
    execution_id: str
    limits: Limits = field(default_factory=Limits)
    force: bool = False
    as_observed: bool = False  # loads kept content under the past day on which it was observed
    present: datetime | None = None  # the real time, by which readiness is judged when the run acts on a past day
    expected: Expectations = field(default_factory=Expectations)
    dry: bool = False  # reads and decides as usual, and writes nothing: `forecast` holds what it would have written
    forecast: Forecast = field(init=False, default_factory=Forecast)
    dimensions: Dimensions = field(init=False)
    stored: set[str] = field(init=False, default_factory=set)  # hashes of the contents stored in this run
    _measured: dict[tuple[str, int], TierMeasures] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.dimensions = Dimensions(self.db)

    @property
    def stamp(self) -> str:
        return clock.stamp(self.now)

    def works_on(self, run_date: str) -> bool:
        """Whether this run completes captures of that run date: none of a later day, and of a past day only its own."""
        own = self.run_date.isoformat()
        return run_date == own if self.as_observed else run_date <= own

    @contextlib.contextmanager
    def within(self, week_ending: date) -> Iterator[None]:
        """The transactions of the block take the week's lock, as those of queued items do."""
        before, self.db.serial = self.db.serial, week_lock(week_ending)
        try:
            yield
        finally:
            self.db.serial = before

    def forced(self) -> Run:
        """The same run, which also ingests what is unchanged."""
        made = Run(
            self.db, self.run_date, self.now, self.execution_id, self.limits, force=True, as_observed=self.as_observed,
            present=self.present, expected=self.expected, dry=self.dry,
        )
        made.forecast = self.forecast
        return made

    def judge(self, week_ending: date | str) -> None:
        """Evaluates a week in the transaction that changed its data, so that no kill leaves it ready by mistake."""
        from market_spine.app.readiness import evaluate_readiness

        evaluate_readiness(week_ending, self.db, now=self.present or self.now, calendar=self.expected.calendar)

    def judge_if_ready(self, partition: Partition) -> None:
        """The same for rows whose measures follow: only what counts as ready can be so by mistake until then."""
        from market_spine.app.readiness import counts_as_ready

        if counts_as_ready(partition, self.db):
            self.judge(partition.week_ending)

    def hand_over(self, capture_id: str, ingest_no: int, measured: TierMeasures) -> None:
        """Keeps the measures of rows just normalized for the calc phase, which otherwise reads the rows back from the tables."""
        held = sum(kept.tier.symbol_count for kept in self._measured.values())
        if held + measured.tier.symbol_count <= _HAND_OVER_SYMBOLS:
            self._measured[capture_id, ingest_no] = measured

    def take_over(self, capture_id: str, ingest_no: int) -> TierMeasures | None:
        """The measures of exactly that content, if they were kept."""
        return self._measured.pop((capture_id, ingest_no), None)
