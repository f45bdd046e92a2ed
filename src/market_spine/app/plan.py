"""What a run works on: weeks × tiers, partitions outside them, and which phases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import Partition

OPEN_WEEKS = 26
ALL_PHASES = tuple(Phase)


def only(phase: Phase) -> tuple[Phase, ...]:
    """One phase, and the readiness of what it has changed."""
    return tuple(dict.fromkeys((phase, Phase.READINESS)))


def phases_of(word: str) -> tuple[Phase, ...]:
    """The phases of a value of `--only-stage`: `all`, or the name of a phase."""
    return ALL_PHASES if word == "all" else only(Phase(word))


class Plan(NamedTuple):
    """The window, and, filled in by widen(), what the run works on outside it."""

    weeks: tuple[date, ...]
    tiers: tuple[str, ...]
    phases: tuple[Phase, ...] = ALL_PHASES
    fail_fast: bool = False
    sweeps: bool = False  # also what is open, new or changed outside these weeks
    open_weeks: int = OPEN_WEEKS  # how far before the window a missing partition is requested
    revised: tuple[Partition, ...] = ()  # outside the window, and new or changed at the source
    open: tuple[Partition, ...] = ()  # outside the window: due and not complete
    open_weeks_results: tuple[date, ...] = ()  # weeks outside the window whose own measures are behind
    turns: tuple[Partition, ...] = ()  # whose whole content is compared in this run, whatever the source reports

    @property
    def window(self) -> list[Partition]:
        return [Partition(week, tier) for week in self.weeks for tier in self.tiers]

    @property
    def partitions(self) -> list[Partition]:
        """The window, what is open before it, and what was revised outside it; each once."""
        return list(dict.fromkeys((*self.window, *self.open, *self.revised)))

    @property
    def all_weeks(self) -> tuple[date, ...]:
        """The weeks of all that, and those whose results are behind."""
        outside = (partition.week_ending for partition in (*self.open, *self.revised))
        return tuple(dict.fromkeys((*self.weeks, *outside, *self.open_weeks_results)))

    @property
    def open_count(self) -> int:
        """Open partitions, and weeks of which only the results are open."""
        return len(self.open) + len(set(self.open_weeks_results) - {partition.week_ending for partition in self.open})

    def with_taken(self, outcomes: Iterable[Outcome]) -> Plan:
        """Adds what the ingest phase stored outside the plan, so that the later phases process it too."""
        done = (outcome for outcome in outcomes if (outcome.phase, outcome.status) == (Phase.INGEST, Status.DONE))
        taken = dict.fromkeys(Partition(outcome.week_ending, outcome.tier) for outcome in done if outcome.tier)
        known = set(self.partitions)
        return self._replace(revised=(*self.revised, *(partition for partition in taken if partition not in known)))
