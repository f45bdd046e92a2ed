"""A whole run and those who watch it: the installed command, real servers, each way a run can end."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import weekly_files
from support.commands import RunCommand, StartCommand
from support.gates import DEADLINE
from support.listeners import Listener, Mailbox, http_listener, mail_server

from market_spine import clock
from market_spine.errors import Interrupted, RunLocked
from market_spine.monitor import ping
from market_spine.monitor.observers import Observers, ObserverSettings

WEEK = "2025-12-26"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with http_listener() as listening:
        yield listening


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weekly_files.write_week(tmp_path / "files", WEEK)
    return tmp_path


def run(run_command: RunCommand, folder: Path, target: str, *more: str) -> tuple[int, str]:
    """A run as cron starts it; exit code and everything printed."""
    arguments = ("--weeks", WEEK, "--data-dir", "files", "--run-date", "2026-01-30", "--cron", "--db", target, *more)
    ran = run_command("run_finra_weekly_schedule", *arguments, cwd=folder)
    return ran.exit_code, ran.stdout + ran.stderr


def numbers(path: Path) -> dict[str, float]:
    """The unlabelled metrics of a textfile."""
    families = text_string_to_metric_families(path.read_text())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def break_file(folder: Path) -> None:
    (folder / "files" / f"otc_week_{WEEK}.psv").write_bytes(b"")


def test_a_good_run_pings_start_and_success_with_the_summary(
    run_command: RunCommand, folder: Path, target: str, listener: Listener
) -> None:
    assert run(run_command, folder, target, "--ping-url", f"{listener.url}/abc")[0] == 0
    assert listener.paths == ["POST /abc/start", "POST /abc"]
    assert listener.seen[1].body.startswith("SUMMARY\n")
    assert "Weeks ready:        1" in listener.seen[1].body
    assert len({request.path.partition("rid=")[2] for request in listener.seen}) == 1


def test_a_partial_failure_pings_fail(run_command: RunCommand, folder: Path, target: str, listener: Listener) -> None:
    break_file(folder)
    assert run(run_command, folder, target, "--ping-url", f"{listener.url}/abc")[0] == 1
    assert listener.paths == ["POST /abc/start", "POST /abc/fail"]
    assert "Exit code: 1" in listener.seen[1].body


def test_a_run_that_cannot_begin_pings_fail_and_says_why(run_command: RunCommand, folder: Path, listener: Listener) -> None:
    (folder / "spine.db").write_bytes(b"not a database, but as long as one might be" * 100)
    code, printed = run(run_command, folder, "spine.db", "--ping-url", f"{listener.url}/abc")
    assert (code, listener.paths) == (2, ["POST /abc/fail"])
    assert "is not a SQLite database" in listener.seen[0].body
    assert printed.startswith("Error: spine.db is not a SQLite database")


def test_the_metrics_of_a_run_are_written_and_pushed(
    run_command: RunCommand, folder: Path, target: str, listener: Listener
) -> None:
    path = folder / "spine.prom"
    assert run(run_command, folder, target, "--metrics-textfile", str(path), "--pushgateway", listener.url)[0] == 0
    figures = numbers(path)
    assert (figures["market_spine_last_run_exit_code"], figures["market_spine_last_run_weeks"]) == (0, 1)
    assert 'market_spine_last_run_rows{phase="normalize",tier="OTC"} 30.0\n' in path.read_text()
    assert 'market_spine_last_run_phase_seconds{phase="calc"}' in path.read_text()
    assert listener.paths == ["PUT /metrics/job/market_spine"]
    assert listener.seen[0].body == path.read_text()


def test_the_deadlines_are_those_of_the_runs_own_calendar(run_command: RunCommand, folder: Path) -> None:
    """An operator's closures move what is published, and so when the next run is expected: here by all of a month."""
    (folder / "calendar.toml").write_text(f"closed = [{', '.join(closures())}]")
    moments = []
    for more in ((), ("--calendar-file", "calendar.toml")):
        run(run_command, folder, "spine.db", "--metrics-textfile", "x.prom", "--expected-by", "Mon-Sun 12:00", *more)
        moments.append(numbers(folder / "x.prom")["market_spine_run_expected_by_timestamp_seconds"])
    assert moments[1] - moments[0] > 20 * 86400


