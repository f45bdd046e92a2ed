"""What follows when an operator changes which capture of a partition is current."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from market_spine.app.context import Run
from market_spine.app.plan import Plan, only
from market_spine.app.scheduler import run_schedule
from market_spine.core import captures
from market_spine.outcome import Outcome, Phase
from market_spine.partition import Partition


@dataclass(frozen=True, slots=True)
class Change:
    """A partition whose current capture changed: the capture before and after (None: it had or has none)."""

    partition: Partition
    before: str | None
    after: str | None
    became: str = "withdrawn"  # what the one before is now

    @property
    def says(self) -> str:
        """The change in words."""
        was, now = (f"…:{name[-8:]}" if name else "none" for name in (self.before, self.after))
        if self.after is None:
            return f"{was} is {self.became}; there is no earlier good capture, so the partition has none now"
        return f"{was} was current, {now} is now" if was != now else f"{now} stays current"

    def entry(self) -> dict[str, str | None]:
        """The change, for machines."""
        return {
            "week_ending": self.partition.week, "tier": self.partition.tier, "was_current": self.before, "is_current": self.after
        }


@dataclass(frozen=True, slots=True)
class Changed:
    """What an operator's change did: the captures changed, and the outcomes of what was computed again."""

    changes: tuple[Change, ...]
    outcomes: tuple[Outcome, ...]


def current_id(run: Run, partition: Partition) -> str | None:
    """The current capture of a partition."""
    current = captures.current(run.db, partition)
    return current.capture_id if current else None


def follow(
    run: Run, before: Mapping[Partition, str | None], *, normalizes: bool = False, became: str = "withdrawn"
) -> Changed:
    """Computes again what came from captures that are no longer current, and evaluates the week; with `normalizes`, what waits is
    normalized first. `before`: what was current of each partition."""
    week = next(iter(before)).week_ending
    tiers = tuple(partition.tier for partition in before)
    phases = ((Phase.NORMALIZE,) if normalizes else ()) + only(Phase.CALC)
    result = run_schedule(run, None, Plan((week,), tiers, phases), lambda outcome: None)
    changes = [Change(partition, old, current_id(run, partition), became) for partition, old in before.items()]
    return Changed(tuple(changes), tuple(result.outcomes))
