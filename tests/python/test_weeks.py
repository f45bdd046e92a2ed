"""The weeks of a store: ready for what, since when, and how long after their Friday."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.commands import run_here
from support.desk import FRIDAYS, WEEK, Desk, restated

import market_spine
from market_spine import clock
from market_spine.app import readiness
from market_spine.db import Database
from market_spine.operate import rollback
from market_spine.partition import OTC

FIRST, RESTATED, ROLLED_BACK, _ = FRIDAYS


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """A week that was ready on the first Friday, restated on the second, and lacks a tier since the third."""
    desk = restated(tmp_path / "files", db)
    rollback.roll_back(desk.context(ROLLED_BACK), WEEK, [OTC], "faulty")
    rollback.roll_back(desk.context(ROLLED_BACK), WEEK, [OTC], "faulty, too")
    return desk


def test_the_lag_is_counted_from_the_friday_to_the_day_since_which_the_week_is_ready(desk: Desk, target: str) -> None:
    query = market_spine.open(target).weeks(week=WEEK, tier="OTC")
    lags = {day: {row.tier: row.lag_days for row in query.as_of(day).rows()} for day in (FIRST, RESTATED, ROLLED_BACK)}
    first = (FIRST - WEEK).days
    assert lags[FIRST] == {None: first, "OTC": first}
    assert lags[ROLLED_BACK] == {None: None, "OTC": None}, "not ready"
    released = [(row.is_ready, row.lag_days, row.known_from) for row in query.all_releases().rows() if row.tier is None]
    assert (released[0], released[-1]) == ((1, first, str(FIRST)), (0, None, str(ROLLED_BACK)))


def test_the_weeks_are_those_of_spine_query_and_the_lag(desk: Desk, target: str, tmp_path: Path) -> None:
    result = market_spine.open(target).weeks().latest()
    printed = run_here(["spine", "query", "readiness", "--csv", "--db", target], tmp_path, {}).stdout
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([result.columns[:-1], *(row[:-1] for row in result.rows())])
    assert (text.getvalue(), result.columns[-1]) == (printed, "lag_days")


def test_another_purpose_shows_what_was_judged_for_it(desk: Desk, target: str) -> None:
    other = WEEK - timedelta(weeks=1)
    desk.publish_weeks([other])
    desk.run(date(2026, 1, 30))
    readiness.evaluate_readiness(WEEK, desk.db, "research", now=clock.moment_of(date(2026, 1, 30)))
    store = market_spine.open(target)
    query = store.weeks(ready_for="research")
    assert repr(query) == "<weeks(ready_for='research')>"
    for run in (query.latest, query.all_releases):
        rows = run().rows()
        assert {row.week_ending for row in rows} == {str(WEEK)}
        assert set(rows) <= set((store.weeks().latest() if run == query.latest else store.weeks().all_releases()).rows())
