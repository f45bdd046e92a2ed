"""SIGTERM and SIGINT: the open partition is rolled back, the execution row written, and the process gone."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import weekly_files
from support.commands import RunCommand, StartCommand
from support.gates import DEADLINE, Gate

from market_spine.cli.signals import interruptible
from market_spine.db import Database, connect
from market_spine.errors import Interrupted

ROOT = Path(__file__).resolve().parents[2]
RUN = "run_finra_weekly_schedule"
WEEK = "2026-01-09"
LARGE = ("--weeks", WEEK, "--tiers", "NMS_TIER_1", "--run-date", "2026-02-20")
VOLUME = "finra_otc_transparency_volume"


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one partition of 500,000 rows."""
    folder = tmp_path_factory.mktemp("large")
    maker = [sys.executable, str(ROOT / "scripts"), "make_fixtures"]
    subprocess.run([*maker, "--out", folder, "--weeks", "1", "--tiers", "NMS_TIER_1", "--rows", "500000"], check=True)
    return folder


def signalled(process: subprocess.Popen[str], number: int) -> str:
    """Sends it; returns what the process said on stderr before it was gone."""
    process.send_signal(number)
    return process.communicate(timeout=DEADLINE)[1]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_signal_in_the_middle_of_500_000_rows(
    start_held: StartCommand, gate: Gate, run_command: RunCommand, target: str, db: Database, large: Path, number: int, exit_code: int
) -> None:
    run = start_held(f"after:{VOLUME}", RUN, "--db", target, "--data-dir", large, *LARGE)
    gate.wait()
    stderr = signalled(run, number)

    assert run.returncode == exit_code, stderr
    assert stderr.endswith("Error: interrupted; the open partition was rolled back, the next run completes it\n")
    assert "Traceback" not in stderr
    row = db.execute("SELECT exit_code, error, finished_at IS NOT NULL FROM core_executions").fetchone()
    assert (row[0], row[1].partition(";")[0], bool(row[2])) == (exit_code, "interrupted", True)
    assert db.execute("SELECT COUNT(*) FROM core_locks").fetchone()[0] == 0
    assert db.execute("SELECT stage FROM core_manifest").fetchall() in ([("RAW",)], [["RAW"]])
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_volume").fetchone()[0] == 0
    if number == signal.SIGTERM:
        assert run_command(RUN, "--db", target, "--data-dir", large, *LARGE).exit_code == 0
        assert db.execute("SELECT row_count FROM finra_otc_transparency_current").fetchone()[0] > 490_000


@contextlib.contextmanager
def writing(target: str) -> Iterator[None]:
    """Another session that keeps everybody from writing."""
    other = connect(target)
    with other.transaction():
        if other.engine == "postgresql":
            other.execute("LOCK TABLE core_executions, finra_otc_transparency_capture IN ACCESS EXCLUSIVE MODE")
        yield
    other.close()


def test_a_signal_while_another_process_writes_is_heard(
    start_held: StartCommand, gate: Gate, target: str, tmp_path: Path
) -> None:
    weekly_files.write_week(tmp_path / "files", "2025-12-26")
    with writing(target):
        run = start_held("blocked", RUN, "--db", target, "--data-dir", tmp_path / "files", "--weeks", "2025-12-26")
        gate.wait()
        stderr = signalled(run, signal.SIGTERM)  # and it ends although the other one never does

    assert (run.returncode, "Traceback" in stderr) == (143, False), stderr


def test_one_who_waits_for_the_lock_hears_signals(start_command: StartCommand, db: Database, target: str, tmp_path: Path) -> None:
    from market_spine.core.locks import run_lock

    weekly_files.write_week(tmp_path / "files", "2025-12-26")
    with run_lock(db, "run-1"):
        run = start_command(RUN, "--db", target, "--data-dir", tmp_path / "files", "--weeks", "2025-12-26", "--if-locked", "wait")
        assert run.stderr is not None
        assert run.stderr.readline().startswith("[INFO]      Waiting for run run-1 (pid ")
        stderr = signalled(run, signal.SIGTERM)

    assert (run.returncode, "Traceback" in stderr) == (143, False)


STUBBORN = """
import sqlite3
from market_spine.errors import Interrupted
from market_spine.cli.signals import interruptible
with interruptible():
    try:
        print("ready", flush=True)
        while True:
            pass
    except Interrupted:
        print("stopping", flush=True)
        count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000000000) SELECT COUNT(*) FROM n"
        sqlite3.connect(":memory:").execute(count).fetchone()
"""


def test_a_second_ctrl_c_exits_at_once_and_a_second_sigterm_does_not() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as stubborn:
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == "ready\n"
        stubborn.send_signal(signal.SIGINT)
        assert stubborn.stdout.readline() == "stopping\n"
        stubborn.send_signal(signal.SIGTERM)
        stubborn.send_signal(signal.SIGINT)
        assert stubborn.wait(DEADLINE) == 130, "though the main thread is busy in C and hears nothing; SIGTERM would make it 143"


class Tells:
    """Has a signal come where Python drops what is raised."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        self.reported = True


def test_a_signal_that_comes_while_an_object_is_thrown_away_is_raised_all_the_same() -> None:
    with pytest.raises(Interrupted) as caught, interruptible():
        Tells()
        threading.Event().wait(DEADLINE)
    assert caught.value.exit_code == 143


LOADING = """
import os, signal, sys
class Finder:
    def find_spec(name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{signal})
sys.meta_path.insert(0, Finder)
from market_spine.cli.entry import {door}
sys.argv[1:] = ["--help"]
{door}()
"""


@pytest.mark.parametrize("door", ["run_finra_weekly_schedule", "spine"])
@pytest.mark.parametrize("module", ["click", "market_spine.cli.options", "market_spine.cli.exit"])
@pytest.mark.parametrize(("name", "exit_code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_while_the_program_is_loaded_ends_it_without_a_word(door: str, module: str, name: str, exit_code: int) -> None:
    program = LOADING.format(module=module, signal=name, door=door)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (exit_code, "", "")


ENDING = """
import atexit, signal
from market_spine.cli.{module} import main
atexit.register(signal.raise_signal, signal.SIGINT)
main(["--version"])
"""


@pytest.mark.parametrize("module", ["weekly", "spine"])
def test_a_ctrl_c_while_the_interpreter_ends_shows_no_traceback(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", ENDING.format(module=module)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")
    assert done.stdout.endswith("1.0.0\n")


def test_no_except_exception_swallows_a_signal() -> None:
    assert not issubclass(Interrupted, Exception)
    assert (Interrupted(15).exit_code, Interrupted(2).exit_code) == (143, 130)
