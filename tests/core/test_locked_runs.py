"""What the commands do when another run holds the lock, and what a run leaves behind in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import database_picture, weekly_files
from support.commands import Finished, RunCommand, StartCommand
from support.gates import DEADLINE

from market_spine.core.locks import holder_of, run_lock
from market_spine.db import Database

RUN = "run_finra_weekly_schedule"
WEEK = "2025-12-26"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weekly_files.write_week(tmp_path / "files", WEEK)
    return tmp_path / "files"


@pytest.fixture
def held(db: Database) -> Iterator[None]:
    rival = db.reopen()
    with run_lock(rival, "run-1"):
        yield
    rival.close()


def arguments(target: str, folder: Path, *more: str) -> tuple[str, ...]:
    return ("--db", target, "--data-dir", str(folder), "--weeks", WEEK, "--run-date", "2026-01-30", *more)


def weekly(run_command: RunCommand, target: str, folder: Path, *more: str) -> Finished:
    return run_command(RUN, *arguments(target, folder, *more))


@pytest.mark.usefixtures("held")
def test_by_default_the_second_run_says_who_and_since_when_and_exits_75(
    run_command: RunCommand, target: str, folder: Path, db: Database
) -> None:
    before = database_picture.everything(db)
    done = weekly(run_command, target, folder)
    assert done.exit_code == 75
    said = (
        r"Error: run run-1 \(pid \d+ on \S+\) since \d{4}-\d\d-\d\dT\S+ holds the lock; its last heartbeat is \d+ s old\. Try: "
    )
    assert re.match(said, done.stderr.splitlines()[-1]), done.stderr
    assert database_picture.everything(db) == before
    assert db.execute("SELECT COUNT(*) FROM core_executions").fetchone()[0] == 0


@pytest.mark.usefixtures("held")
def test_skip_exits_0_and_does_nothing(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    done = weekly(run_command, target, folder, "--if-locked", "skip")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("Skipped: run run-1 (pid ")
    told = json.loads(weekly(run_command, target, folder, "--if-locked", "skip", "--json").stdout)
    assert (told["exit_code"], told["error"], told["skipped"][:9]) == (0, None, "run run-1")
    assert weekly(run_command, target, folder, "--if-locked", "skip", "--quiet").stderr == ""
    assert db.execute("SELECT COUNT(*) FROM core_manifest").fetchone()[0] == 0


@pytest.mark.usefixtures("held")
def test_wait_gives_up_at_its_deadline(run_command: RunCommand, target: str, folder: Path) -> None:
    done = weekly(run_command, target, folder, "--if-locked", "wait", "--lock-wait", "1")
    assert (done.exit_code, "Waiting for run run-1" in done.stderr) == (75, True), done.stderr


def test_wait_goes_on_when_the_other_is_done(start_command: StartCommand, target: str, folder: Path, db: Database) -> None:
    with run_lock(db, "run-1"):
        run = start_command(RUN, *arguments(target, folder, "--if-locked", "wait"))
        assert run.stderr is not None
        assert "Waiting for run run-1" in run.stderr.readline()
    assert (run.wait(DEADLINE), holder_of(db)) == (0, None)


@pytest.mark.usefixtures("held")
def test_a_dry_run_needs_no_lock(run_command: RunCommand, target: str, folder: Path) -> None:
    assert weekly(run_command, target, folder, "--mode", "dry-run").exit_code == 0


def test_runs_that_start_together_on_a_new_database_all_end_well(
    start_command: StartCommand, new_target: str, folder: Path
) -> None:
    runs = [start_command(RUN, *arguments(new_target, folder, "--if-locked", "wait")) for _ in range(4)]
    ends = [(run.communicate(timeout=DEADLINE)[1], run.returncode) for run in runs]
    assert [code for _, code in ends] == [0] * 4, ends
    assert sum("(NEW, capture" in said for said, _ in ends) == 1, "one of them did the work"


def test_operators_commands_wait_for_the_lock_too(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    assert weekly(run_command, target, folder).exit_code == 0
    rival = db.reopen()
    with run_lock(rival, "run-1"):
        done = run_command("spine", "run", "compute_hhi", "--week", WEEK, "--tier", "OTC", "--db", target)
    rival.close()
    assert (done.exit_code, "holds the lock" in done.stderr) == (75, True), done.stderr
