"""Real worker processes on real databases: drained, stopped, killed, frozen."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from clone import tool
from support import database_picture
from support.commands import RunCommand
from support.gates import DEADLINE, Events, Gate
from support.weekly_files import write_week

from market_spine.db import Database, connect, redact
from market_spine.partition import TIERS
from market_spine.work import queue
from market_spine.work.item import Item, Params, Request, State
from market_spine.work.queue import Filter

WEEKS = [date(2025, 12, 5) + timedelta(weeks=n) for n in range(6)]
RUN_DATE = date(2026, 1, 30)


def backlog(weeks: list[date]) -> list[Request]:
    """Everything there is to do for these weeks."""
    params = Params(RUN_DATE)
    of_tier = ("ingest_week", "normalize_week", "compute_venue_volume", "compute_venue_share", "compute_hhi")
    of_week = ("compute_tier_split", "compute_weekly_totals")
    return [Request(name, week, tier, params=params) for week in weeks for tier in TIERS for name in of_tier] + [
        Request(name, week, params=params) for week in weeks for name in of_week
    ]


def worker(target: str, data_dir: Path) -> subprocess.Popen[bytes]:
    """A real worker, its log on a pipe."""
    program = Path(sysconfig.get_path("scripts")) / "spine"
    return subprocess.Popen([program, "worker", "--db", target, "--data-dir", data_dir], stderr=subprocess.PIPE)


def test_a_backlog_in_any_order_ends_in_the_same_database_as_the_weekly_run(
    target: str, db: Database, tmp_path: Path, fixtures_dir: Path, run_command: RunCommand
) -> None:
    weekly = str(tmp_path / "weekly.db")
    weeks = ",".join(map(str, WEEKS))
    run_command(
        "run_finra_weekly_schedule", "--db", weekly, "--weeks", weeks, "--run-date", str(RUN_DATE), "--data-dir", fixtures_dir
    )
    requests = backlog(WEEKS)
    random.Random(7).shuffle(requests)
    queue.enqueue(db, requests, db.now())

    workers = [worker(target, fixtures_dir) for _ in range(2)]
    Events(*workers).wait("work_complete", len(requests))
    for process in workers:
        process.terminate()
    assert [process.wait(DEADLINE) for process in workers] == [0, 0]
    assert queue.counts(db)[State.COMPLETE] == len(requests)
    reference = connect(weekly)
    expected, found = database_picture.everything(reference), database_picture.everything(db)
    reference.close()
    assert len(expected["finra_otc_transparency_normalized"]) > 5000
    assert {name: rows for name, rows in found.items() if rows != expected[name]} == {}


def test_a_backfill_of_items_ends_in_the_same_database_as_the_weekly_run(
    target: str, db: Database, tmp_path: Path, fixtures_dir: Path, run_command: RunCommand
) -> None:
    weekly, weeks = str(tmp_path / "weekly.db"), ",".join(map(str, WEEKS))
    run_command(
        "run_finra_weekly_schedule", "--db", weekly, "--weeks", weeks, "--run-date", str(RUN_DATE), "--data-dir", fixtures_dir
    )
    asked_for = ("spine", "backfill", "--from", str(WEEKS[0]), "--to", str(WEEKS[-1]), "--run-date", str(RUN_DATE), "--enqueue")
    done = run_command(*asked_for, "--db", target)
    assert done.stdout.splitlines() == ["18 items enqueued, 0 were open already", f"Next: spine worker --db {redact(target)}"]
    workers = [worker(target, fixtures_dir) for _ in range(2)]
    Events(*workers).wait("work_complete", 18)
    for process in workers:
        process.terminate()
    assert [process.wait(DEADLINE) for process in workers] == [0, 0]
    again = run_command(*asked_for, "--json", "--db", target)
    assert (json.loads(again.stdout)["enqueued"], json.loads(again.stdout)["open"]) == (18, 0)
    reference = connect(weekly)
    expected, found = database_picture.everything(reference), database_picture.everything(db)
    reference.close()
    assert {name: rows for name, rows in found.items() if rows != expected[name]} == {}


def test_a_backfill_that_only_asks_takes_no_option_of_one_that_works(target: str, run_command: RunCommand) -> None:
    asked_for = ("spine", "backfill", "--from", str(WEEKS[0]), "--to", str(WEEKS[0]), "--enqueue", "--db", target)
    done = run_command(*asked_for, "--missing-only")
    assert done.exit_code == 2
    assert "--enqueue takes neither --as-observed-on nor --missing-only" in done.stderr


def test_a_worker_that_drains_ends_when_nothing_is_due_and_logs_json(
    target: str, db: Database, tmp_path: Path, run_command: RunCommand
) -> None:
    write_week(tmp_path / "files", "2025-12-26")
    later = db.now() + timedelta(hours=1)
    normalize, ingest, _ = asked(
        db,
        Request("normalize_week", date(2025, 12, 26), "OTC", priority=9, params=Params(RUN_DATE)),
        Request("ingest_week", date(2025, 12, 26), "OTC", params=Params(RUN_DATE)),
        Request("ingest_week", date(2025, 12, 26), "NMS_TIER_1", desired_at=later),
    )
    done = run_command("spine", "worker", "--drain", "--db", target, "--data-dir", tmp_path / "files")
    assert done.exit_code == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines[0]["event"] == "worker_started"
    assert [(line["event"], line["work_item"]) for line in lines if line["event"].startswith("work_")] == [
        ("work_started", normalize.id), ("work_retry_wait", normalize.id),
        ("work_started", ingest.id), ("work_complete", ingest.id),
        ("work_started", normalize.id), ("work_complete", normalize.id),
    ]
    assert queue.counts(db) == dict.fromkeys(State, 0) | {State.COMPLETE: 2, State.PENDING: 1}
    assert queue.find(db, normalize.id).last_error == (
        "waits: prerequisite missing: RAW of 2025-12-26 / OTC; created by: "
        "spine run finra.otc_transparency.ingest_week 2025-12-26 OTC"
    )


def asked(db: Database, *requests: Request) -> list[Item]:
    return [answered.item for answered in queue.enqueue(db, requests, db.now())]


def test_once_is_one_item(target: str, db: Database, tmp_path: Path, run_command: RunCommand) -> None:
    write_week(tmp_path / "files", "2025-12-26")
    for tier in TIERS:
        asked(db, Request("ingest_week", date(2025, 12, 26), tier, params=Params(RUN_DATE)))
    done = run_command("spine", "worker", "--once", "--concurrency", "3", "--db", target, "--data-dir", tmp_path / "files")
    assert (done.exit_code, queue.counts(db)[State.COMPLETE]) == (0, 1)


def test_a_worker_without_a_database_says_so_in_one_line(tmp_path: Path, run_command: RunCommand) -> None:
    done = run_command("spine", "worker", "--drain", "--db", tmp_path / "none.db", "--log-format", "text")
    assert done.exit_code == 2
    assert "nothing is stored in" in done.stderr.splitlines()[-1]


def test_a_worker_takes_nothing_from_a_database_of_a_newer_program(
    target: str, db: Database, tmp_path: Path, run_command: RunCommand
) -> None:
    (item,) = asked(db, Request("ingest_week", WEEKS[0], "OTC"))
    db.execute("INSERT INTO core_migrations (number, name, applied_at) VALUES (99, 'future', '2030-01-04')")
    done = run_command("spine", "worker", "--drain", "--db", target, "--data-dir", tmp_path, "--log-format", "text")
    assert done.exit_code == 2
    assert "has schema 99; this program knows up to" in done.stderr.splitlines()[-1]
    assert queue.find(db, item.id).state is State.PENDING


HELD = Path(__file__).resolve().parents[1] / "support" / "held_worker.py"
StartWorker = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start_worker(target: str) -> Iterator[StartWorker]:
    """Starts a worker whose items stop at a gate (held_worker.py); what still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(gate: Gate | None = None, lease: float = DEADLINE, grace: float = DEADLINE) -> subprocess.Popen[bytes]:
        pipes = [gate.arrived, gate.onward] if gate else []
        command = [sys.executable, HELD, target, str(lease), str(grace), *pipes]
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def effects(db: Database) -> Database:
    db.execute(
        "CREATE TABLE torture_effect (item_id INTEGER, execution_id TEXT, worker TEXT, at DOUBLE PRECISION, claim_ms REAL)"
    )
    return db


