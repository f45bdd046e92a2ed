"""Completion of what is stored, where the settings file names the database."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import Finished, RunCommand
from support.desk import FRIDAYS, WEEK, Desk

from market_spine.db import Database


def complete(run_command: RunCommand, begun: str, home: Path) -> Finished:
    asked = {"_SPINE_COMPLETE": "bash_complete", "COMP_WORDS": begun, "COMP_CWORD": str(begun.count(" "))}
    return run_command("spine", env=asked, cwd=home)


def test_weeks_of_the_database_in_the_settings_file(db: Database, target: str, tmp_path: Path, run_command: RunCommand) -> None:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    desk.run(FRIDAYS[0], [WEEK])
    (tmp_path / "market_spine.toml").write_text(f'db = "{target}"\n')
    assert complete(run_command, "spine captures 20", tmp_path).stdout == f"plain,{WEEK}\n"


@pytest.mark.parametrize("settings", ["db = [", "dbb = 'x'", "db = 'mysql://x'"])
def test_a_settings_file_that_is_wrong_completes_to_nothing(settings: str, tmp_path: Path, run_command: RunCommand) -> None:
    (tmp_path / "market_spine.toml").write_text(settings)
    done = complete(run_command, "spine captures 20", tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("", "")
