"""Each command in the table of `spine doctor` is of the database that was given: pasted, it must not make another."""

from __future__ import annotations

import shlex
from pathlib import Path

from support.commands import RunCommand
from support.desk import FRIDAYS, WEEK, Desk

from market_spine.db import Database, redact
from market_spine.partition import OTC, TIERS


def test_the_command_of_a_gap_names_the_database(db: Database, target: str, run_command: RunCommand, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    desk.publish(WEEK, OTC)
    desk.run()
    given = ("--weeks", WEEK, "--run-date", FRIDAYS[0], "--data-dir", desk.folder, "--db", target)
    printed = run_command("spine", "doctor", *map(str, given)).stdout.splitlines()
    commands = [line.partition("spine backfill ")[2] for line in printed if " RAW " in line]
    assert len(commands) == len(TIERS) - 1
    assert [f"--db {shlex.quote(redact(target))} " in f"{command} " for command in commands] == [True] * len(commands)
