"""A first run whose source cannot be opened has requested its weeks all the same."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import Desk

from market_spine.core.store import open_store
from market_spine.partition import TIERS

FRIDAY, NEXT = "2026-03-06", "2026-03-13"
OLDEST = date(2026, 1, 30)  # in the window of the first Friday alone


@pytest.mark.parametrize(
    ("source", "env"),
    [
        pytest.param("file", {}, id="a folder that is not mounted"),
        pytest.param("api", {"MARKET_SPINE_FINRA_CLIENT_ID": "an id without its secret"}, id="a credential without its secret"),
    ],
)
def test_its_weeks_are_open_on_the_next_friday(
    new_target: str, run_command: RunCommand, tmp_path: Path, source: str, env: dict[str, str]
) -> None:
    folder = tmp_path / "mount"
    common = ("run_finra_weekly_schedule", "--cron", "--db", new_target, "--data-dir", folder)
    first = run_command(*common, "--source", source, "--run-date", FRIDAY, env=env)
    assert first.exit_code == 2, first
    with open_store(new_target) as db:
        rows = db.execute("SELECT exit_code FROM core_executions").fetchall()
        assert [tuple(row) for row in rows] == [(2,)]
        desk = Desk(folder, db)
        for tier in TIERS:
            desk.publish(OLDEST, tier)
    done = run_command(*common, "--run-date", NEXT, "--verbose")
    assert "+3 open from earlier weeks" in done.stderr, done
    with open_store(new_target) as db:
        held = db.execute("SELECT COUNT(*) FROM finra_otc_transparency_current WHERE week_ending = ?", (str(OLDEST),)).fetchone()
        assert tuple(held or ()) == (3,)
