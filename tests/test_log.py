"""What stderr carries: text or JSON, live or held, and what a person at a terminal sees."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import pty
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import weekly_files
from support.commands import RunCommand
from support.gates import DEADLINE

from market_spine import log
from market_spine.db import connect
from market_spine.db.migrations import prepare
from market_spine.work.item import State

WEEK = "2025-12-26"
ARGUMENTS = ("--weeks", WEEK, "--data-dir", "files", "--run-date", "2026-01-30", "--db", "spine.db")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    yield
    logger = logging.getLogger("market_spine")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with one whole week to run on."""
    weekly_files.write_week(tmp_path / "files", WEEK)
    prepared = connect(str(tmp_path / "spine.db"))  # a new one would be reported, whatever else is held back
    prepare(prepared)
    prepared.close()
    return tmp_path


LIVE = [
    pytest.param(io.StringIO, {}, True, id="a pipe"),
    pytest.param(io.StringIO, {"cron": True}, False, id="cron's pipe"),
    pytest.param(Terminal, {"cron": True}, True, id="cron's command typed at a terminal"),
    pytest.param(Terminal, {"quiet": True}, False, id="quiet at a terminal"),
    pytest.param(io.StringIO, {"quiet": True, "cron": True}, False, id="quiet in cron"),
]


@pytest.mark.parametrize(("stream_type", "options", "live"), LIVE)
def test_lines_are_live_or_held(stream_type: type[io.StringIO], options: dict[str, bool], live: bool) -> None:
    stream = stream_type()
    handler = log.set_up(verbose=False, **{"quiet": False} | options, stream=stream)
    logging.getLogger("market_spine").info("a line")
    assert ("a line" in stream.getvalue()) is live
    log.release(handler)
    assert stream.getvalue().count("a line") == 1


def test_a_warning_marked_aloud_does_not_wait() -> None:
    stream = io.StringIO()
    log.set_up(quiet=True, verbose=False, stream=stream)
    logging.getLogger("market_spine").warning("the mail server is gone", extra={"aloud": True})
    assert stream.getvalue() == "[WARN]      the mail server is gone\n"


def test_a_json_line_has_the_bound_facts_its_own_and_the_message() -> None:
    stream = io.StringIO()
    handler = log.set_up(quiet=True, verbose=False, json_lines=True, stream=stream)
    facts = {"event": "partition", "week": WEEK, "tier": "OTC", "stage": "ingest", "outcome": "failed"}
    logging.getLogger("market_spine").error("no such\nfile é", extra=facts)
    log.bind(handler, run="r1")  # also of lines that wait
    log.release(handler)
    (text,) = stream.getvalue().splitlines()
    line = json.loads(text)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "ERROR", "run": "r1", "message": "no such\nfile é", **facts}


def test_a_traceback_stays_within_its_json_line() -> None:
    stream = io.StringIO()
    log.set_up(quiet=False, verbose=False, json_lines=True, stream=stream)
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("market_spine").exception("crash")
    (text,) = stream.getvalue().splitlines()
    assert "ValueError: x" in json.loads(text)["traceback"]


def test_the_first_line_says_who_runs_where_on_what(run_command: RunCommand, folder: Path) -> None:
    ran = run_command("run_finra_weekly_schedule", *ARGUMENTS, "--log-format", "json", cwd=folder)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    first, last = lines[0], lines[-1]
    assert first["event"] == "run_started"
    assert {"run", "version", "host", "database", "zone", "machine_zone", "run_date"} <= set(first)
    assert (first["database"], first["zone"], first["machine_zone"]) == ("spine.db", "America/New_York", "UTC")
    assert (last["event"], last["exit_code"]) == ("run_ended", 0)
    assert {line["run"] for line in lines} == {first["run"]}
    outcomes = [(line["week"], line["tier"], line["stage"], line["outcome"]) for line in lines if line["event"] == "partition"]
    assert (WEEK, "OTC", "ingest", "done") in outcomes
    assert (WEEK, None, "readiness", "ready") in outcomes


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_the_first_line_has_no_password(run_command: RunCommand, folder: Path, target: str) -> None:
    password = urlsplit(target).password
    assert password
    ran = run_command("run_finra_weekly_schedule", *ARGUMENTS, "--db", target, cwd=folder)
    assert "database postgresql://postgres@127.0.0.1" in ran.stderr.splitlines()[0]
    assert password not in ran.stdout + ran.stderr