def closures() -> list[str]:
    """A month from today without publications."""
    today = clock.market_date()
    return [(today + timedelta(days=n)).isoformat() for n in range(31)]


def test_the_metrics_of_a_crash_keep_what_can_still_be_read(run_command: RunCommand, folder: Path, target: str) -> None:
    path = folder / "spine.prom"
    run(run_command, folder, target, "--metrics-textfile", str(path))
    assert run(run_command, folder, target, "--metrics-textfile", str(path), "--data-dir", "gone")[0] == 2
    assert numbers(path)["market_spine_last_run_exit_code"] == 2
    assert 'market_spine_runs_total{exit_code="0"} 1.0\n' in path.read_text()


def test_the_metrics_of_a_crash_without_database_say_that_much(run_command: RunCommand, folder: Path, listener: Listener) -> None:
    target = "postgresql://nobody@127.0.0.1:9/none"
    path = folder / "spine.prom"
    assert run(run_command, folder, target, "--metrics-textfile", str(path), "--pushgateway", listener.url)[0] == 2
    assert set(numbers(path)) == {"market_spine_last_run_exit_code", "market_spine_last_run_timestamp_seconds"}
    assert listener.paths == ["POST /metrics/job/market_spine"]  # what was pushed before stays


@pytest.mark.one_engine
def test_a_fault_is_notified_from_its_run_to_the_run_that_ends_it(
    run_command: RunCommand, folder: Path, target: str, mailbox: Mailbox
) -> None:
    break_file(folder)
    for _ in range(2):
        assert run(run_command, folder, target, "--notify", mailbox.url)[0] == 1
    weekly_files.write(folder / "files", WEEK, "OTC")
    assert run(run_command, folder, target, "--notify", mailbox.url)[0] == 0
    event = f"EMPTY_FILE {WEEK} / OTC"
    assert mailbox.subjects == [f"Market Spine: {event}", f"Market Spine: over: {event}"]
    assert "run: 20" in mailbox.bodies[0]


def test_a_failed_run_is_an_event_until_a_run_works_again(run_command: RunCommand, folder: Path, listener: Listener) -> None:
    hook = listener.url.replace("http://", "json://")
    for _ in range(2):
        (folder / "spine.db").write_bytes(b"not a database, but as long as one might be" * 100)
        assert run(run_command, folder, "spine.db", "--notify", hook)[0] == 2
    (folder / "spine.db").unlink()
    assert run(run_command, folder, "spine.db", "--notify", hook)[0] == 0
    notified = [(request.json["title"], request.json["message"].splitlines()[0]) for request in listener.seen]
    assert [title for title, _ in notified] == ["Market Spine: RUN_FAILED", "Market Spine: over: RUN_FAILED"]
    assert notified[0][1] == "spine.db is not a SQLite database"


SILENT = [
    pytest.param(("--ping-url", "http://127.0.0.1:9/x"), "ping could not be sent", id="no one to ping"),
    pytest.param(("--pushgateway", "http://127.0.0.1:9"), "metrics could not be pushed to http://127.0.0.1:9", id="no gateway"),
    pytest.param(("--metrics-textfile", "no/such/x.prom"), "metrics could not be written to no/such/x.prom", id="no folder"),
    pytest.param(("--notify", "bogus://geheim"), "bogus://*** is not an address apprise supports", id="no such service"),
]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("options", "printed"), SILENT)
def test_an_observer_that_fails_is_reported_and_changes_nothing(
    run_command: RunCommand, folder: Path, options: tuple[str, ...], printed: str, target: str
) -> None:
    if "--notify" in options:
        break_file(folder)
    code, everything = run(run_command, folder, target, *options, "-q")
    assert code == (1 if "--notify" in options else 0)
    assert printed in everything
    assert "Traceback" not in everything
    assert "geheim" not in everything


def test_a_dry_run_is_not_watched(run_command: RunCommand, folder: Path, listener: Listener) -> None:
    options = ("--ping-url", listener.url, "--pushgateway", listener.url, "--metrics-textfile", "x.prom", "--mode", "dry-run")
    assert run(run_command, folder, "none.db", *options)[0] == 0
    assert listener.seen == []
    assert sorted(path.name for path in folder.iterdir()) == ["files"]


