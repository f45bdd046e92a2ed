"""A history with weeks left out: its last weeks are compared with, however long ago they were."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from gate_trials import history as market
from gate_trials.trials import Store, is_held

from market_spine.app import judging
from market_spine.core import captures, checks
from market_spine.db import Database
from market_spine.outcome import Phase, Status
from market_spine.partition import NMS_TIER_1, Partition


@pytest.fixture
def weeks() -> dict[date, list[str]]:
    return {week: files[NMS_TIER_1] for week, files in market.history(5, 18)}


@pytest.mark.parametrize("left_out", [range(4, 7), range(7, 17)], ids=["within the last eight", "since the last"])
def test_a_week_after_a_gap_is_judged_by_the_weeks_before_it(
    db: Database, tmp_path: Path, weeks: dict[date, list[str]], left_out: range
) -> None:
    store = Store(tmp_path, db, 5, 0)
    loaded = [week for number, week in enumerate(sorted(weeks)) if (number not in left_out and number < 12) or number == 17]
    for week in loaded:
        result = store.offer(Partition(week, NMS_TIER_1), market.content(weeks[week]))
        assert [outcome.status for outcome in result.of(Phase.NORMALIZE)] != [Status.FAILED] and not is_held(result)
    here = Partition(loaded[-1], NMS_TIER_1)
    current = captures.current(db, here)
    assert current is not None
    content = captures.version(db, current.capture_id, 1).content_hash
    stored = checks.checks_of(db, current.capture_id, 1)
    assert len(stored) > 20 and judging.again(db, here, current.capture_id, content) == stored
