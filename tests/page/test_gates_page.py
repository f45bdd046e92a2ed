"""The page of the gates: how often their limits would have warned of weeks that were accepted, as `spine gates backtest` says."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from support.commands import RunCommand
from support.desk import FRIDAYS, WEEK, Desk

from market_spine import clock
from market_spine.app.context import Expectations
from market_spine.db import connect
from market_spine.gates.profile import MIN_ROWS
from market_spine.page.looking import looking
from market_spine.page.views import work
from market_spine.partition import OTC

WEEKS = [WEEK - timedelta(weeks=n) for n in reversed(range(9))]


def test_the_false_alarms_are_those_of_the_backtest(target: str, files: Path, run_command: RunCommand) -> None:
    with closing(connect(target)) as db:
        desk = Desk(files, db)
        for number, week in enumerate(WEEKS):
            desk.publish(week, OTC, [(f"S{n}", "UBSA", "UBS ATS", 1000 + 7 * n + 3 * number, 10) for n in range(MIN_ROWS)])
            desk.run(week + timedelta(weeks=6), [week], [OTC])
        with looking(db, FRIDAYS[0], clock.moment_of(FRIDAYS[0]), None, Expectations()) as look:
            (shown,) = work.gates(look).tables()["false_alarms"].rows
    said = json.loads(run_command("spine", "gates", "backtest", "--newest", "60", "--json", "--db", target).stdout)["tiers"]
    (tier,) = [each for each in said if each["weeks"]]
    assert shown[1:] == (tier["weeks"], tier["warned"], tier["warned_at_most"], tier["held"], tier["held_at_most"])
    assert tier["weeks"] > 0
    few = json.loads(run_command("spine", "gates", "backtest", "--newest", "3", "--json", "--db", target).stdout)["tiers"]
    assert [each["weeks"] for each in few] == [0]
