"""Archived files are loaded under the past day they were observed on, and nothing that is suggested loads them as of today."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from support.commands import Finished, RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk, restated

from market_spine.core import captures
from market_spine.db import Database
from market_spine.partition import NMS_TIER_1, OTC, Partition

OF_OTC = Partition(WEEK, OTC)
GAP = FRIDAYS[0].replace(day=12)
THIRD = (*REVISED, ("TSLA", "UBSA", "UBS ATS", 9, 1))


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """A week whose OTC tier was restated on the second Friday, and a folder with an older, archived content."""
    desk = restated(tmp_path / "files", db)
    Desk(tmp_path / "kept", db).publish(WEEK, OTC, THIRD)
    return desk


def typed(run_command: RunCommand, tmp_path: Path, target: str, command: str) -> Finished:
    given = f"--weeks {WEEK} --tiers OTC --data-dir {tmp_path / 'kept'} --db {target}"
    return run_command(*shlex.split(f"{command} {given}"))


def suggested(done: Finished) -> str:
    return next(line for line in done.stdout.splitlines() if line.startswith("next: ")).removeprefix("next: ")


@pytest.mark.parametrize("command", ["spine backfill", "run_finra_weekly_schedule"])
def test_a_retry_loads_archived_files_under_their_day_again(
    desk: Desk, target: str, run_command: RunCommand, tmp_path: Path, command: str
) -> None:
    kept = tmp_path / "kept" / f"otc_week_{WEEK}.psv"
    content = kept.read_bytes()
    kept.unlink()
    assert typed(run_command, tmp_path, target, f"{command} --as-observed-on {GAP}").exit_code == 2
    kept.write_bytes(content)
    current = captures.current(desk.db, OF_OTC)
    done = run_command("spine", "retry", "--db", target)
    assert (done.exit_code, "capture …:20260112" in done.stdout) == (0, True), done
    assert captures.current(desk.db, OF_OTC) == current, "the present is as it was"
    assert captures.content_of_day(desk.db, OF_OTC, GAP)


def test_a_taken_day_is_to_be_looked_at_and_not_to_be_tried_again(
    desk: Desk, target: str, run_command: RunCommand, tmp_path: Path
) -> None:
    done = typed(run_command, tmp_path, target, f"spine backfill --as-observed-on {FRIDAYS[0]}")
    assert (done.exit_code, "DAY_TAKEN" in done.stdout, "needs other content" in done.stdout) == (2, True, False)
    assert suggested(done).startswith(f"spine captures {WEEK} OTC --db ")
    current = captures.current(desk.db, OF_OTC)
    assert run_command("spine", "retry", "--db", target).exit_code == 2
    assert captures.current(desk.db, OF_OTC) == current


@pytest.mark.parametrize("command", ["spine backfill", "run_finra_weekly_schedule"])
def test_what_the_api_serves_is_observed_today(
    desk: Desk, target: str, run_command: RunCommand, tmp_path: Path, command: str
) -> None:
    done = typed(run_command, tmp_path, target, f"{command} --source api --as-observed-on {GAP}")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        "Error: --as-observed-on loads archived files, and what the API serves is observed today. Try: leave out --as-observed-on"
    )
    assert captures.content_of_day(desk.db, OF_OTC, GAP) is None


def test_the_retry_that_an_import_suggests_repeats_it(
    db: Database, target: str, run_command: RunCommand, tmp_path: Path
) -> None:
    apart, desk = Desk(tmp_path / "apart", db), Desk(tmp_path / "files", db)
    wrong = apart.publish(WEEK, NMS_TIER_1, PLAIN)
    given = ("--week", WEEK, "--tier", "OTC", "--yes", "--run-date", FRIDAYS[0], "--data-dir", desk.folder, "--db", target)
    done = run_command("spine", "import", wrong, *map(str, given))
    assert (done.exit_code, "WRONG_PARTITION" in done.stdout) == (2, True)
    desk.publish(WEEK, OTC, PLAIN)
    name, *words = shlex.split(suggested(done))
    again = run_command(name, *(target if word.startswith("postgresql:") else word for word in words), "--run-date", str(FRIDAYS[0]))
    assert (again.exit_code, "✓ Normalized" in again.stdout) == (0, True), again
