"""Workers through what befalls their database: away, full of other people's sessions, altered under them; and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from stand_ins.postgres_server import PostgresServer
from support.gates import DEADLINE, Events, Gate

from market_spine.db import Database, connect, migrations
from market_spine.monitor import samples
from market_spine.monitor.deadline import parse_deadline
from market_spine.outcome import Outcome
from market_spine.work import lease, queue
from market_spine.work.fence import ItemTransaction
from market_spine.work.item import Item, Lease, Request, State
from market_spine.work.worker import Settings, Worker

HELD = Path(__file__).resolve().parents[1] / "support" / "held_worker.py"
LEASE_SECONDS = 3
WEEK = date(2025, 12, 5)

pytestmark = pytest.mark.usefixtures("engine")


class RealWorker:
    """A worker process on `target` that announces its moments (held_worker.py); its items stop at `gate`, if there is one."""

    def __init__(self, target: str, gate: Gate | None) -> None:
        pipes = [gate.arrived, gate.onward] if gate else []
        command = [sys.executable, HELD, target, str(LEASE_SECONDS), str(DEADLINE), *pipes]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        self._events = Events(self.process)
        self.wait_for, self.wait_for_each = self._events.wait, self._events.wait_for_each

    def logged(self) -> list[str]:
        """The event words of its log, once it has ended; a line that is not JSON counts as itself."""
        return [line.get("text") or line["event"] for line in self._events.to_the_end() if line.keys() != {"event"}]

    def ends_well(self) -> bool:
        self.process.terminate()
        return self.process.wait(DEADLINE) == 0


StartWorker = Callable[..., RealWorker]


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    started: list[RealWorker] = []

    def start(target: str, gate: Gate | None = None) -> RealWorker:
        started.append(RealWorker(target, gate))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()


def make_ready(db: Database) -> None:
    migrations.prepare(db)
    db.execute("CREATE TABLE torture_effect (item_id INTEGER)")


def ask(db: Database, pipeline: str, now: datetime | None = None) -> Item:
    return queue.enqueue(db, [Request(pipeline, WEEK, "OTC")], now or db.now())[0].item


def is_done(db: Database, item: Item) -> bool:
    return queue.find(db, item.id).state is State.COMPLETE


def counted(db: Database) -> tuple[float, ...]:
    """What the metrics say of workers and outages."""
    by_name = {sample.name: sample.value for sample in samples.take(db, db.now(), parse_deadline("Fri 12:00"))}
    return by_name["market_spine_workers"], by_name["market_spine_worker_outages"]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("in_hand", [False, True], ids=["idle", "with an item in hand"])
def test_a_worker_lives_through_the_servers_absence_and_says_so_once(
    postgres_server: PostgresServer, start_worker: StartWorker, gate: Gate, in_hand: bool
) -> None:
    db = connect(postgres_server.url)
    make_ready(db)
    worker = start_worker(postgres_server.url, gate if in_hand else None)
    worker.wait_for("worker_started")
    first = ask(db, "ingest_week")
    if not in_hand:
        worker.wait_for(f"COMPLETE {first.id}")
    for absence in (1, 2):
        if in_hand:
            gate.wait()
        postgres_server.stop(immediate=absence == 2)
        worker.wait_for_each("database_unavailable", "failed heartbeat", "failed sweep")
        if in_hand:
            gate.open()  # what it writes now is lost
            worker.wait_for(f"failed settling {first.where}")
        postgres_server.start()
        worker.wait_for("database_recovered")
    db.close()
    db.reconnect()
    second = ask(db, "normalize_week")
    if in_hand:
        for _ in (first, second):  # in any order: a crash forgets who had taken the first
            gate.wait()
            gate.open()
        worker.wait_for_each(f"COMPLETE {first.id}", f"COMPLETE {second.id}")
    else:
        worker.wait_for(f"COMPLETE {second.id}")
    assert is_done(db, first)
    assert is_done(db, second)
    worker.wait_for("seen", 2)  # the second of them began after all that
    assert counted(db) == (1, 2), "its heartbeat says so, and so do the metrics"
    assert worker.ends_well()
    assert counted(db) == (0, 0), "it has said goodbye"
    said = [event for event in worker.logged() if not event.startswith(("work_", "worker_"))]
    assert said == ["database_unavailable", "database_recovered"] * 2
    assert db.execute("SELECT COUNT(*) FROM torture_effect").fetchone() == (2,)
    db.close()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_worker_whose_sessions_others_have_taken_waits_for_one(
    postgres_server: PostgresServer, start_worker: StartWorker
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
    worker.wait_for(f"COMPLETE {item.id}")
    db.execute("ALTER ROLE spine CONNECTION LIMIT 0")
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'spine'")
    worker.wait_for("database_unavailable")
    db.execute("ALTER ROLE spine CONNECTION LIMIT 2")  # too few for all its sessions
    worker.wait_for("connected", 2)  # it takes what there is
    other = ask(db, "normalize_week")
    db.execute("ALTER ROLE spine CONNECTION LIMIT -1")
    worker.wait_for(f"COMPLETE {other.id}")
    assert is_done(db, other)
    assert worker.ends_well()
    db.close()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("in_hand", [False, True], ids=["idle", "with an item in hand"])
def test_no_session_stays_read_only_when_the_database_is_not(
    target: str, db: Database, start_worker: StartWorker, gate: Gate, in_hand: bool
) -> None:
    """Sessions that begin while the database is read-only by default are so for as long as they live."""
    make_ready(db)
    (name,) = db.execute("SELECT current_database()").fetchone()
    worker = start_worker(target, gate if in_hand else None)
    item = ask(db, "ingest_week")
    if in_hand:
        gate.wait()
    else:
        worker.wait_for(f"COMPLETE {item.id}")
    db.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'market-spine %'")
    if in_hand:
        gate.open()
        worker.wait_for(f"failed settling {item.where}", 2)
    else:
        item = ask(db, "normalize_week")
        worker.wait_for("failed claiming (runner-0)", 2)
    db.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    worker.wait_for("work_retry_wait" if in_hand else f"COMPLETE {item.id}")
    assert queue.find(db, item.id).state is (State.RETRY_WAIT if in_hand else State.COMPLETE)
    assert worker.ends_well()


def test_every_duty_survives_a_table_altered_under_it(target: str, db: Database, start_worker: StartWorker) -> None:
    make_ready(db)
    worker = start_worker(target)
    first = ask(db, "ingest_week")
    worker.wait_for(f"COMPLETE {first.id}")
    db.execute("ALTER TABLE core_work_items RENAME COLUMN next_attempt_at TO was_next_at")
    worker.wait_for("duty_failing")
    db.execute("ALTER TABLE core_work_items RENAME COLUMN was_next_at TO next_attempt_at")
    an_hour_ago = db.now() - timedelta(hours=1)
    with db.transaction():  # or the worker would be quicker
        dead = ask(db, "normalize_week", an_hour_ago)
        assert lease.claim(db, dead.id, "a worker that died", an_hour_ago) is not None
    worker.wait_for(f"COMPLETE {dead.id}")  # the sweeper has taken it back
    assert queue.find(db, dead.id).attempt_count == 2
    assert worker.ends_well()


@pytest.mark.parametrize("duty", ["sweep", "beat"])
def test_a_duty_that_cannot_recover_ends_the_worker_with_its_error(
    target: str, db: Database, monkeypatch: pytest.MonkeyPatch, duty: str
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError(duty)

    def until_the_worker_stops(_db: ItemTransaction, _item: Item, _now: datetime) -> Sequence[Outcome]:
        worker.stopping.wait(DEADLINE)
        return []

    monkeypatch.setattr(lease, duty, broken)
    item = ask(db, "ingest_week")
    worker = Worker(target, until_the_worker_stops, Settings(lease=Lease(timedelta(seconds=LEASE_SECONDS)), give_up=0))
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
    done = subprocess.run([sys.executable, "-c", _SIGNALLED, target], timeout=DEADLINE, check=False, env=dict(os.environ))
    assert done.returncode == 0
    assert is_done(db, item)


def test_a_sigterm_to_a_stopped_worker_is_not_lost(target: str, db: Database, start_worker: StartWorker) -> None:
    make_ready(db)
    worker = start_worker(target)
    item = ask(db, "ingest_week")
    worker.wait_for(f"COMPLETE {item.id}")
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT):
        worker.process.send_signal(number)
    assert worker.process.wait(DEADLINE) == 0