def test_what_the_database_keeps_of_a_run_has_no_notification_secrets(
    run_command: RunCommand, folder: Path, listener: Listener
) -> None:
    hook = listener.url.replace("http://", "json://me:geheim@")
    run(run_command, folder, "spine.db", "--notify", hook, "--ping-url", f"{listener.url}/geheim")
    assert listener.paths == ["POST /geheim/start", "POST /geheim"]
    assert not [path for path in folder.glob("spine.db*") if b"geheim" in path.read_bytes()]


def test_an_interrupted_run_pings_fail_and_is_gone_even_unheard(
    start_command: StartCommand, folder: Path, listener: Listener
) -> None:
    listener.stalls_at = "/fail"
    fifo = folder / "files" / f"nms_tier_1_week_{WEEK}.psv"  # a file that takes for ever to read
    fifo.unlink()
    os.mkfifo(fifo)
    arguments = ("--weeks", WEEK, "--data-dir", "files", "--run-date", "2026-01-30", "--db", "spine.db")
    process = start_command("run_finra_weekly_schedule", *arguments, "--ping-url", f"{listener.url}/abc", cwd=folder)
    listener.wait("POST /abc/start")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=DEADLINE / 2)  # the ping is never answered: the listener holds it for longer than that
    assert process.returncode == 143
    assert listener.paths == ["POST /abc/start", "POST /abc/fail"]
    assert listener.seen[1].body.startswith("interrupted")


@pytest.mark.parametrize(("error", "hurry"), [(Interrupted(15), {"seconds": 0.5, "tries": 1}), (ValueError(), {})])
def test_the_ping_of_an_interrupted_run_is_tried_once_and_for_half_a_second(
    error: BaseException, hurry: dict[str, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[dict[str, float]] = []
    monkeypatch.setattr(ping, "send", lambda *address, **how: sent.append(how))
    Observers(ObserverSettings(ping_url="http://127.0.0.1:9/x"), str(tmp_path / "none.db")).crashed(error)
    assert sent == [hurry]


def test_a_run_that_meets_anothers_lock_is_nobodys_concern(listener: Listener, tmp_path: Path) -> None:
    observer_settings = ObserverSettings(ping_url=listener.url, pushgateway=listener.url)
    Observers(observer_settings, str(tmp_path / "spine.db")).crashed(RunLocked("held by another"))
    assert (listener.seen, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("option", "package", "extra"),
    [("--pushgateway=http://x", "prometheus_client", "metrics"), ("--notify=json://x", "apprise", "notify")],
)
def test_a_missing_extra_is_reported_before_anything_is_done(
    run_command: RunCommand, folder: Path, option: str, package: str, extra: str
) -> None:
    (folder / "without").mkdir()
    (folder / "without" / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "figures = PathFinder.find_spec\n"
        f"PathFinder.find_spec = lambda name, *more: None if name == {package!r} else figures(name, *more)\n"
    )
    ran = run_command(
        "run_finra_weekly_schedule", "--weeks", WEEK, "--data-dir", "files", option, cwd=folder,
        env={"PYTHONPATH": str(folder / "without")},
    )
    assert (ran.exit_code, ran.stderr.count("\n")) == (2, 1)
    assert f"pip install 'market-spine[{extra}]'" in ran.stderr


def test_what_is_not_asked_for_is_not_imported(run_command: RunCommand, folder: Path) -> None:
    """A run with metrics and notifications off; and the programs' help, which imports next to nothing."""
    heavy = ["apprise", "prometheus_client", "http.client", "fastapi", "uvicorn", "tomllib", "smtplib"]
    light = [*heavy, "numpy", "requests", "sqlite_utils", "sqlite3", "holidays", "pyarrow", "backports", "psycopg"]
    for arguments, unwanted in (
        (["--help"], light),
        (["--weeks", WEEK, "--data-dir", "files", "--run-date", "2026-01-30"], heavy),
    ):
        script = (
            "import sys, json\n"
            "from market_spine.cli.weekly import main\n"
            "try:\n    main(json.loads(sys.argv[1]))\n"
            "except SystemExit as end: code = end.code\n"
            f"print(json.dumps([code, sorted(set({unwanted!r}) & set(sys.modules))]))\n"
        )
        ran = run_command(sys.executable, "-c", script, json.dumps(arguments), cwd=folder)
        assert json.loads(ran.stdout.splitlines()[-1]) == [0, []], ran.stderr
