"""Run the API and a worker for a while under a steady load: `python scripts queue_soak --minutes 10 --rate 50`.

Both are the shipped commands on a database of their own. Four requests of five read, one enqueues or resets an item that the
worker then executes on small files. Prints requests, errors, latencies, how long a due item waited from its request until it was
claimed, and the memory of both processes; exit 1 on any error, on memory that grows, or on a claim p95 above the limit.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

PROGRAM = Path(sysconfig.get_path("scripts")) / "spine"
WEEKS = [(date(2025, 1, 3) + timedelta(weeks=n)).isoformat() for n in range(40)]
TIERS = ("NMS_TIER_1", "NMS_TIER_2", "OTC")
HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|totalWeeklyShareQuantity|totalWeeklyTradeCount|"
    "lastUpdateDate"
)
NAMES = {"NMS_TIER_1": "NMS Tier 1", "NMS_TIER_2": "NMS Tier 2", "OTC": "OTC"}
READS = (
    "/healthz",
    "/readyz",
    "/api/v1/work/pending?state=COMPLETE&limit=20",
    "/api/v1/work/pending",
    "/api/v1/readiness?limit=20",
    "/api/v1/manifest?limit=20",
    "/api/v1/anomalies?limit=20",
    "/api/v1/data/venue_volume?week=2025-01-03&tier=OTC",
)
SETTLE_SHARE = 0.3  # of the time, in which memory may still grow: caches fill, pools open
MEMORY_SLACK_MB = 12.0


@dataclass(slots=True)
class Tally:
    """What was seen, by all threads."""

    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    asked_at: dict[int, float] = field(default_factory=dict)
    begun_at: dict[int, float] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, item_id: int, since: float) -> None:
        """An item was made due by a request that began at `since`; a quick worker has begun it before the answer came."""
        with self.lock:
            if self.begun_at.get(item_id, 0) >= since:
                self.waits.append(0.0)
            else:
                self.asked_at[item_id] = time.time()

    def begun(self, item_id: int, at: float) -> None:
        """A worker has begun an item."""
        with self.lock:
            self.begun_at[item_id] = at
            if (asked := self.asked_at.pop(item_id, None)) is not None:
                self.waits.append(max(0.0, at - asked) * 1000)


def write_files(folder: Path) -> None:
    for week in WEEKS:
        for tier in TIERS:
            rows = [
                f"{NAMES[tier]}|S{n:03}|S{n} Inc.|ATS {n % 4}|ATS{n % 4}|{100 * (n + 1)}|{n + 1}|2025-02-03" for n in range(40)
            ]
            (folder / f"{tier.lower()}_week_{week}.psv").write_text("\n".join([HEADER, *rows]) + "\n", "utf-8")


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())


def one_request(url: str, tally: Tally, chance: random.Random) -> None:
    began, since = time.perf_counter(), time.time()
    try:
        if chance.random() < 0.2:
            name = chance.choice(("ingest_week", "normalize_week", "compute_venue_volume"))
            body = {
                "pipeline": name,
                "partition_key": {"week_ending": chance.choice(WEEKS), "tier": chance.choice(TIERS)},
                "rerun": True,
            }
            (found,) = ask(url + "/api/v1/work/enqueue", body)["items"]
            if found["outcome"] in ("created", "reset"):
                tally.asked(found["item"]["id"], since)
        else:
            ask(url + chance.choice(READS))
    except (urllib.error.URLError, OSError, ValueError) as error:
        refusal = error.read(300).decode("utf-8", "replace") if isinstance(error, urllib.error.HTTPError) else ""
        with tally.lock:
            tally.errors.append(f"{error} {refusal}")
    with tally.lock:
        tally.latencies.append((time.perf_counter() - began) * 1000)


def load(url: str, tally: Tally, rate: float, until: float, threads: int = 8) -> None:
    """`rate` requests a second in all, at even distances; a thread that is late does not catch up by a burst."""

    def work(number: int) -> None:
        chance = random.Random(number)
        due = time.monotonic() + number / rate
        while (now := time.monotonic()) < until:
            if now < due:
                time.sleep(min(due - now, until - now))
                continue
            one_request(url, tally, chance)
            due = max(due + threads / rate, time.monotonic() - threads / rate)

    running = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def memory_mb(pid: int) -> float:
    """The resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * 4096 / 1e6


