"""Two machines, one PostgreSQL server: runs in two network namespaces, and a cable that is cut. Root on Linux only.

python scripts two_machines              10 rounds of each
python scripts two_machines --rounds 2

together:  both start at once; one works, the other waits for it (or leaves: exit 75)
cut:       the network of the first is cut in the middle, without a word to the server; the second takes over and completes;
           then the cable is plugged in again, and the first must find that it lost its lock, and write nothing
workers:   a worker on each takes items from one queue; the network of the first is cut while it has an item in hand: the second
           takes that over too, and the first, plugged in again, finds that it lost it. No item is lost or done twice
Each machine has its own network, host name and process numbers. The end must equal that of a run never disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from clone import ROOT, tool
from psycopg import sql
from stand_ins.postgres_server import PostgresServer, required_binaries

from market_spine.db import Database, connect
from market_spine.work import queue
from market_spine.work.item import State
from torture import promises, queue_torture

FIXTURES = ROOT / "data" / "fixtures" / "finra_otc"
LEASE = "6"
_SLOWEST = 150


class Machine:
    """A network namespace with one cable to the server's machine."""

    def __init__(self, number: int) -> None:
        self.name, self._cable = f"spine{os.getpid()}-{number}", f"sp{os.getpid() % 100000}n{number}"
        network = os.getpid() % 60 + 40
        self.server_address = f"10.{network}.{number}.1"
        _ip("netns", "add", self.name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("addr", "add", f"{self.server_address}/24", "dev", self._cable)
        _ip("link", "set", self._cable, "up")
        for command in (
            ["addr", "add", f"10.{network}.{number}.2/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["link", "set", "lo", "up"],
        ):
            _ip("-n", self.name, *command)

    def start(self, url: str, *more: str) -> subprocess.Popen[str]:
        """Starts a weekly run there."""
        run = [sys.executable, "-m", "market_spine.cli.weekly", "--db", self._as_seen(url), "--data-dir", str(FIXTURES)]
        return self._start([*run, "--run-date", "2026-01-09", "--lock-lease", LEASE, *more], subprocess.PIPE)

    def work(self, url: str, log: Path) -> subprocess.Popen[str]:
        """Starts a worker there, whose items do nothing but leave a row and take a while."""
        worker = tool("queue_torture", "--be-worker", self.name, "--db", self._as_seen(url))
        with log.open("w", encoding="utf-8") as printed:
            return self._start([*worker, "--lease", LEASE, "--milliseconds", "200"], printed)

    def _as_seen(self, url: str) -> str:
        """The server's address from there."""
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[0] + f"@{self.server_address}:{parts.port}"
        return urlunsplit(parts._replace(netloc=place))

    def _start(self, program: list[str], stderr: Any) -> subprocess.Popen[str]:
        """Starts a program there, with a host name and process numbers of its own; it dies with what is started here."""
        inside = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", 'hostname "$0" && exec "$@"']
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, *inside, self.name, *program],
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )

    def cut(self) -> None:
        """Unplugs the cable: nothing gets through, nobody is notified."""
        _ip("link", "set", self._cable, "down")

    def mend(self) -> None:
        _ip("link", "set", self._cable, "up")

    def close(self) -> None:
        _ip("netns", "del", self.name)


