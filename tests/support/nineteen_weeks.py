"""Nineteen weeks of two tiers, each with other volumes: enough for windows of thirteen weeks."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from market_spine.db import Database
from market_spine.partition import NMS_TIER_1, OTC
from market_spine.query import answer
from market_spine.query.answer import Question
from market_spine.query.views import VIEWS
from support.desk import FRIDAYS, WEEK, Desk, Line

WEEKS = tuple(WEEK - timedelta(weeks=back) for back in reversed(range(19)))


def lines_of(week: date) -> list[Line]:
    """Every week has other volumes, and not every week every venue."""
    n = WEEKS.index(week)
    some = [("AAPL", "UBSA", "UBS ATS", 1000 + 37 * n, 10), ("MSFT", "", "De Minimis Firms", 300 + n * n, 3)]
    return some + ([("AAPL", "JPMX", "JPM-X", 500 - 11 * n, 5)] if n % 4 else [])


def nineteen_weeks(db: Database, folder: Path) -> None:
    """Of two tiers, captured on one Friday."""
    desk = Desk(folder, db)
    for week in WEEKS:
        for tier in (NMS_TIER_1, OTC):
            desk.publish(week, tier, lines_of(week))
    run(desk, FRIDAYS[0])


def run(desk: Desk, day: date) -> None:
    desk.run(day, weeks=WEEKS, tiers=(NMS_TIER_1, OTC))


def rows(db: Database, view: str, week: date = WEEK, tier: str = OTC, length: int = 6, as_of: date | None = None) -> list[dict[str, Any]]:
    question = Question(VIEWS[view], (week,), (tier,), as_of=as_of, length=length)
    return [dict(zip(question.view.columns, row, strict=True)) for row in answer.answer(db, question)]
