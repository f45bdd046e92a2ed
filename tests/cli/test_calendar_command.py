"""`spine calendar`, as a user types it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.gates import DEADLINE

ON_A_TERMINAL = """\
Where nothing is stored by Tuesday 2026-02-10 (what is: spine status):

week ending  NMS_TIER_1          NMS_TIER_2          OTC
2026-02-06   awaiting Mon 02-23  awaiting Mon 03-09  awaiting Mon 03-09
2026-01-30   awaiting Tue 02-17  awaiting Mon 03-02  awaiting Mon 03-02
2026-01-23   late Mon 02-09      awaiting Mon 02-23  awaiting Mon 02-23
2026-01-16   missing Mon 02-02   awaiting Tue 02-17  awaiting Tue 02-17

Next: Tuesday 2026-02-17: 2026-01-16 / NMS_TIER_2, 2026-01-16 / OTC, 2026-01-30
/ NMS_TIER_1
"""


def test_asked_for_json_it_prints_a_document(run_command: RunCommand) -> None:
    done = run_command("spine", "calendar", "--weeks", "2", "--run-date", "2026-10-02", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    reported = json.loads(done.stdout)
    assert (reported["schema_version"], reported["run_date"], len(reported["partitions"])) == (1, "2026-10-02", 6)
    assert reported["partitions"][3] == {"week_ending": "2026-09-25", "tier": "NMS_TIER_1", "due": "2026-10-12", "state": "awaiting"}
    assert reported["next"] == [
        {"week_ending": "2026-09-04", "tier": "NMS_TIER_2", "due": "2026-10-05"},
        {"week_ending": "2026-09-04", "tier": "OTC", "due": "2026-10-05"},
        {"week_ending": "2026-09-18", "tier": "NMS_TIER_1", "due": "2026-10-05"},
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal there")
def test_on_a_terminal_it_is_a_table_that_moves_for_presidents_day() -> None:
    controller, terminal = pty.openpty()
    program = Path(sysconfig.get_path("scripts")) / "spine"
    arguments = [str(program), "calendar", "--weeks", "4", "--run-date", "2026-02-10"]
    done = subprocess.run(arguments, stdout=terminal, env={**os.environ, "NO_COLOR": "1"}, timeout=DEADLINE, check=False)
    os.close(terminal)
    text = ""
    while not text.endswith("NMS_TIER_1\r\n"):
        text += os.read(controller, 4096).decode()
    os.close(controller)
    assert done.returncode == 0
    assert text.replace("\r\n", "\n") == ON_A_TERMINAL


def test_an_operators_closures_count(run_command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "closures.toml").write_text("closed = [2026-10-12]\n", encoding="utf-8")
    done = run_command("spine", "calendar", "--run-date", "2026-10-02", "--calendar-file", tmp_path / "closures.toml", "--json")
    days = {(p["week_ending"], p["tier"]): p["due"] for p in json.loads(done.stdout)["partitions"]}
    assert days["2026-09-25", "NMS_TIER_1"] == "2026-10-13"


MISTAKES = [
    ("a calendar that is not there", ["--calendar-file", "none.toml"], "cannot read the calendar none.toml"),
    ("no weeks", ["--weeks", "0"], "'0' is not a whole number from 1 to 1,000"),
    ("a date in another form", ["--run-date", "09/01/2026"], "Invalid date format"),
]


@pytest.mark.parametrize(("arguments", "says"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_reported_in_one_line(run_command: RunCommand, arguments: list[str], says: str) -> None:
    done = run_command("spine", "calendar", *arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