def is_possible() -> bool:
    """Whether this machine lets us make network namespaces."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        return False
    probe = f"spine{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode == 0
    if made:
        _ip("netns", "del", probe)
    return made


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Pair:
    """Two machines and a server between them."""

    def __init__(self, server: Any, first: Machine, second: Machine, seed: int) -> None:
        self._server, self._first, self._second = server, first, second
        self._random = random.Random(seed)
        self._numbers = itertools.count(1)
        self.wrong: list[str] = []
        self.ends: Counter[str] = Counter()
        with self._database() as url:
            run = first.start(url)
            _, printed = run.communicate(timeout=_SLOWEST)
            if run.returncode:
                raise RuntimeError(f"the undisturbed run fails: {printed}")
            self._picture = _picture(url)

    def together(self, policy: str) -> None:
        """Both at once. `policy` is what the loser of the race does: `wait` or `fail`."""
        with self._database() as url:
            runs = [machine.start(url, "--if-locked", policy) for machine in (self._first, self._second)]
            printed = [run.communicate(timeout=_SLOWEST)[1] for run in runs]
            codes = sorted(run.returncode for run in runs)
            self.ends[f"together, {policy}: {codes}"] += 1
            if codes not in ([0, 0], [0, 75]) or (policy == "wait" and codes != [0, 0]):
                self._found(f"together, {policy}: {codes}", printed)
            self._compare(url, f"together, {policy}")

    def cut(self) -> None:
        """The first is cut off in the middle."""
        with self._database() as url:
            first = self._first.start(url)
            self._until_under_way(url)
            time.sleep(self._random.uniform(0, 0.3))
            self._first.cut()
            was_done = first.poll() is not None
            second = self._second.start(url, "--if-locked", "wait", "--lock-wait", "120")
            _, printed = second.communicate(timeout=_SLOWEST)
            self._first.mend()
            _, cried = first.communicate(timeout=_SLOWEST)
            self.ends[f"cut: first {'was done' if was_done else first.returncode}, second {second.returncode}"] += 1
            if second.returncode != 0 or (not was_done and first.returncode not in (0, 2, 75)) or "Traceback" in cried:
                self._found(f"cut: {first.returncode}, {second.returncode}", [cried, printed])
            self._compare(url, "cut")

    def cut_workers(self, items: int = 40) -> None:
        """The first is cut off with an item in hand."""
        with self._database() as url, closing(connect(url)) as db, tempfile.TemporaryDirectory() as folder:
            queue_torture.make_ready(db, items)
            logs = [Path(folder) / machine.name for machine in (self._first, self._second)]
            workers = [machine.work(url, log) for machine, log in zip((self._first, self._second), logs, strict=True)]
            try:
                held = self._cut_off_with_an_item(db, items)
                self._until(lambda: queue.counts(db)[State.COMPLETE] == items, "the second does not take over")
                self._first.mend()
                self._until(lambda: "work_lost" in logs[0].read_text("utf-8"), "the first does not notice what it lost")
            finally:
                self._first.mend()
                for worker in workers:
                    worker.kill()
                    worker.wait()
            self._compare_workers(db, items, held)

    def _cut_off_with_an_item(self, db: Database, items: int) -> list[int]:
        """Cuts the first machine off; returns the items that it then has in hand."""
        while True:
            self._until(
                lambda: queue.counts(db)[State.COMPLETE] >= items // 4 and self._in_hand(db), "the first worker has nothing to do"
            )
            self._first.cut()
            time.sleep(0.3)  # longer than an item takes: what was under way when the cable was cut has arrived or never will
            if held := self._in_hand(db):
                return held
            self._first.mend()

    def _in_hand(self, db: Database) -> list[int]:
        holder = f"{self._first.name}:%"
        return [
            row[0] for row in db.execute("SELECT id FROM core_work_items WHERE state = 'RUNNING' AND locked_by LIKE ?", (holder,))
        ]

    def _compare_workers(self, db: Database, items: int, held: list[int]) -> None:
        found = queue_torture.effects(db)
        if found["states"] != {"COMPLETE": items} or found["lost"] or found["doubled"]:
            self._found(f"workers: {found}", [])
        others = db.execute("SELECT COUNT(*) FROM torture_effect WHERE item_id = ? AND worker = ?", (held[0], self._second.name))
        if others.fetchone()[0] != 1:
            self._found(f"workers: item {held[0]} was not done by the second", [])
        self.ends["workers: the item in hand was taken over"] += 1

    def _until(self, condition: Callable[[], object], otherwise: str) -> None:
        deadline = time.monotonic() + _SLOWEST
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(otherwise)
            time.sleep(0.02)

    def _until_under_way(self, url: str) -> None:
        with closing(connect(url)) as db:
            self._until(
                lambda: db.has_table("core_manifest") and db.execute("SELECT 1 FROM core_manifest LIMIT 1").fetchone(),
                "the first run does not get under way",
            )

    def _compare(self, url: str, what: str) -> None:
        with closing(connect(url)) as db:
            for promise in promises.broken(db):
                self._found(f"{what}: {promise}", [])
        for difference in promises.differences(_picture(url), self._picture):
            self._found(f"{what}: {difference}", [])

    def _found(self, what: str, printed: list[str]) -> None:
        self.wrong.append(f"{what} {[text[-300:] for text in printed]}")

    @contextlib.contextmanager
    def _database(self) -> Iterator[str]:
        name = f"pair_{next(self._numbers)}"
        with psycopg.connect(self._server.url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            yield urlunsplit(urlsplit(self._server.url)._replace(path=f"/{name}"))
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _picture(url: str) -> promises.Picture:
    with closing(connect(url)) as db:
        return promises.picture(db)


@contextlib.contextmanager
def machines(seed: int = 1) -> Iterator[Pair]:
    """Two machines and a server that both can reach."""
    with PostgresServer(required_binaries()) as server, contextlib.ExitStack() as stack:
        _open_to_others(server)
        pair = []
        for number in (1, 2):
            pair.append(Machine(number))
            stack.callback(pair[-1].close)
        yield Pair(server, pair[0], pair[1], seed)


def _open_to_others(server: Any) -> None:
    """Lets the server listen beyond this machine, with its password."""
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET listen_addresses = '*'")
        row = admin.execute("SHOW hba_file").fetchone()
    with Path(str(row[0] if row else "")).open("a", encoding="utf-8") as rules:
        rules.write("host all all 10.0.0.0/8 md5\n")
    server.stop()
    server.start()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not is_possible():
        raise SystemExit("needs root, ip and unshare")
    began = time.monotonic()
    with machines(options.seed) as pair:
        for _ in range(options.rounds):
            pair.together("wait")
            pair.together("fail")
            pair.cut()
            pair.cut_workers()
    report = {"rounds": options.rounds, "ends": pair.ends, "seconds": round(time.monotonic() - began), "wrong": pair.wrong}
    print(json.dumps(report, indent=2))
    return 1 if pair.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
