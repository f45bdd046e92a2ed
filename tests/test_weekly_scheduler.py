"""scripts/weekly_scheduler.sh, run for real: every exit code, the lock, the logs that are kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import weekly_files

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "weekly_scheduler.sh"
SHELL_SCRIPTS = sorted(path for path in ROOT.rglob("*.sh") if not {".venv", "node_modules"} & set(path.parts))

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with a program that ends as told, and a mail and a page command that write down what they get."""
    write(tmp_path / "program", 'echo "ran $*"; echo "to stderr" >&2; exit "${CODE:-0}"')
    write(tmp_path / "mailer", '{ echo "$1|$2"; cat; } >>mails')
    write(tmp_path / "pager", '{ echo "$WEEKLY_SUBJECT"; cat; } >>pages')
    return tmp_path


def write(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def environment(desk: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": str(desk), "WEEKLY_DIR": str(desk), "WEEKLY_COMMAND": str(desk / "program"),
        "WEEKLY_MAIL_TO": "desk@example.com", "WEEKLY_MAIL_COMMAND": str(desk / "mailer"),
        "WEEKLY_PAGE_COMMAND": str(desk / "pager"), **more,
    }  # fmt: skip


def run(desk: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments], env=environment(desk, **more), capture_output=True, text=True, timeout=60, check=False
    )


def heard(desk: Path, name: str) -> str:
    path = desk / name
    return path.read_text() if path.exists() else ""


CODES = [
    pytest.param(0, False, False, id="0 all well"),
    pytest.param(1, True, False, id="1 some partitions failed"),
    pytest.param(2, True, True, id="2 critical"),
    pytest.param(75, False, False, id="75 another run holds the lock"),
    pytest.param(126, True, True, id="126 the program cannot be started"),
    pytest.param(130, True, False, id="130 SIGINT"),
    pytest.param(137, True, True, id="137 killed"),
    pytest.param(143, True, False, id="143 SIGTERM"),
]


@pytest.mark.parametrize(("code", "mailed", "paged"), CODES)
def test_each_exit_code_reaches_whom_it_should(desk: Path, code: int, mailed: bool, paged: bool) -> None:
    ran = run(desk, "--source", "api", CODE=str(code))
    assert ran.returncode == code
    assert (bool(heard(desk, "mails")), bool(heard(desk, "pages"))) == (mailed, paged)
    told = "ran --cron --source api\nto stderr\n"
    assert ran.stdout == (told if code == 0 else "")
    assert ran.stderr == ""
    if mailed:
        subject, text = heard(desk, "mails").split("\n", 1)
        assert subject.endswith(f": exit code {code}|desk@example.com")
        assert text == told
    if paged:
        assert heard(desk, "pages").split("\n", 1)[1] == told
    assert (desk / "logs" / "latest.log").read_text() == told


def test_a_program_that_is_not_there_is_paged(desk: Path) -> None:
    ran = run(desk, WEEKLY_COMMAND="/no/such/program")
    assert ran.returncode == 127
    assert "No such file" in heard(desk, "pages")


def test_a_mail_that_cannot_be_sent_is_said_and_changes_nothing(desk: Path) -> None:
    ran = run(desk, CODE="2", WEEKLY_MAIL_COMMAND="/no/such/mailer", WEEKLY_PAGE_COMMAND="exit 3")
    assert ran.returncode == 2
    assert "the mail could not be sent" in ran.stderr
    assert "the page could not be sent" in ran.stderr


def test_without_addresses_nobody_is_told(desk: Path) -> None:
    ran = run(desk, CODE="2", WEEKLY_MAIL_TO="", WEEKLY_PAGE_COMMAND="")
    assert (ran.returncode, ran.stderr, heard(desk, "mails") + heard(desk, "pages")) == (2, "", "")


def test_a_second_one_leaves_while_the_first_runs(desk: Path) -> None:
    write(desk / "program", "echo started >started; while [ ! -e finish ]; do sleep 0.05; done")
    with subprocess.Popen([SCRIPT], env=environment(desk), stdout=subprocess.DEVNULL) as first:
        try:
            deadline = time.monotonic() + 30
            while not (desk / "started").exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            second = run(desk, CODE="0", WEEKLY_COMMAND="/bin/false")
        finally:
            (desk / "finish").touch()
        assert first.wait(30) == 0
    assert (second.returncode, second.stdout, second.stderr) == (75, "", "")
    assert "another run holds" in (desk / "logs" / "skipped.log").read_text()
    assert heard(desk, "mails") == ""
    assert run(desk).returncode == 0  # and the lock is free again


def test_the_newest_logs_are_kept(desk: Path) -> None:
    (desk / "logs").mkdir()
    for day in range(10, 16):
        (desk / "logs" / f"weekly-202601{day}T120000Z-1.log").touch()
    (desk / "logs" / "notes.txt").touch()
    run(desk, WEEKLY_KEEP_LOGS="3")
    logs = sorted(path.name for path in (desk / "logs").glob("weekly-*.log"))
    assert logs[:2] == ["weekly-20260114T120000Z-1.log", "weekly-20260115T120000Z-1.log"]
    assert len(logs) == 3
    assert (desk / "logs" / "latest.log").readlink().name == logs[2]
    assert (desk / "logs" / "notes.txt").exists()


def test_a_folder_that_cannot_be_used_is_critical(desk: Path) -> None:
    assert run(desk, WEEKLY_DIR=str(desk / "none")).returncode == 2


def test_the_real_program_runs_under_it(desk: Path) -> None:
    weekly_files.write_week(desk / "files", "2025-12-26")
    real = str(Path(sysconfig.get_path("scripts")) / "run_finra_weekly_schedule")
    arguments = ("--data-dir", "files", "--weeks", "2025-12-26", "--run-date", "2026-01-30", "--db", "spine.db")
    good = run(desk, *arguments, WEEKLY_COMMAND=real)
    assert (good.returncode, good.stdout) == (0, "2026-01-30: 3 ingested, 0 unchanged, 1 of 1 weeks ready\n")
    (desk / "files" / "otc_week_2025-12-26.psv").write_bytes(b"")
    assert run(desk, *arguments, WEEKLY_COMMAND=real).returncode == 1
    assert "✗ EMPTY_FILE" in heard(desk, "mails")
    assert "SUMMARY" in heard(desk, "mails")


@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    tool = shutil.which("shellcheck")
    if tool is None:
        assert "CI" not in os.environ, "shellcheck is missing: apt-get install shellcheck"
        pytest.skip("shellcheck is not here: apt-get install shellcheck")
    ran = subprocess.run([tool, script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
