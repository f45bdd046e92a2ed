"""Restatements: captures of a later day that replaced an earlier one with other content, and by how much they differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from market_spine.db import Database
from market_spine.partition import partition_of
from market_spine.query.history import CURRENT, SUPERSEDED, Entry, list_captures


@dataclass(frozen=True, slots=True)
class Restatement:
    """A capture, and the one that it replaced."""

    before: Entry
    after: Entry

    @property
    def where(self) -> str:
        return f"{self.after.week} / {self.after.tier}"

    @property
    def shares(self) -> float:
        """How many shares more there are now."""
        return (self.after.shares or 0) - (self.before.shares or 0)

    @property
    def change(self) -> str:
        """`−466,914 shares, 369 → 368 rows`; rows only where their number changed."""
        shares = f"{self.shares:+,.6f}".rstrip("0").rstrip(".").replace("-", "−") if self.shares else "same"
        rows = "" if self.before.rows == self.after.rows else f", {self.before.rows:,} → {self.after.rows:,} rows"
        return f"{shares} shares{rows}"

    def __str__(self) -> str:
        return f"{self.where} restated: {self.change}"

    def entry(self) -> dict[str, object]:
        """The restatement, for machines."""
        return {
            "week_ending": self.after.week, "tier": self.after.tier, "run_date": self.after.run_date,
            "capture_id": self.after.capture_id, "replaces": self.before.capture_id, "shares_change": self.shares,
            "rows_before": self.before.rows, "rows": self.after.rows, "text": str(self),
        }


def of_partition(entries: Sequence[Entry]) -> list[Restatement]:
    """Those of one partition; `entries` are its captures, oldest first. Forced captures of the same content are left out."""
    kept = [entry for entry in entries if entry.state in (CURRENT, SUPERSEDED)]
    return [Restatement(*pair) for pair in pairwise(kept) if pair[0].content_hash != pair[1].content_hash]


def taken_in(db: Database, capture_ids: Iterable[str]) -> list[Restatement]:
    """Those among these captures."""
    restated = []
    for capture_id in capture_ids:
        partition = partition_of(capture_id)
        entries = list_captures(db, partition.week_ending, (partition.tier,))
        restated += [each for each in of_partition(entries) if each.after.capture_id == capture_id]
    return restated