def count_effects(db: Database) -> int:
    (count,) = db.execute("SELECT COUNT(*) FROM torture_effect").fetchone()
    return int(count)


def test_sigterm_lets_the_item_in_hand_end(effects: Database, start_worker: StartWorker, gate: Gate) -> None:
    asked(effects, *(Request("ingest_week", week, "OTC") for week in WEEKS))
    worker = start_worker(gate)
    events = Events(worker)
    gate.wait()
    worker.terminate()
    events.wait("worker_stopping")
    gate.open()
    assert worker.wait(DEADLINE) == 0
    counts = queue.counts(effects)
    assert (counts[State.COMPLETE], counts[State.PENDING], counts[State.RUNNING]) == (1, 5, 0)
    assert count_effects(effects) == 1


def test_sigterm_returns_an_item_that_does_not_end_in_time(effects: Database, start_worker: StartWorker, gate: Gate) -> None:
    (item,) = asked(effects, Request("ingest_week", WEEKS[0], "OTC"))
    worker = start_worker(gate, grace=0)
    events = Events(worker)
    gate.wait()
    worker.terminate()
    events.wait("abandoned")
    gate.open()
    assert worker.wait(DEADLINE) == 0
    returned = queue.find(effects, item.id)
    assert (returned.state, returned.attempt_count, returned.last_error, count_effects(effects)) == (State.PENDING, 0, None, 0)


