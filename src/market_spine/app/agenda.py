"""The partitions a run requests from its source, in order, including those that a change detected on the way adds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from market_spine.app.context import Run
from market_spine.app.plan import Plan
from market_spine.core import manifest
from market_spine.outcome import Outcome, Reason
from market_spine.partition import Partition


class Ask(NamedTuple):
    """One request. `whole`: the content itself is compared; `again`: this run has requested the partition before."""

    partition: Partition
    outside: bool
    whole: bool
    again: bool


class Agenda:
    """When one tier of a week has changed, the whole content of its other tiers is compared in the same run: a symbol that
    moves from one tier to another leaves no date in its old tier, and would be counted twice."""

    def __init__(self, run: Run, plan: Plan, *, moves: bool) -> None:
        self._run, self._plan, self._moves = run, plan, moves
        self._whole = set(plan.turns)
        self._waiting = dict.fromkeys((*plan.partitions, *plan.turns))
        self._asked: set[Partition] = set()

    def __iter__(self) -> Iterator[Ask]:
        while self._waiting:
            partition = next(iter(self._waiting))
            del self._waiting[partition]
            outside = partition.week_ending not in self._plan.weeks
            yield Ask(partition, outside, partition in self._whole, partition in self._asked)
            self._asked.add(partition)

    def note(self, ask: Ask, outcome: Outcome) -> None:
        """Records the outcome of a request; a change adds the other tiers of the week to the agenda."""
        if not self._moves or outcome.reason not in (Reason.CHANGED, Reason.REVISED):
            return
        self._whole.add(ask.partition)
        for tier in self._plan.tiers:
            other = Partition(ask.partition.week_ending, tier)
            if other not in self._whole and manifest.newest_raw(other.week_ending, tier, self._run.db) is not None:
                self._whole.add(other)
                self._waiting.setdefault(other)
