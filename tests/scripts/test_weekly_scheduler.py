"""scripts/weekly_scheduler.sh, run for real: every exit code, the lock, the logs that are kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from support import weekly_files
from support.gates import Gate

from market_spine.core.locks import run_lock
from market_spine.db import Database

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "weekly_scheduler.sh"
SHELL_SCRIPTS = sorted(path for folder in ("data", "docs", "scripts", "src", "tests", "workflows") for path in (ROOT / folder).rglob("*.sh"))

SHELLS = ("sh", "dash", "bash", "busybox", "zsh", "ksh")


@pytest.fixture(params=[shell for shell in SHELLS if shutil.which(shell)])
def shell(request: pytest.FixtureRequest) -> str:
    """Every shell of this machine."""
    return str(request.param)


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
    }


def run(desk: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return run_in([], desk, *arguments, **more)


def run_in(shell: list[str], desk: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [*shell, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment(desk, **more), capture_output=True, text=True, check=False)


def path_without_flock(desk: Path) -> str:
    """A PATH as macOS has it: every tool that the script needs, and no flock."""
    tools = desk / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "basename", "mkdir", "date", "uname", "cat", "ln", "rm", "mail"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    return str(tools)


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
    assert "/no/such/program" in heard(desk, "pages")


def test_a_mail_that_cannot_be_sent_is_said_and_changes_nothing(desk: Path) -> None:
    ran = run(desk, CODE="2", WEEKLY_MAIL_COMMAND="/no/such/mailer", WEEKLY_PAGE_COMMAND="exit 3")
    assert ran.returncode == 2
    assert "the mail could not be sent" in ran.stderr
    assert "the page could not be sent" in ran.stderr


def test_without_addresses_nobody_is_told(desk: Path) -> None:
    ran = run(desk, CODE="2", WEEKLY_MAIL_TO="", WEEKLY_PAGE_COMMAND="")
    assert (ran.returncode, ran.stderr, heard(desk, "mails") + heard(desk, "pages")) == (2, "", "")


@pytest.mark.skipif(not shutil.which("flock"), reason="there is no flock here")
def test_a_second_one_leaves_while_the_first_runs(desk: Path, gate: Gate) -> None:
    write(desk / "program", gate.shell)
    with subprocess.Popen([SCRIPT], env=environment(desk), stdout=subprocess.DEVNULL) as first:
        gate.wait()
        second = run(desk, CODE="0", WEEKLY_COMMAND="/bin/false")
        gate.open()
        assert first.wait() == 0
    write(desk / "program", "exit 0")
    assert (second.returncode, second.stdout, second.stderr) == (75, "", "")
    assert "another run holds" in (desk / "logs" / "skipped.log").read_text()
    assert heard(desk, "mails") == ""
    assert run(desk).returncode == 0  # and the lock is free again


def test_every_shell_runs_it_with_and_without_flock(desk: Path, shell: str) -> None:
    started = [str(shutil.which(shell)), *(["sh"] if shell == "busybox" else [])]
    bare = path_without_flock(desk)
    for more in ({}, {"PATH": bare}):
        for code in (0, 1, 2, 75):
            done = run_in(started, desk, "--source", "a b", CODE=str(code), **more)
            assert (done.returncode, done.stderr) == (code, ""), (more, done)
            assert (desk / "logs" / "latest.log").read_text() == "ran --cron --source a b\nto stderr\n"
    assert heard(desk, "mails").count("exit code 1|") == 2


def test_without_flock_the_lock_in_the_database_lets_only_one_run(desk: Path, db: Database, target: str) -> None:
    weekly_files.write_week(desk / "files", "2025-12-26")
    real = str(Path(sysconfig.get_path("scripts")) / "run_finra_weekly_schedule")
    with run_lock(db, "run-1"):
        second = run(desk, "--data-dir", "files", "--db", target, WEEKLY_COMMAND=real, PATH=path_without_flock(desk))
    assert (second.returncode, second.stdout, second.stderr, heard(desk, "mails")) == (75, "", "", "")
    assert "run run-1" in (desk / "logs" / "skipped.log").read_text()


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
    assert (good.returncode, good.stdout.splitlines()[:3]) == (
        0, [
            "[WARN]      new database spine.db", "Market Spine  Friday 2026-01-30 · spine.db",
            "Last run      today: exit 0, 3 ingested, 0 unchanged",
        ],
    )
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
