"""Ill-treat the work queue and count: `python scripts queue_torture --engine postgresql --workers 3 --items 2000`.

N worker processes share a database and work off items whose one effect is a row. Meanwhile one worker is killed, one is asked
to stop, one is frozen past its lease and thawed, one is stopped, asked to end and woken (`wake`); the server is restarted, stays
away (`outage`) or takes no writes (`readonly`), a column is renamed for a while (`alter`), a source drips (`drip`), all that is
pending becomes due unannounced (`unnotified`), the workers' clocks differ. In the end every item must be COMPLETE with exactly
one effect. Prints items a second and how long claims took; exit 1 on any loss. (A network that is cut: two_machines.py.)

`--rates 1,2,4,8` leaves them in peace and prints the rate for each number of workers; exit 1 when it falls below the first.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
from clone import tool
from stand_ins.postgres_server import PostgresServer, required_binaries

from market_spine.db import Database, connect
from market_spine.db.migrations import prepare
from market_spine.errors import DatabaseLost
from market_spine.partition import TIERS
from market_spine.work import queue
from market_spine.work.item import Request, State
from torture import queue_faults, queue_worker

PIPELINES = ("ingest_week", "normalize_week", "compute_venue_volume", "compute_venue_share", "compute_hhi")
FIRST_WEEK = date(1960, 1, 1)  # a Friday
DEADLINE = 300.0


# --- the ill-treatment --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Bench:
    """The database under torture and the workers on it."""

    target: str
    lease_seconds: float
    concurrency: int
    milliseconds: float
    logs: Path
    restart: Callable[[float], None] | None = None
    outage_seconds: float = 5
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def start(self, clock_offset: float = 0) -> str:
        name = f"w{len(self.workers) + 1}"
        command = tool(
            "queue_torture",
            "--be-worker",
            name,
            "--db",
            self.target,
            "--lease",
            str(self.lease_seconds),
            "--concurrency",
            str(self.concurrency),
            "--milliseconds",
            str(self.milliseconds),
            f"--clock-offset={clock_offset}",
        )
        with (self.logs / f"{name}.log").open("wb") as log:
            self.workers[name] = subprocess.Popen(command, stdout=log, stderr=log)
        return name

    def say(self, text: str) -> None:
        self.lines.append(text)
        click.echo(text, err=True)

    def kill(self, db: Database) -> None:
        name = self._busy(db)
        self.workers[name].kill()
        self.workers[name].wait()
        self.say(f"killed {name} with an item in hand")

    def term(self, db: Database) -> None:
        name = self._busy(db)
        self.workers[name].terminate()
        code = self.workers[name].wait(120)
        self.say(f"stopped {name} with SIGTERM: exit {code}")

    def freeze(self, db: Database) -> None:
        """Frozen with an item in hand, until another worker has taken it or twice the lease is over; then thawed."""
        name = self._busy(db, frozen=True)
        process = self.workers[name]
        until = time.monotonic() + 2 * self.lease_seconds + 1
        while time.monotonic() < until and self._holds(db, process.pid):
            time.sleep(0.1)
        taken = not self._holds(db, process.pid)
        process.send_signal(signal.SIGCONT)
        self.say(f"froze {name} past its lease ({'its item was taken over' if taken else 'it held the writer'}), thawed it")

    def restart_server(self, db: Database) -> None:
        if self.restart is not None:
            self.restart(0)
            self.say("restarted the server")

    def outage(self, db: Database) -> None:
        if self.restart is not None:
            self.restart(self.outage_seconds)
            alive = sum(process.poll() is None for process in self.workers.values())
            self.say(f"stopped the server for {self.outage_seconds:.0f} s; {alive} workers lived through it")

    def readonly(self, db: Database) -> None:
        """The server takes no writes for so long (PostgreSQL), as on a full disk or after a failover."""
        if self.restart is None:
            return
        db.execute("SET default_transaction_read_only = off")
        for setting in (
            b"ALTER SYSTEM SET default_transaction_read_only = on",
            b"ALTER SYSTEM RESET default_transaction_read_only",
        ):
            db.driver.execute(setting)  # type: ignore[attr-defined]
            db.execute("SELECT pg_reload_conf()").fetchone()
            if b"RESET" not in setting:
                time.sleep(self.outage_seconds)
        self._say_alive(f"took no writes for {self.outage_seconds:.0f} s")

    def alter(self, db: Database) -> None:
        """A column that every duty uses has another name for so long, as in a migration under live workers."""
        db.reconnect()
        db.execute("ALTER TABLE core_work_items RENAME COLUMN next_attempt_at TO was_next_at")
        time.sleep(self.outage_seconds)
        db.execute("ALTER TABLE core_work_items RENAME COLUMN was_next_at TO next_attempt_at")
        self._say_alive(f"renamed a column for {self.outage_seconds:.0f} s")

    def wake(self, db: Database) -> None:
        """Stopped, asked to end, woken: the signal must not be lost."""
        name = self._busy(db, frozen=True)
        process = self.workers[name]
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        self.say(f"stopped {name}, asked it to end, woke it: exit {process.wait(120)}")

    def drip(self, db: Database) -> None:
        self.say(queue_faults.drip(db))

    def unnotified(self, db: Database) -> None:
        self.say(queue_faults.unnotified(db))

    def _say_alive(self, what: str) -> None:
        alive = sum(process.poll() is None for process in self.workers.values())
        self.say(f"{what}; {alive} workers lived through it")

    def _busy(self, db: Database, *, frozen: bool = False) -> str:
        """A living worker that has an item in hand; with `frozen` it is stopped there."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            for name, process in self.workers.items():
                if process.poll() is not None or not self._holds(db, process.pid):
                    continue
                if not frozen:
                    return name
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.05)
                if self._holds(db, process.pid):
                    return name
                process.send_signal(signal.SIGCONT)
        raise click.ClickException("no worker with an item in hand")

    @staticmethod
    def _holds(db: Database, pid: int) -> bool:
        db.reconnect()
        held = db.execute("SELECT locked_by FROM core_work_items WHERE state = 'RUNNING'").fetchall()
        return any(row[0].split(":")[1] == str(pid) for row in held)

    def stop(self) -> None:
        for process in self.workers.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.workers.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def make_ready(db: Database, items: int) -> None:
    """An empty database gets its tables and the items."""
    prepare(db)
    db.execute(
        "CREATE TABLE torture_effect (item_id INTEGER, execution_id TEXT, worker TEXT, at DOUBLE PRECISION, claim_ms REAL)"
    )
    enqueue(db, items)