def test_ctrl_c_after_a_first_signal_kills_and_the_item_is_taken_back(
    effects: Database, start_worker: StartWorker, gate: Gate
) -> None:
    (item,) = asked(effects, Request("ingest_week", WEEKS[0], "OTC"))
    worker = start_worker(gate)
    events = Events(worker)
    gate.wait()
    worker.terminate()
    events.wait("worker_stopping")
    worker.send_signal(signal.SIGINT)
    assert worker.wait(DEADLINE) == 128 + signal.SIGINT
    other = start_worker(lease=2)
    Events(other).wait("work_complete")
    other.terminate()
    other.wait(DEADLINE)
    assert (queue.find(effects, item.id).attempt_count, count_effects(effects)) == (2, 1)


def test_a_long_item_keeps_its_lease_by_heartbeats(effects: Database, start_worker: StartWorker, gate: Gate) -> None:
    (item,) = asked(effects, Request("ingest_week", WEEKS[0], "OTC"))
    workers = [start_worker(gate, lease=3) for _ in range(2)]
    events = Events(*workers)
    gate.wait()
    events.wait("beat", 8)  # at five a lease: longer than one
    gate.open()
    events.wait("work_complete")
    for worker in workers:
        worker.terminate()
        worker.wait(DEADLINE)
    assert (queue.find(effects, item.id).attempt_count, count_effects(effects)) == (1, 1)


def test_a_cancelled_item_is_dropped_by_its_worker(effects: Database, start_worker: StartWorker, gate: Gate) -> None:
    long_one, short_one = asked(
        effects, Request("ingest_week", WEEKS[0], "OTC", priority=9), Request("ingest_week", WEEKS[1], "OTC")
    )
    worker = start_worker(gate)
    events = Events(worker)
    assert gate.wait() == str(long_one.id)
    queue.cancel(effects, [long_one.id], effects.now(), "a mistake", "tester")
    gate.open()
    assert gate.wait() == str(short_one.id)
    gate.open()
    events.wait("work_complete")
    worker.terminate()
    worker.wait(DEADLINE)
    assert queue.find(effects, long_one.id).state is State.CANCELLED
    assert [item_id for (item_id,) in effects.execute("SELECT item_id FROM torture_effect")] == [short_one.id]
    action = effects.execute("SELECT actor, action, target, reason FROM core_operator_actions").fetchone()
    assert tuple(action) == ("tester", "work cancel", "ingest_week 2025-12-05 / OTC", "a mistake")


@pytest.mark.parametrize("chaos", ["kill,term,freeze,restart"])
def test_workers_killed_stopped_and_frozen_lose_nothing_and_double_nothing(engine: str, tmp_path: Path, chaos: str) -> None:
    command = tool("queue_torture", "--engine", engine, "--items", "150", "--chaos", chaos, "--lease", "2")
    done = subprocess.run([*command, "--apart", "7200"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert (found["states"], found["lost"], found["doubled"]) == ({"COMPLETE": 150}, 0, 0)
    assert found["taken_up_again"] >= 1
    assert len(found["lines"]) == (4 if engine == "postgresql" else 3)


def test_nothing_is_listed_where_nothing_was_asked_for(db: Database) -> None:
    assert queue.listed(db, Filter()).items == []