class Claims(threading.Thread):
    """Reads the worker's log and notes how long after its request an item was begun."""

    def __init__(self, worker: subprocess.Popen[str], tally: Tally) -> None:
        super().__init__(daemon=True)
        self._worker, self._tally = worker, tally
        self.ready = threading.Event()
        self.faults: list[str] = []

    def run(self) -> None:
        for text in self._worker.stderr or ():
            line = json.loads(text)
            if line["event"] == "worker_started":
                self.ready.set()
            if line["event"] == "work_started":
                begun = datetime.fromisoformat(line["time"]).timestamp()
                self._tally.begun(line["work_item"], begun)
            elif line["level"] in ("WARNING", "ERROR") and line["event"] != "work_retry_wait":
                self.faults.append(text.strip())


@contextlib.contextmanager
def running(*arguments: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([str(PROGRAM), *arguments], text=True, **more)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            ask(url + "/readyz")
            return
        if time.monotonic() > deadline:
            raise click.ClickException("the API does not answer")
        time.sleep(0.1)


def percentile(values: list[float], share: float) -> float | None:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _growth(memory: list[float]) -> float:
    """How much larger the last quarter is than the first, in megabytes, once it had settled."""
    settled = memory[int(len(memory) * SETTLE_SHARE) :]
    quarter = max(1, len(settled) // 4)
    return round(sum(settled[-quarter:]) / quarter - sum(settled[:quarter]) / quarter, 2)


def soak(target: str, folder: Path, seconds: float, rate: float) -> dict[str, Any]:
    files = folder / "files"
    files.mkdir()
    write_files(files)
    port = free_port()
    url, tally = f"http://127.0.0.1:{port}", Tally()
    samples: list[tuple[float, float]] = []
    subprocess.run([PROGRAM, "db", "init", "--db", target], check=True, stdout=subprocess.DEVNULL)
    with (
        (folder / "serve.log").open("w") as log,
        running("serve", "--db", target, "--port", str(port), "--rate", "1000", stderr=log) as api,
    ):
        wait_for(url)
        with running("worker", "--db", target, "--data-dir", str(files), stderr=subprocess.PIPE) as worker:
            claims = Claims(worker, tally)
            claims.start()
            claims.ready.wait(60)
            began = time.monotonic()
            loader = threading.Thread(target=load, args=(url, tally, rate, began + seconds), daemon=True)
            loader.start()
            while loader.is_alive():
                loader.join(max(0.2, seconds / 100))
                samples.append((memory_mb(api.pid), memory_mb(worker.pid)))
        claims.join(10)
    growth = [_growth([sample[at] for sample in samples]) for at in (0, 1)]
    return {
        "seconds": round(seconds),
        "requests": len(tally.latencies),
        "requests_per_second": round(len(tally.latencies) / seconds, 1),
        "errors": tally.errors[:10],
        "error_count": len(tally.errors),
        "worker_faults": claims.faults[:10],
        "latency_ms": {f"p{p}": percentile(tally.latencies, p / 100) for p in (50, 95, 99)},
        "claims": len(tally.waits),
        "claim_ms": {f"p{p}": percentile(tally.waits, p / 100) for p in (50, 95, 99)},
        "memory_mb": {"api": round(samples[-1][0], 1), "worker": round(samples[-1][1], 1)},
        "memory_growth_mb": {"api": growth[0], "worker": growth[1]},
    }


@click.command(epilog="Example: python scripts queue_soak --minutes 10 --rate 50")
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--rate", default=50.0, show_default=True, help="Requests a second.")
@click.option("--db", help="A database of your own instead, empty.")
@click.option("--claim-p95-ms", default=50.0, show_default=True, help="What the 95th percentile of claims may be.")
def main(minutes: float, rate: float, db: str | None, claim_p95_ms: float) -> None:
    """Run the API and a worker under a steady load."""
    with tempfile.TemporaryDirectory() as folder:
        found = soak(db or str(Path(folder) / "soak.db"), Path(folder), minutes * 60, rate)
    click.echo(json.dumps(found, indent=2))
    slow = (found["claim_ms"]["p95"] or 0) > claim_p95_ms
    grown = max(found["memory_growth_mb"].values()) > MEMORY_SLACK_MB
    sys.exit(int(bool(found["error_count"] or found["worker_faults"] or slow or grown)))


if __name__ == "__main__":
    main()
