"""The log lines of a run for people: a heading for each phase, and in one line what nobody has to look at.

Programs get every outcome on a line of its own (`--log-format json`, `--verbose`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from market_spine.app import report
from market_spine.calendar import publication
from market_spine.calendar.publication import EXCHANGE, Calendar
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import Partition

HEADINGS = {
    Phase.INGEST: "Phase 1: Ingestion",
    Phase.NORMALIZE: "Phase 2: Normalization",
    Phase.CALC: "Phase 3: Analytics",
    Phase.READINESS: "Phase 4: Readiness",
}
_LEVELS = {Status.FAILED: logging.ERROR, Status.HELD: logging.ERROR, Status.LATE: logging.WARNING}
_ACTED = (Status.DONE, Status.FAILED, Status.HELD)


class Line(NamedTuple):
    """A line of the log, and the outcome it is about, if it is about one."""

    level: int
    text: str
    outcome: Outcome | None = None
    is_heading: bool = False


def level_of(outcome: Outcome) -> int:
    """A warning is what somebody should look at."""
    return _LEVELS.get(outcome.status, logging.WARNING if report.mark_of(outcome) == "⚠" else logging.INFO)


@dataclass(slots=True)
class Journal:
    """Turns outcomes, as they come, into lines; `rest` returns those still kept at the end. With `folds` false each outcome has a
    line of its own, and there are no headings; with `explains` there is one more about where a content is from."""

    calendar: Calendar | None = EXCHANGE
    folds: bool = True
    explains: bool = False
    _phase: Phase | None = None
    _kept: list[Outcome] = field(default_factory=list)
    _changed: set[date] = field(default_factory=set)

    def lines(self, outcome: Outcome) -> Iterator[Line]:
        """The lines that are due once this outcome is there."""
        if self.folds and outcome.phase is not self._phase:
            yield from self.rest()
            self._phase = outcome.phase
            yield Line(logging.INFO, HEADINGS[outcome.phase], is_heading=True)
        if outcome.status in _ACTED or outcome.rows is not None:
            self._changed.add(outcome.week_ending)
        if self.folds and _only_awaits(outcome):
            self._kept.append(outcome)
        else:
            yield Line(level_of(outcome), report.line(self._unchanged(outcome)), outcome)
        if self.explains and "sha256" in outcome.details:
            yield Line(logging.DEBUG, f"{outcome.where}: {_origin(outcome)}")

    def rest(self) -> Iterator[Line]:
        """The line for what was folded in the phase that ends."""
        kept, self._kept = self._kept, []
        if kept:
            yield Line(logging.INFO, f"→ {self._folded(kept[0].phase, kept)}")

    def _unchanged(self, outcome: Outcome) -> Outcome:
        was_ready = outcome.status is Status.READY and outcome.week_ending not in self._changed
        return outcome._replace(message="Already ready (no changes)") if was_ready else outcome

    def _folded(self, phase: Phase, kept: Sequence[Outcome]) -> str:
        weeks = _weeks(sorted({outcome.week_ending for outcome in kept}))
        if phase is Phase.INGEST:
            return f"{_count(len(kept), 'partition')} not yet published{self._next(kept)}"
        if phase is Phase.CALC:
            return f"Week totals follow when all tiers are published: {weeks}"
        return f"Awaiting publication: {weeks}"

    def _next(self, kept: Sequence[Outcome]) -> str:
        """`; next Mon 2026-01-12: 2025-12-26 / NMS_TIER_1`, of the partitions that are awaited."""
        if self.calendar is None:
            return ""
        partitions = [Partition(outcome.week_ending, outcome.tier) for outcome in kept if outcome.tier]
        days = {partition: publication.due_date(partition, self.calendar) for partition in partitions}
        first = min(days.values())
        named = ", ".join(str(partition) for partition in sorted(partitions) if days[partition] == first)
        return f"; next {first:%a %Y-%m-%d}: {named}"


def _only_awaits(outcome: Outcome) -> bool:
    """Whether nothing is left to do but to wait for FINRA."""
    if outcome.phase is Phase.READINESS:
        return outcome.status is Status.NOT_READY and bool(outcome.details.get("only_awaits"))
    return outcome.status is Status.AWAITING


def _origin(outcome: Outcome) -> str:
    """`from files/otc_week_2026-01-09.psv, 12,345 bytes, sha256 1a2b…, 3 requests`."""
    details = outcome.details
    requests = f", {details['requests']} requests" if details["requests"] else ""
    return f"from {details['source_uri']}, {details['bytes']:,} bytes, sha256 {details['sha256']}{requests}"


def _weeks(weeks: Sequence[date]) -> str:
    return f"{_count(len(weeks), 'week')} ({', '.join(map(str, weeks))})" if len(weeks) <= 3 else (
        f"{len(weeks)} weeks ({weeks[0]} to {weeks[-1]})"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
