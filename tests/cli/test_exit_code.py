"""One exit code: what the process ends with is what core_executions says, whatever ended it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from support import weekly_files
from support.commands import RunCommand

from market_spine import exit_rule
from market_spine.cli.exit import guarded
from market_spine.core import executions
from market_spine.db import Database
from market_spine.errors import DatabaseLost, Interrupted, RunLocked, UsageError

WEEK = "2025-12-26"
RUN = "run_finra_weekly_schedule"

ENDS = [
    pytest.param(UsageError("x"), 2, id="usage"),
    pytest.param(DatabaseLost("x"), 2, id="database"),
    pytest.param(RunLocked("x"), 75, id="lock"),
    pytest.param(Interrupted(15), 143, id="SIGTERM"),
    pytest.param(Interrupted(2), 130, id="SIGINT"),
    pytest.param(KeyboardInterrupt(), 130, id="Ctrl-C before the handlers"),
    pytest.param(BrokenPipeError(), 141, id="broken pipe"),
    pytest.param(ValueError("x"), 2, id="a fault of the program"),
]


@pytest.mark.parametrize(("error", "exit_code"), ENDS)
def test_each_error_has_its_exit_code_and_the_process_ends_with_it(
    error: BaseException, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "_ended", None)  # no run of this process ended before, whatever other tests ran in it

    @click.command()
    def command() -> None:
        raise error

    assert exit_rule.of_error(error) == exit_code
    with contextlib.redirect_stderr(None), _stdout_kept():
        assert guarded(command, []) == exit_code


@contextlib.contextmanager
def _stdout_kept():  # type: ignore[no-untyped-def]
    """A broken pipe sends the process's stdout to nowhere, for good."""
    kept = os.dup(1)
    yield
    os.dup2(kept, 1)
    os.close(kept)


def recorded(db: Database) -> tuple[int, bool]:
    """The newest row's exit code, and whether it has outcomes."""
    row = db.execute(
        "SELECT exit_code, outcomes_json FROM core_executions ORDER BY started_at DESC, execution_id DESC"
    ).fetchone()
    return row[0], row[1] is not None


Prepare = Callable[[Path], None]


def spoil(files: Path) -> None:
    """Every file of the week is empty."""
    for path in files.iterdir():
        path.write_bytes(b"")


def spoil_one(files: Path) -> None:
    (files / f"otc_week_{WEEK}.psv").write_bytes(b"")


def nothing(files: Path) -> None:
    """Leaves the files as they are."""


COMMANDS = [
    pytest.param(spoil, (RUN, "--weeks", WEEK), 2, id="a run of which nothing works"),
    pytest.param(spoil_one, (RUN, "--weeks", WEEK), 1, id="a run with one failure"),
    pytest.param(spoil, ("spine", "backfill", "--from", WEEK, "--to", WEEK), 2, id="a backfill of which nothing works"),
    pytest.param(spoil_one, ("spine", "backfill", "--from", WEEK, "--to", WEEK), 1, id="a backfill with one failure"),
    pytest.param(spoil_one, ("spine", "doctor", "--from", WEEK, "--to", WEEK, "--fix"), 1, id="what doctor cannot fix"),
    pytest.param(nothing, ("spine", "doctor", "--from", WEEK, "--to", WEEK, "--fix"), 0, id="what doctor can fix"),
    pytest.param(
        spoil_one, ("spine", "run", "finra.otc_transparency.ingest_week", "--week", WEEK, "--tier", "OTC"), 2, id="a pipeline"
    ),
]


@pytest.mark.parametrize(("prepare", "command", "exit_code"), COMMANDS)
@pytest.mark.one_engine
def test_the_recorded_exit_code_is_that_of_the_process(
    run_command: RunCommand, target: str, db: Database, tmp_path: Path,
    prepare: Prepare, command: tuple[str, ...], exit_code: int,
) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    prepare(tmp_path / "files")
    done = run_command(*command, "--db", target, "--data-dir", tmp_path / "files", "--run-date", "2026-01-30")
    assert (done.exit_code, recorded(db)) == (exit_code, (exit_code, True)), done.stdout + done.stderr


@pytest.mark.one_engine
def test_so_are_those_of_retry_and_rebuild(run_command: RunCommand, target: str, db: Database, tmp_path: Path) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    spoil_one(tmp_path / "files")
    run_command(RUN, "--weeks", WEEK, "--db", target, "--data-dir", tmp_path / "files", "--run-date", "2026-01-30")
    (run_id,) = db.execute("SELECT execution_id FROM core_executions").fetchone()
    assert (run_command("spine", "retry", run_id, "--db", target).exit_code, recorded(db)) == (2, (2, True)), "nothing else was tried"
    db.execute("UPDATE finra_otc_transparency_raw SET content = ?", (b"other bytes",))
    assert (run_command("spine", "rebuild", WEEK, "--db", target).exit_code, recorded(db)) == (2, (2, True))


def unread(tmp_path: Path, *command: str) -> tuple[int, str]:
    """Exit code and stderr of a command whose stdout nobody reads: the reading end is closed before it begins."""
    reading, writing = os.pipe()
    os.close(reading)
    program = Path(sysconfig.get_path("scripts")) / command[0]
    try:
        done = subprocess.run(
            [program, *command[1:]], stdout=writing, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr


UNREAD = [
    pytest.param((RUN, "--weeks", WEEK), True, id="the summary"),
    pytest.param((RUN, "--weeks", WEEK, "--json"), True, id="the document"),
    pytest.param(("spine", "backfill", "--from", WEEK, "--to", WEEK), False, id="the progress of a backfill"),
    pytest.param(("spine", "run", "finra.otc_transparency.ingest_week", "--week", WEEK), True, id="the outcomes of a pipeline"),
]


@pytest.mark.parametrize(("command", "whole"), UNREAD)
@pytest.mark.one_engine
def test_an_answer_that_nobody_reads_is_141_in_the_row_too(
    target: str, db: Database, tmp_path: Path, command: tuple[str, ...], whole: bool
) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    code, stderr = unread(tmp_path, *command, "--db", target, "--data-dir", "files", "--run-date", "2026-01-30")
    assert (code, "Traceback" in stderr, "Exception ignored" in stderr) == (141, False, False), stderr
    assert recorded(db) == (141, whole), "and what the run did stays in its row"


@pytest.mark.parametrize("command", ["status", "anomalies", "calendar", "--help"])
@pytest.mark.one_engine
def test_a_command_that_only_shows_exits_141_as_well(target: str, tmp_path: Path, command: str) -> None:
    given = () if command in ("--help", "calendar") else ("--db", target)
    code, stderr = unread(tmp_path, "spine", command, *given)
    assert (code, stderr) == (141, "")


AFTER = """
import signal, sys
from market_spine.cli import weekly, weekly_run
def end(*_):
    signal.raise_signal(signal.SIGTERM)
weekly_run._print_result = end
weekly.main(sys.argv[1:])
"""


def test_a_signal_after_the_run_was_recorded_is_in_its_row(target: str, db: Database, tmp_path: Path) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    arguments = ["--db", target, "--data-dir", "files", "--weeks", WEEK, "--run-date", "2026-01-30"]
    done = subprocess.run([sys.executable, "-c", AFTER, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, recorded(db)) == (143, (143, True)), done.stderr