def enqueue(db: Database, count: int) -> None:
    keys = ((FIRST_WEEK + timedelta(weeks=w), tier, name) for w in range(count) for tier in TIERS for name in PIPELINES)
    requests = [
        Request(name, week, tier, priority=random.randint(0, 9))
        for (week, tier, name), _ in zip(keys, range(count), strict=False)
    ]
    random.shuffle(requests)
    for start in range(0, count, 500):
        queue.enqueue(db, requests[start : start + 500], db.now())


def done(db: Database) -> int:
    try:
        db.reconnect()
        return queue.counts(db)[State.COMPLETE]
    except DatabaseLost:  # the server is being restarted
        return 0


def wait_for(db: Database, count: int, deadline: float) -> None:
    """Until `count` items are COMPLETE."""
    while (now_done := done(db)) < count:
        if time.monotonic() > deadline:
            raise click.ClickException(f"only {now_done} of {count} items are COMPLETE: {queue.counts(db)}")
        time.sleep(0.05)


def effects(db: Database) -> dict[str, Any]:
    """What became of the items: lost and doubled must be 0."""
    lost = db.execute(
        "SELECT COUNT(*) FROM core_work_items w WHERE NOT EXISTS (SELECT 1 FROM torture_effect e WHERE e.item_id = w.id)"
    ).fetchone()[0]
    doubled = db.execute(
        "SELECT COUNT(*) FROM (SELECT item_id FROM torture_effect GROUP BY item_id HAVING COUNT(*) > 1) AS twice"
    ).fetchone()[0]
    again = db.execute("SELECT COUNT(*) FROM core_work_items WHERE attempt_count > 1").fetchone()[0]
    states = {state.value: n for state, n in queue.counts(db).items() if n}
    return {"states": states, "lost": lost, "doubled": doubled, "taken_up_again": again}


