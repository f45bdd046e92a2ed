"""What a content is judged against: the accepted weeks before it, other partitions, and what operators decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from market_spine.calendar.exchange import sessions
from market_spine.core.captures import Current
from market_spine.core.holds import Hold
from market_spine.gates.profile import BUILT_IN, MIN_ROWS, MIN_WEEKS, Profile
from market_spine.partition import Partition

if TYPE_CHECKING:
    from market_spine.gates.figures import Figures, Seen, Shape

SHAPES = 8  # weeks of which the spread is looked at


class Limits(NamedTuple):
    """The limits beyond which a file or a capture is held; all are options."""

    max_reject_ratio: float = 0.05
    min_kept_ratio: float = 0.5
    accept_shrink: bool = False


class Week(NamedTuple):
    """An accepted week of the history; `shape` of the latest ones only."""

    partition: Partition
    capture_id: str
    content_hash: str
    figures: Figures
    shape: Shape | None = None

    @property
    def sessions(self) -> float:
        return sessions(self.partition.week_ending)


class Other(NamedTuple):
    """A content of another partition, or the one that is current in this."""

    partition: Partition
    seen: Seen
    capture_id: str = ""
    content_hash: str = ""


class Past(NamedTuple):
    """Everything a content of a partition is judged against. `weeks`: oldest first, none as late as the partition's own."""

    weeks: Sequence[Week] = ()
    others: Sequence[Other] = ()  # of the weeks around it, any tier
    replaced: Other | None = None  # the content of the current capture
    current: Current | None = None
    twin: Partition | None = None  # another partition whose current content is exactly this one
    decision: Hold | None = None  # an operator's last word on exactly this content
    levels: Sequence[date] = ()  # weeks from which on an operator accepted a new level
    profile: Profile = BUILT_IN

    @property
    def shapes(self) -> list[Shape]:
        """How the last weeks were spread, oldest first."""
        return [week.shape for week in self.weeks[-SHAPES:] if week.shape is not None]

    @property
    def is_enough(self) -> bool:
        """Whether the learnt gates can judge: enough weeks, and weeks large enough to have stable figures."""
        rows = sorted(week.figures.rows for week in self.weeks[-SHAPES:])
        return len(self.weeks) >= MIN_WEEKS and rows[len(rows) // 2] >= MIN_ROWS

