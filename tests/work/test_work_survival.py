"""Workers through what befalls their database: away, full of other people's sessions, altered under them; and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from clone import tool
from support.postgres_server import PostgresServer

from market_spine.db import Database, connect, migrations
from market_spine.monitor import samples
from market_spine.monitor.deadline import parse_deadline
from market_spine.outcome import Outcome
from market_spine.work import lease, queue
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item, Lease, Request, State
from market_spine.work.worker import Settings, Worker

SECONDS = 40
WEEK = date(2025, 12, 5)

pytestmark = pytest.mark.usefixtures("engine")


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {SECONDS} s: {what}"
        threading.Event().wait(0.02)


class RealWorker:
    """A worker process on `target`; its items' one effect is a row, after so many milliseconds."""

    def __init__(self, target: str, folder: Path, milliseconds: int = 0) -> None:
        self._log = folder / "worker.log"
        command = tool("queue_torture", "--be-worker", "w", "--db", target, "--lease", "3")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([*command, "--milliseconds", str(milliseconds)], stdout=log, stderr=log)

    def events(self) -> list[str]:
        """The event words of its log; a line that is not JSON counts as itself."""
        lines = self._log.read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line)["event"] if line.startswith("{") else line for line in lines if line.endswith("\n")]

    def wait_for(self, event: str, count: int = 1) -> None:
        wait_until(lambda: self.events().count(event) >= count, f"{count} x {event} in {self.events()}")

    def ends_well(self) -> bool:
        self.process.terminate()
        return self.process.wait(SECONDS) == 0


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., RealWorker]]:
    started: list[RealWorker] = []

    def start(target: str, milliseconds: int = 0) -> RealWorker:
        started.append(RealWorker(target, tmp_path, milliseconds))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()


def make_ready(db: Database) -> None:
    migrations.prepare(db)
    db.execute(
        "CREATE TABLE torture_effect (item_id INTEGER, execution_id TEXT, worker TEXT, at DOUBLE PRECISION, claim_ms REAL)"
    )


def ask(db: Database, pipeline: str) -> Item:
    return queue.enqueue(db, [Request(pipeline, WEEK, "OTC")], db.now())[0].item


def is_done(db: Database, item: Item) -> bool:
    return queue.find(db, item.id).state is State.COMPLETE


def counted(db: Database) -> tuple[float, ...]:
    """What the metrics say of workers and outages."""
    by_name = {sample.name: sample.value for sample in samples.take(db, db.now(), parse_deadline("Fri 12:00"))}
    return by_name["market_spine_workers"], by_name["market_spine_worker_outages"]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("milliseconds", [0, 2_500], ids=["idle", "with an item in hand"])
def test_a_worker_lives_through_the_servers_absence_and_says_so_once(
    postgres_server: PostgresServer, start_worker: Callable[..., RealWorker], milliseconds: int
) -> None:
    db = connect(postgres_server.url)
    make_ready(db)
    worker = start_worker(postgres_server.url, milliseconds)
    worker.wait_for("worker_start")
    first = ask(db, "ingest_week")
    wait_until(lambda: queue.find(db, first.id).state in (State.RUNNING, State.COMPLETE), "it has begun")
    for absence in (1, 2):
        postgres_server.stop(immediate=absence == 2)
        worker.wait_for("database_away", absence)
        postgres_server.start()
        worker.wait_for("database_back", absence)
    db.close()
    db.reconnect()
    second = ask(db, "normalize_week")
    wait_until(lambda: is_done(db, first) and is_done(db, second), "both items")
    wait_until(lambda: counted(db) == (1, 2), "its heartbeat says so, and so do the metrics")
    assert worker.ends_well()
    assert counted(db) == (0, 0), "it has said goodbye"
    said = [event for event in worker.events() if not event.startswith(("work_", "worker_"))]
    assert said == ["database_away", "database_back"] * 2
    assert db.execute("SELECT COUNT(*) FROM torture_effect").fetchone()[0] == 2
    db.close()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_worker_whose_sessions_others_have_taken_waits_for_one(
    postgres_server: PostgresServer, start_worker: Callable[..., RealWorker]
) -> None:
    db = connect(postgres_server.url)
    make_ready(db)
    item = ask(db, "ingest_week")
    db.execute("CREATE ROLE spine LOGIN SUPERUSER PASSWORD 'spine'")
    db.execute("ALTER ROLE spine NOSUPERUSER")
    db.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO spine")
    db.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO spine")
    db.execute("GRANT pg_read_all_stats TO spine")
    target = "postgresql://spine:spine@" + postgres_server.url.split("@")[1]
    worker = start_worker(target)
    wait_until(lambda: is_done(db, item), "the first item")
    db.execute("ALTER ROLE spine CONNECTION LIMIT 0")
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'spine'")
    worker.wait_for("database_away")
    db.execute("ALTER ROLE spine CONNECTION LIMIT 3")  # too few for all its sessions, until its own give way
    other = ask(db, "normalize_week")
    wait_until(lambda: len(sessions(postgres_server.url)) >= 3, "it takes what there is")
    db.execute("ALTER ROLE spine CONNECTION LIMIT -1")
    wait_until(lambda: is_done(db, other), "the second item")
    assert worker.ends_well()
    db.close()


