"""What `spine doctor --fix` prints of a week: each stage, and one judgement at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import run_here
from support.desk import FRIDAYS, WEEK, Desk

from market_spine.db import Database


@pytest.mark.parametrize("more", [["--dry-run"], []], ids=["dry run", "fix"])
def test_a_week_is_judged_once(db: Database, target: str, tmp_path: Path, more: list[str]) -> None:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    (desk.folder / f"otc_week_{WEEK}.psv").write_bytes(b"")
    desk.run(FRIDAYS[0])
    typed = ["spine", "doctor", "--weeks", str(WEEK), "--fix", "--data-dir", str(desk.folder), "--db", target]
    ran = run_here([*typed, "--run-date", str(FRIDAYS[0]), *more], tmp_path, {})
    judged = [line for line in ran.stdout.splitlines() if "ot ready" in line]
    assert (ran.exit_code, len(judged)) == (1, 1), ran.stdout
