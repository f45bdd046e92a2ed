"""Read far into long lists with many clients at once, and time everybody else: `python scripts queue_greedy --clients 16`.

`spine serve` on a database of its own with many ended items. Greedy clients ask for pages deep in the list without a pause, one
client asks for what is open, one for work, one probes. Whoever reads may be refused with 503 and Retry-After when all readers
are busy; a probe and a request for work may not. Prints what each got and how long it took; exit 1 on another refusal or a
slow probe.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from bench import finished

from market_spine.db import connect
from market_spine.db.migrations import prepare
from torture.queue_soak import ask, free_port, percentile, running, wait_for
from torture.queue_torture import place

DEEP = "/api/v1/work/pending?state=COMPLETE&pipeline=compute_hhi&sort=newest&limit=500&offset=20000"
OPEN = "/api/v1/work/pending?limit=20"
WORK = {"pipeline": "ingest_week", "partition_key": {"week_ending": "2025-12-26", "tier": "OTC"}, "rerun": True}
BUSY = 503


@dataclass(slots=True)
class Client:
    """What one kind of client asks for, how long it rests in between, and what it got."""

    ask: Callable[[str], Any]
    rest: float
    may_be_refused: bool
    count: int = 1
    milliseconds: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def work(self, url: str, over: threading.Event) -> None:
        while not over.wait(self.rest):
            began = time.perf_counter()
            try:
                self.ask(url)
            except urllib.error.HTTPError as error:
                polite = error.code == BUSY and error.headers["Retry-After"] is not None
                self.refused["503, come back" if polite else f"{error.code}"] += 1
            except OSError as error:
                self.refused[type(error).__name__] += 1
            else:
                self.milliseconds.append((time.perf_counter() - began) * 1000)

    @property
    def faults(self) -> int:
        allowed = self.refused["503, come back"] if self.may_be_refused else 0
        return sum(self.refused.values()) - allowed + (not self.milliseconds)

    def report(self) -> dict[str, Any]:
        times = {f"p{p}": percentile(self.milliseconds, p / 100) for p in (50, 99)}
        return {"clients": self.count, "served": len(self.milliseconds), "ms": times, "refused": dict(self.refused)}


def clients(greedy: int) -> dict[str, Client]:
    return {
        "greedy": Client(lambda url: ask(url + DEEP), 0, True, greedy),
        "of what is open": Client(lambda url: ask(url + OPEN), 0.1, True),
        "asking for work": Client(lambda url: ask(url + "/api/v1/work/enqueue", WORK), 0.2, False),
        "probing": Client(lambda url: ask(url + "/readyz"), 0.1, False),
    }


def strain(target: str, log: Path, ended: int, greedy: int, seconds: float) -> dict[str, Client]:
    """Everybody at once for `seconds`."""
    with contextlib.closing(connect(target)) as db:
        prepare(db)
        finished.fill(db, ended)
    port, over, kinds = free_port(), threading.Event(), clients(greedy)
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as stderr, running("serve", "--db", target, "--port", str(port), "--rate", "100000", stderr=stderr):
        wait_for(url)
        threads = [
            threading.Thread(target=kind.work, args=(url, over), daemon=True)
            for kind in kinds.values()
            for _ in range(kind.count)
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        over.set()
        for thread in threads:
            thread.join(60)
    return kinds


@click.command(epilog="Example: python scripts queue_greedy --engine postgresql --clients 16 --seconds 30")
@click.option("--engine", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--ended", default=200_000, show_default=True, help="Items that have ended before.")
@click.option("--clients", "greedy", default=16, show_default=True, help="Greedy clients; there are 8 readers.")
@click.option("--seconds", default=30.0, show_default=True)
@click.option("--probe-ms", default=1000.0, show_default=True, help="What the 99th percentile of probes may be.")
def main(engine: str, ended: int, greedy: int, seconds: float, probe_ms: float) -> None:
    """Read far into long lists with many clients at once, and time everybody else."""
    with place(engine) as (target, _restart, folder):
        kinds = strain(target, folder / "serve.log", ended, greedy, seconds)
    click.echo(json.dumps({"engine": engine, "ended": ended} | {name: kind.report() for name, kind in kinds.items()}, indent=2))
    slow = (percentile(kinds["probing"].milliseconds, 0.99) or 0) > probe_ms
    sys.exit(int(slow or any(kind.faults for kind in kinds.values())))


if __name__ == "__main__":
    main()
