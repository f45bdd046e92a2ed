"""The verdict of a gate, and what all gates together make of a content."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from market_spine.categories import Category
from market_spine.partition import Partition


class Verdict(StrEnum):
    """What a gate says, in ascending order."""

    PASS = "PASS"
    INFO = "INFO"
    WARN = "WARN"
    HOLD = "HOLD"
    REFUSE = "REFUSE"  # of content that cannot be stored at all


class Kind(StrEnum):
    """What a gate judges by: a rule without a threshold, or the history of the tier."""

    EXACT = "exact"
    LEARNT = "learnt"


class Result(NamedTuple):
    """What one gate found. `y` is what it measured, `expected` what the history lets expect, within `low` … `high`; `z` how many
    times the usual deviation it is away, `p` the share of the `n` earlier weeks that were as far."""

    gate: str
    kind: Kind
    verdict: Verdict
    explanation: str = ""
    cause: str = ""  # likely, in words; part of the sentence of a hold
    category: Category = Category.IMPLAUSIBLE_CONTENT
    y: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    z: float | None = None
    p: float | None = None
    n: int | None = None
    hint: str = ""  # instead of the command that releases


class Judgement(NamedTuple):
    """The results of every gate on a content of a partition. `overruled`: an operator released exactly this content."""

    partition: Partition
    profile_id: str
    regime: str
    results: tuple[Result, ...]
    overruled: bool = False

    def of(self, verdict: Verdict) -> list[Result]:
        """The results with that verdict, in the order of the gates: the gravest first."""
        return [result for result in self.results if result.verdict is verdict]

    @property
    def is_held(self) -> bool:
        return bool(self.of(Verdict.HOLD)) and not self.overruled

    @property
    def headline(self) -> Result | None:
        """The result that the sentence is about: of several that one fault causes, the first."""
        return next(iter(self.of(Verdict.HOLD) or self.of(Verdict.WARN)), None)

    @property
    def sentence(self) -> str:
        """Why the content is held or unusual, with its figures; empty where it is neither."""
        if self.headline is None:
            return ""
        others = [result.gate for result in (*self.of(Verdict.HOLD), *self.of(Verdict.WARN)) if result is not self.headline]
        more = f" The same fault shows in: {', '.join(dict.fromkeys(others))}." if others else ""
        cause = f" {self.headline.cause}" if self.headline.cause else ""
        return f"{self.headline.explanation}.{cause}{more}"

    @property
    def hint(self) -> str:
        """What to do, and the command that overrules the gates."""
        week, tier = self.partition.week, self.partition.tier
        own = self.headline.hint if self.headline else ""
        return own or f'if it is true: spine release {week} {tier} --reason "it is true"'

    @property
    def message(self) -> str:
        """The sentence, and what to do."""
        return f"{self.sentence} What to do: {self.hint}"

    def entry(self) -> dict[str, object]:
        """The judgement, for the details of an anomaly."""
        shown = (*self.of(Verdict.HOLD), *self.of(Verdict.WARN))
        checks = [{"gate": r.gate, "verdict": r.verdict.value, "y": r.y, "expected": r.expected, "z": r.z} for r in shown]
        return {"checks": checks, "profile": self.profile_id}