def report(db: Database, bench: Bench, items: int) -> dict[str, Any]:
    """What there is to see in the end."""
    times = [row[0] for row in db.execute("SELECT at FROM torture_effect ORDER BY at")]
    claims = sorted(row[0] for row in db.execute("SELECT claim_ms FROM torture_effect WHERE claim_ms IS NOT NULL"))
    span = max(times[-1] - times[0], 1e-9) if times else 1.0
    return {
        "engine": db.engine,
        "workers": len(bench.workers),
        "items": items,
        **effects(db),
        "items_per_second": round(len(times) / span, 1),
        "steady_per_second": steady(db),
        "claim_ms": {f"p{p}": round(claims[len(claims) * p // 100], 2) for p in (50, 95, 99)} if claims else {},
        "lines": bench.lines,
    }


def steady(db: Database) -> float | None:
    """Items a second from the moment when the last worker had begun: starting the others takes from the first."""
    count, since, until = db.execute(
        """
        SELECT COUNT(*), MIN(at), MAX(at) FROM torture_effect
        WHERE at >= (SELECT MAX(first_at) FROM (SELECT MIN(at) AS first_at FROM torture_effect GROUP BY worker) AS begun)
        """
    ).fetchone()
    return round((count - 1) / (until - since), 1) if count > 1 else None


def torture(bench: Bench, workers: int, items: int, chaos: Sequence[str], apart: float) -> dict[str, Any]:
    """One round; raises ClickException when the items are not done in time."""
    with contextlib.closing(connect(bench.target)) as db:
        make_ready(db, items)
        deadline = time.monotonic() + DEADLINE + bench.outage_seconds
        try:
            for n in range(workers):
                bench.start(clock_offset=apart * (n - (workers - 1) / 2))
            acts = {"kill": bench.kill, "term": bench.term, "freeze": bench.freeze, "restart": bench.restart_server}
            acts |= {"outage": bench.outage, "readonly": bench.readonly, "alter": bench.alter, "wake": bench.wake}
            acts |= {"drip": bench.drip, "unnotified": bench.unnotified}
            for step, name in enumerate(chaos, 1):
                wait_for(db, items * step // (len(chaos) + 2), deadline)
                acts[name](db)
                if name in ("kill", "term", "wake"):
                    bench.start()
            wait_for(db, items, deadline)
        finally:
            bench.stop()
        return report(db, bench, items)


def rates(engine: str, counts: Sequence[int], items: int, milliseconds: float) -> dict[str, Any]:
    """The steady rate for each number of workers, each on a new database."""
    found = {}
    for count in counts:
        with place(engine) as (target, restart, folder):
            bench = Bench(target, 30, 1, milliseconds, folder, restart)
            one = torture(bench, count, items, (), 0)
        found[str(count)] = {"per_second": one["steady_per_second"], "claim_ms": one["claim_ms"]}
        click.echo(f"{count} workers: {one['steady_per_second']} items/s", err=True)
    return {"engine": engine, "items": items, "milliseconds": milliseconds, "cores": os.cpu_count(), "workers": found}


# --- servers and networks ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def own_server() -> Iterator[tuple[str, Callable[[float], None]]]:
    """A PostgreSQL server of our own: its URL, and what restarts it after some seconds."""
    with PostgresServer(required_binaries()) as server:

        def restart(seconds: float) -> None:
            server.stop()
            time.sleep(seconds)
            server.start()

        yield server.url, restart


@contextlib.contextmanager
def place(engine: str) -> Iterator[tuple[str, Callable[[float], None] | None, Path]]:
    """A new database, what restarts its server if it has one, and a folder for logs."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        logs = Path(os.environ.get("TORTURE_LOGS", folder))
        if engine == "postgresql":
            yield (*stack.enter_context(own_server()), logs)
        else:
            yield str(Path(folder) / "torture.db"), None, logs


@click.command(epilog="Example: python scripts queue_torture --engine sqlite --workers 3 --items 2000")
@click.option("--engine", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--db", help="A database of your own instead, empty; tables are made in it.")
@click.option("--workers", default=3, show_default=True)
@click.option("--items", default=2000, show_default=True)
@click.option(
    "--chaos", default="kill,term,freeze,restart", show_default=True, help="What is done to them, in order; '' for nothing."
)
@click.option("--lease", "lease_seconds", default=3.0, show_default=True, help="Seconds.")
@click.option("--concurrency", default=1, show_default=True, help="Items at a time in one worker.")
@click.option("--milliseconds", default=5.0, show_default=True, help="How long an item takes.")
@click.option("--apart", default=0.0, show_default=True, help="Seconds between the clocks of two workers.")
@click.option("--outage-seconds", default=5.0, show_default=True, help="How long the server stays away in an `outage`.")
@click.option("--rates", "compare", help="Numbers of workers to compare, e.g. 1,2,4,8.")
@click.option("--be-worker", hidden=True)
@click.option("--clock-offset", default=0.0, hidden=True)
def main(
    engine: str,
    db: str | None,
    workers: int,
    items: int,
    chaos: str,
    lease_seconds: float,
    concurrency: int,
    milliseconds: float,
    apart: float,
    outage_seconds: float,
    compare: str | None,
    be_worker: str | None,
    clock_offset: float,
) -> None:
    """Ill-treat the work queue and count."""
    if be_worker:
        queue_worker.be_worker(str(db), lease_seconds, concurrency, milliseconds, clock_offset, be_worker)
        return
    if compare:
        found = rates(engine, [int(count) for count in compare.split(",")], items, milliseconds)
        click.echo(json.dumps(found, indent=2))
        each = [one["per_second"] for one in found["workers"].values()]
        sys.exit(int(None in each or min(each) < each[0]))
    with place(engine) as (target, restart, logs):
        bench = Bench(db or target, lease_seconds, concurrency, milliseconds, logs, restart, outage_seconds)
        found = torture(bench, workers, items, [step for step in chaos.split(",") if step], apart)
    click.echo(json.dumps(found, indent=2))
    sys.exit(int(bool(found["lost"] or found["doubled"] or found["states"] != {"COMPLETE": items})))


if __name__ == "__main__":
    main()
