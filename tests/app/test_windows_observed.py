"""The windows of contents that are loaded as observed on past days."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from support.desk import FRIDAYS, PLAIN, WEEK, Desk
from support.nineteen_weeks import WEEKS, lines_of, rows

from market_spine.app import scheduler
from market_spine.db import Database
from market_spine.partition import OTC


def test_content_loaded_under_past_days_has_the_windows_of_these_days(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    for week in WEEKS[-6:]:
        desk.publish(week, OTC, lines_of(week))
    desk.run(FRIDAYS[0], weeks=WEEKS[-6:], tiers=(OTC,))
    newest = rows(db, "rolling_hhi")
    observed(desk, FRIDAYS[0] - timedelta(days=7), PLAIN)
    assert rows(db, "rolling_hhi") == newest
    early = rows(db, "rolling_hhi", as_of=FRIDAYS[0] - timedelta(days=7))
    assert early[0]["reason"] == f"{WEEKS[-2]} OTC missing and 4 weeks more"
    for week in WEEKS[-6:-1]:
        observed(desk, FRIDAYS[0] - timedelta(days=7), PLAIN, week)
    (early,) = rows(db, "rolling_hhi", as_of=FRIDAYS[0] - timedelta(days=7))
    assert early["hhi"] not in (None, newest[0]["hhi"])
    assert rows(db, "rolling_hhi") == newest


def observed(desk: Desk, day: date, lines: Any, week: date = WEEK) -> None:
    """Loads a content as observed on a past day."""
    desk.publish(week, OTC, lines)
    context = desk.context(day)
    context.as_observed = True
    scheduler.run_schedule(context, desk.source(), scheduler.Plan((week,), (OTC,)), lambda outcome: None)
