"""A day that is filled in later from a kept file answers what it would have answered if the run had been on that day."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine import clock
from market_spine.app.plan import Plan
from market_spine.app.scheduler import run_schedule
from market_spine.core.store import Mode
from market_spine.core.timeline import Permits
from market_spine.db import Database, connect
from market_spine.operate import verify
from market_spine.operate.operation import Task, operation
from market_spine.partition import NMS_TIER_1, OTC, TIERS
from market_spine.query.answer import Question, answer
from market_spine.query.views import VIEWS

STORIES = int(os.environ.get("OBSERVED_STORIES", "3"))
DAYS = [FRIDAYS[0] + timedelta(days=n) for n in range(9)]
CONTENTS = (PLAIN, REVISED, (*PLAIN, ("TSLA", "UBSA", "UBS ATS", 9, 1)))
NAMES = ("capture_id", "captured_at", "inputs_hash")  # of captures and moments, which differ

Contents = dict[str, int]  # which content each tier has


class Store:
    """A store, and the folder its runs read."""

    def __init__(self, target: str, folder: Path) -> None:
        self.target, self._folder = target, folder

    def run(self, day: date, shown: Contents, *, observed: bool) -> set[str]:
        """A run on a day, or later of the files kept of it; the tiers that were refused."""
        task = Task(self.target, "weekly_schedule", day, clock.moment_of(day), {}, permits=Permits(past=observed), mode=Mode.CREATE)
        with operation(task) as done:
            desk = Desk(self._folder, done.run.db)
            for tier in TIERS:
                desk.publish(WEEK, tier, CONTENTS[shown.get(tier, 0)])
            done.outcomes = run_schedule(done.run, desk.source(), Plan((WEEK,), TIERS), lambda outcome: None).outcomes
        refused = {str(outcome.tier): outcome.category for outcome in done.outcomes if outcome.category}
        assert set(refused.values()) <= ({"DAY_TAKEN"} if observed else set())
        return set(refused)

    def figures(self) -> dict[tuple[str, date], list[list[object]]]:
        """What every view shows as of every day."""
        with closing(connect(self.target, read_only=True)) as db:
            assert list(verify.verify(db, deep=True)) == []
            return {(name, day): _figures(db, name, day) for name in VIEWS for day in DAYS}


def _figures(db: Database, name: str, day: date) -> list[list[object]]:
    kept = [at for at, column in enumerate(VIEWS[name].columns) if column not in NAMES]
    return [[row[at] for at in kept] for row in answer(db, Question(VIEWS[name], as_of=day))]


def served(draw: Random) -> dict[date, Contents]:
    """What FINRA shows each day: one tier never changes, and contents come back."""
    shown, days = {NMS_TIER_1: 0, OTC: 0}, {}
    for day in DAYS:
        for tier in shown:
            if draw.random() < 0.4:
                shown[tier] = draw.randrange(len(CONTENTS))
        days[day] = dict(shown)
    return days


@pytest.mark.parametrize("seed", range(STORIES))
def test_filled_in_later_is_as_run_that_day(new_target: str, tmp_path: Path, seed: int) -> None:
    draw = Random(seed)
    later, truth = Store(new_target, tmp_path / "files"), Store(str(tmp_path / "truth.db"), tmp_path / "all")
    days = served(draw)
    live = [day for day in DAYS if draw.random() < 0.4] or [DAYS[0]]
    kept = [day for day in DAYS if day not in live]
    draw.shuffle(kept)
    for day in live:
        later.run(day, days[day], observed=False)
    for day in kept:
        for tier in later.run(day, days[day], observed=True):
            del days[day][tier]  # it stays what was captured before, and seen again since
    shown = dict.fromkeys(TIERS, 0)
    for day in DAYS:
        shown |= days[day]
        truth.run(day, shown, observed=False)
    assert later.figures() == truth.figures()