def sessions(url: str) -> Sequence[Any]:
    with psycopg.connect(url) as admin:
        return admin.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'spine'").fetchall()


def test_every_duty_survives_a_table_altered_under_it(target: str, db: Database, start_worker: Callable[..., RealWorker]) -> None:
    make_ready(db)
    worker = start_worker(target)
    first = ask(db, "ingest_week")
    wait_until(lambda: is_done(db, first), "the first item")
    db.execute("ALTER TABLE core_work_items RENAME COLUMN next_attempt_at TO was_next_at")
    worker.wait_for("duty_failing")
    db.execute("ALTER TABLE core_work_items RENAME COLUMN was_next_at TO next_attempt_at")
    dead, now = ask(db, "normalize_week"), db.now() - timedelta(hours=1)
    with db.transaction():
        claimed = lease.claim(db, dead.id, "a worker that died", now) or lease.claim(db, dead.id, "a worker that died", db.now())
    wait_until(lambda: is_done(db, dead), "the sweeper takes it back and it is done")
    assert claimed is None or queue.find(db, dead.id).attempt_count == 2
    assert worker.ends_well()


@pytest.mark.parametrize("duty", ["sweep", "beat"])
def test_a_duty_that_cannot_recover_ends_the_worker_with_its_error(
    target: str, db: Database, monkeypatch: pytest.MonkeyPatch, duty: str
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError(duty)

    def until_the_worker_stops(_db: ItemTransaction, _item: Item, _now: datetime) -> Sequence[Outcome]:
        worker.stopping.wait(SECONDS)
        return []

    monkeypatch.setattr(lease, duty, broken)
    item = ask(db, "ingest_week")
    worker = Worker(target, until_the_worker_stops, Settings(lease=Lease(timedelta(seconds=3)), give_up=0))
    with pytest.raises(ZeroDivisionError, match=duty):
        worker.run()
    assert queue.find(db, item.id).state is not State.RUNNING


# Runs a worker whose one item sends SIGTERM to its own thread: as after a SIGCONT, it is not the main thread that gets it.
_SIGNALLED = """
import signal, sys, threading
from market_spine.work.worker import Settings, Worker

def perform(db, item, now):
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    return []

Worker(sys.argv[1], perform, Settings()).run()
"""


def test_a_sigterm_that_another_thread_gets_stops_the_worker(target: str, db: Database) -> None:
    item = ask(db, "ingest_week")
    done = subprocess.run([sys.executable, "-c", _SIGNALLED, target], timeout=SECONDS, check=False, env=dict(os.environ))
    assert done.returncode == 0
    assert is_done(db, item)


def test_a_sigterm_to_a_stopped_worker_is_not_lost(target: str, db: Database, start_worker: Callable[..., RealWorker]) -> None:
    make_ready(db)
    worker = start_worker(target)
    item = ask(db, "ingest_week")
    wait_until(lambda: is_done(db, item), "the item")
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):
        worker.process.send_signal(number)
    assert worker.process.wait(SECONDS) == 0
