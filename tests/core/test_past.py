"""`spine status --as-of` shows what was printed at the end of that day, whatever has happened since."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from support.commands import RunCommand
from support.desk import FRIDAYS, WEEK, Desk

from market_spine import clock
from market_spine.core import executions
from market_spine.db import Database
from market_spine.partition import OTC

OPTIONS = ("--weeks", "12", "--json")


def printed(run_command: RunCommand, target: str, day: date) -> str:
    return run_command("spine", "status", *OPTIONS, "--run-date", str(day), "--db", target).stdout


def shown(run_command: RunCommand, target: str, day: date) -> str:
    return run_command("spine", "status", *OPTIONS, "--as-of", str(day), "--db", target).stdout


def test_a_killed_run_had_named_the_source(db: Database, target: str, tmp_path: Path, run_command: RunCommand) -> None:
    desk, (day, later, *_) = Desk(tmp_path / "files", db), FRIDAYS
    desk.publish_weeks([WEEK])
    desk.run(day)
    executions.start(db, "killed", "weekly", day, {"source": "api"}, clock.moment_of(day))
    then = printed(run_command, target, day)
    executions.start(db, "newer", "weekly", later, {"source": "file"}, clock.moment_of(later))
    assert "--source api" in then and "--source api" not in printed(run_command, target, later)
    assert shown(run_command, target, day) == then


def test_a_refusal_of_another_content_in_the_same_words(
    db: Database, target: str, tmp_path: Path, run_command: RunCommand
) -> None:
    """Which content was refused decides whether it is normalized again or fetched again."""
    desk, (day, later, *_) = Desk(tmp_path / "files", db), FRIDAYS
    desk.publish_weeks([WEEK])
    for blank_lines in (0, 1):
        empty = desk.publish(WEEK, OTC, [])
        empty.write_text(empty.read_text("utf-8") + "\n" * blank_lines, "utf-8")
        desk.run(day)
    then = printed(run_command, target, day)
    desk.publish_weeks([WEEK])
    desk.run(later)
    assert "NO_ROWS" in then and "spine backfill" in then
    assert shown(run_command, target, day) == then


def test_readiness_as_of_a_day_is_the_judgement_of_that_day(
    db: Database, target: str, tmp_path: Path, run_command: RunCommand
) -> None:
    desk, (day, later, *_) = Desk(tmp_path / "files", db), FRIDAYS
    desk.publish(WEEK, OTC)
    desk.run(day)
    desk.publish_weeks([WEEK])
    desk.run(later)

    def ready(*options: str) -> dict[str, tuple[int, str | None]]:
        done = run_command("spine", "query", "readiness", "--week", str(WEEK), *options, "--json", "--db", target)
        return {str(row["tier"]): (row["is_ready"], row["blocking_issues"]) for row in json.loads(done.stdout)["rows"]}

    assert ready() == dict.fromkeys(("None", "NMS_TIER_1", "NMS_TIER_2", "OTC"), (1, None))
    then = ready("--as-of", str(day))
    assert then["OTC"] == (1, None) and then["NMS_TIER_1"] == (0, "Missing tiers: NMS_TIER_1")
    assert then["None"] == (0, "Missing tiers: NMS_TIER_1, NMS_TIER_2")
    assert ready("--tier", "OTC", "--as-of", str(day)).keys() == {"None", "OTC"}
    before = run_command("spine", "query", "readiness", "--as-of", "2020-01-01", "--db", target)
    assert before.exit_code != 0 and "the log of events began on" in before.stderr
