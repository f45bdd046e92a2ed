"""The README's two commands: what they run works, and CI runs the second to the letter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.commands import RunCommand

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / ".ci" / "run"


def _commands() -> list[str]:
    return re.findall(r"^(?:\$ )?(python3 -m venv .*)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)


def test_the_readme_has_two_commands_of_one_line() -> None:
    run, test = _commands()
    assert run.endswith(".venv/bin/run_finra_weekly_schedule --run-date 2026-01-09")
    assert test.endswith(".venv/bin/pytest")


def test_the_first_command_ends_with_all_weeks_ready(run_command: RunCommand, tmp_path: Path) -> None:
    name, *arguments = _commands()[0].rpartition("/bin/")[2].split()
    done = run_command(name, *arguments, env={"MARKET_SPINE_DB": str(tmp_path / "new.db")}, cwd=ROOT)
    assert done.exit_code == 0, done.stderr
    assert "Weeks ready:        6\n  Weeks not ready:    0" in done.stdout


def test_ci_ends_with_the_second_command() -> None:
    assert CI.read_text("utf-8").splitlines()[-1] == _commands()[1]
    assert os.access(CI, os.X_OK)


def test_ci_is_sound_shell() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("no shellcheck here")
    done = subprocess.run(["shellcheck", str(CI)], capture_output=True, text=True, check=False)
    assert done.stdout == ""