def test_cron_gets_the_card_when_all_is_well(run_command: RunCommand, folder: Path) -> None:
    ran = run_command("run_finra_weekly_schedule", *ARGUMENTS, "--cron", cwd=folder)
    assert (ran.exit_code, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert lines[:3] == [
        "Market Spine  Friday 2026-01-30 · spine.db",
        "Last run      today: exit 0, 3 ingested, 0 unchanged",
        "Weeks         1 ready, 3 awaiting, 2 blocked",
    ]
    assert "Open          2026-01-02 / NMS_TIER_1: missing, was due 2026-01-20" in lines
    assert (len(lines) <= 12, lines[-1].startswith("next: spine backfill --weeks 2026-01-02")) == (True, True)


def test_cron_gets_nothing_with_quiet(run_command: RunCommand, folder: Path) -> None:
    ran = run_command("run_finra_weekly_schedule", *ARGUMENTS, "--cron", "-q", cwd=folder)
    assert (ran.exit_code, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("quiet", [("--cron",), ("-q",), ("--cron", "-q")], ids=" ".join)
def test_cron_gets_summary_and_log_when_something_fails(run_command: RunCommand, folder: Path, quiet: tuple[str, ...]) -> None:
    (folder / "files" / f"otc_week_{WEEK}.psv").write_bytes(b"")
    ran = run_command("run_finra_weekly_schedule", *ARGUMENTS, *quiet, cwd=folder)
    assert ran.exit_code == 1
    assert ran.stderr.startswith("[INFO]      market-spine ")
    assert f"[ERROR]     {WEEK} / OTC: ✗ EMPTY_FILE" in ran.stderr
    assert f"{WEEK} / NMS_TIER_1: ✓ Ingested" in ran.stderr
    assert ran.stdout.startswith("SUMMARY\n" if "-q" in quiet else "Market Spine ")
    assert "\nSUMMARY\n" in f"\n{ran.stdout}"


def test_the_lines_of_a_failed_run_come_before_the_summary_they_lead_to(folder: Path) -> None:
    """In one mail: what cron sends is both streams."""
    (folder / "files" / f"otc_week_{WEEK}.psv").write_bytes(b"")
    program = Path(sysconfig.get_path("scripts")) / "run_finra_weekly_schedule"
    command = [program, *ARGUMENTS, "--cron"]
    ran = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, check=False, timeout=DEADLINE, text=True
    )
    assert ran.returncode == 1
    card, log_lines, summary = (ran.stdout.index(text) for text in ("Market Spine ", "[INFO]      market-spine ", "SUMMARY\n"))
    assert 0 == card < log_lines < summary
    assert ran.stdout.endswith("Exit code: 1\n")


def test_a_crash_is_one_json_line_where_lines_are_json(run_command: RunCommand, folder: Path) -> None:
    (folder / "spine.db").write_text("no database at all, but long enough to be taken for one" * 50)
    ran = run_command("run_finra_weekly_schedule", *ARGUMENTS, "--log-format", "json", "-q", cwd=folder)
    last = json.loads(ran.stderr.splitlines()[-1])
    assert (ran.exit_code, last["event"], last["exit_code"]) == (2, "error", 2)
    assert "is not a SQLite database" in last["message"]


def test_at_a_terminal_the_lines_are_shown_as_they_come(folder: Path) -> None:
    ours, theirs = pty.openpty()
    program = Path(sysconfig.get_path("scripts")) / "run_finra_weekly_schedule"
    with subprocess.Popen([program, *ARGUMENTS, "--cron"], stderr=theirs, stdout=subprocess.DEVNULL, cwd=folder) as process:
        os.close(theirs)
        shown = b""
        while f"{WEEK}: ".encode() not in shown:  # ends with an OSError, and so fails, when the command ends without it
            shown += os.read(ours, 65536)
        process.communicate(timeout=DEADLINE)
    os.close(ours)
    assert f"{WEEK} / NMS_TIER_1: \x1b[32m✓\x1b[0m Ingested".encode() in shown


def events_of(path: Path) -> Iterator[ast.expr]:
    """The value of each `"event"` in a file, and the event that a `_facts(…)` begins with."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Dict):
            yield from (v for k, v in zip(node.keys, node.values, strict=True) if isinstance(k, ast.Constant) and k.value == "event")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_facts":
            yield node.args[0]


def test_every_event_is_one_fixed_word_and_documented() -> None:
    source = Path(log.__file__).parent
    events = [event for path in sorted(source.rglob("*.py")) for event in events_of(path)]
    fixed = {event.value for event in events if isinstance(event, ast.Constant)}
    settled = State.COMPLETE, State.RETRY_WAIT, State.FAILED, State.PENDING
    by_state = {f"work_{state.value.lower()}" for state in settled}  # written as f"work_{state}"
    page = (Path(__file__).parent.parent / "docs" / "ops" / "monitoring.md").read_text("utf-8").partition("## Logs")[2]
    rows = re.findall(r"^\| (`[^|]*`) \|", page, re.MULTILINE)
    assert {word for row in rows for word in re.findall(r"`(\w+)`", row)} == fixed | by_state | {"log"}
