"""What a run that held something says of it: the same as of what failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import run_here
from support.desk import FRIDAYS, OTC, PLAIN, WEEK, ready_week

from market_spine.db import Database
from market_spine.operate.runs import RunRow


def test_what_was_held_is_named_and_is_what_retry_repeats(db: Database, target: str, tmp_path: Path) -> None:
    desk = ready_week(tmp_path / "files", db)
    desk.publish(WEEK, OTC, PLAIN[:1])
    weekly = ["run_finra_weekly_schedule", "--weeks", str(WEEK), "--data-dir", str(desk.folder), "--quiet"]
    assert run_here([*weekly, "--db", target, "--run-date", str(FRIDAYS[1])], tmp_path, {}).exit_code == 1
    lines = run_here(["spine", "runs", "show", "last", "--db", target], tmp_path, {}).stdout.splitlines()
    (held,) = (line for line in lines if "SHRUNK_CAPTURE" in line)
    assert held.startswith(f"✗ {WEEK} / OTC: SHRUNK_CAPTURE: held: ")
    assert lines[-1].startswith(f"next: spine gates explain {WEEK} {OTC}"), "to fetch the same file again does not help"
    retried = run_here(["spine", "retry", "--db", target, "--run-date", str(FRIDAYS[1])], tmp_path, {})
    assert f"{WEEK} / OTC (SHRUNK_CAPTURE)" in retried.stdout, retried.stderr


@pytest.mark.parametrize(
    ("outcomes", "did"),
    [(["done", "failed"], "2 outcomes, 1 failed"), (["held", "done"], "2 outcomes, 1 held, 0 failed"), ([], "")],
    ids=["failed", "held", "nothing"],
)
def test_a_run_counts_what_it_held(outcomes: list[str], did: str) -> None:
    report = json.dumps({"partitions": [{"outcome": outcome} for outcome in outcomes]})
    assert RunRow.of("r", "backfill", "2026-01-09", "", None, "1", "h", None, "{}", report, 1, None).did == did
