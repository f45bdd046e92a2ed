"""What there is to cite of captures: read in one statement, pruned ones too."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine.db import Database
from market_spine.operate import prune
from market_spine.partition import NMS_TIER_2, OTC
from market_spine.query.history import list_captures
from market_spine.query.sources import Source, sources


class Counting:
    """A database that counts what it is asked."""

    def __init__(self, db: Database) -> None:
        self._db, self.count = db, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, *arguments: Any) -> Any:
        self.count += 1
        return self._db.execute(*arguments)


def test_kept_and_pruned_captures_are_read_at_once(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    weeks = (WEEK - timedelta(weeks=1), WEEK)
    desk.publish_weeks(weeks)
    desk.run(FRIDAYS[0], weeks)
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1], weeks)
    prune.prune(desk.context(date(2026, 6, 5)), 30, "old")
    chosen = [each for each in list_captures(db) if each.state == "pruned" or each.tier != NMS_TIER_2]
    expected = [Source(each.capture_id, each.week, each.tier, each.captured_at, each.content_hash[:16]) for each in chosen]
    counting: Any = Counting(db)
    cited = sources(counting, [each.capture_key for each in chosen * 2])
    assert list(cited) == sorted(expected, key=lambda each: (each.week_ending, each.tier, each.capture_id))
    assert (counting.count, {each.state for each in chosen}) == (1, {"pruned", "current"})
    assert sources(db, []) == ()
