"""Reads what is current as fast as it can while runs that hold captures are killed: no reader may ever see a held one as current.

python scripts held_reads                                    300 kills on SQLite
python scripts held_reads --engine postgresql --kills 1000

Each run is offered other content of one partition, half of the time a file that a gate holds, and kills itself before a random
statement; sometimes an operator holds what is current. Exit 1 when a reader saw a held content as current, or nothing was
read or held.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import clone  # noqa: F401
from seasons.engine import Engine, Finished

from market_spine.app.source.files import stem
from market_spine.db import Database, connect
from market_spine.errors import MarketSpineError
from market_spine.partition import OTC, Partition
from market_spine.query import as_of
from torture import places

HERE = Partition(date(2025, 11, 28), OTC)
FIRST = date(2026, 1, 9)
HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|totalWeeklyShareQuantity|"
    "totalWeeklyTradeCount|lastUpdateDate"
)
_DAYS, _READERS, _STATEMENTS = 40, 2, 160


class Folder:
    """The one file that runs are offered."""

    name = "file"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.environ: dict[str, str] = {}
        self.arguments = ("--source", "file", "--data-dir", str(folder), "--weeks", HERE.week, "--tiers", HERE.tier)
        self._path = folder / f"{stem(HERE)}.psv"

    def offer(self, content: bytes) -> None:
        self._path.write_bytes(content)


def content(number: int, *, bad: bool) -> bytes:
    """A file of forty rows, or one of three, which has shrunk too far."""
    rows = [f"OTC|S{n}|Name {n}|V{n % 5}|MP0{n % 5}|{1000 + n * number + n}|{n + 1}|2025-12-29" for n in range(3 if bad else 40)]
    return ("\n".join([HEADER, *rows]) + "\n").encode()


def wrong(db: Database, held: frozenset[str]) -> list[str]:
    """What is current in one snapshot, and is of a content that a gate holds or of a capture that is held there."""
    with db.snapshot():
        current = {capture.capture_id for capture in as_of.current_captures(db)}
        shown = {name for (name,) in db.execute("SELECT DISTINCT capture_id FROM finra_otc_transparency_normalized_latest")}
        facts = db.execute("SELECT capture_id, content_hash, held_at FROM finra_otc_transparency_capture").fetchall()
    return [
        f"{capture_id} is current with the content {content_hash[:8]}, held at {held_at}"
        for capture_id, content_hash, held_at in facts
        if capture_id in current | shown and (held_at is not None or content_hash in held)
    ]


class Readers:
    """Processes that read until they are stopped."""

    def __init__(self, target: str, held: frozenset[str], report: Path) -> None:
        self._report = report
        self._children = [self._start(target, held, number) for number in range(_READERS)]

    def _start(self, target: str, held: frozenset[str], number: int) -> int:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            while True:
                with contextlib.suppress(MarketSpineError), contextlib.closing(connect(target, read_only=True)) as db:
                    seen = wrong(db, held)
                    with (self._report / str(number)).open("a") as file:
                        file.write("".join(f"{fault}\n" for fault in seen) or ".\n")
        return child

    def stop(self) -> Counter[str]:
        """What they saw, and how often; `.` is a read without a fault."""
        for child in self._children:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        return Counter(line for path in self._report.iterdir() for line in path.read_text().splitlines())


def _store(place: places.Place, home: Path, draw: random.Random, counts: Counter[str], kills: int) -> Counter[str]:
    """Plays one store; what its readers saw."""
    source, report = Folder(home / "files"), home / "report"
    report.mkdir()
    offers = [content(number, bad=bool(number % 2)) for number in range(2 * _DAYS)]
    held = frozenset(hashlib.sha256(offer).hexdigest() for offer in offers[1::2])
    engine = Engine(place.target, source)  # type: ignore[arg-type]  # of a source only its name, arguments and environment
    engine.on(FIRST, 0)
    source.offer(offers[0])
    engine.run()
    readers = Readers(place.target, held, report)
    try:
        for number, offer in enumerate(offers[1:], 1):
            if counts["killed"] >= kills:
                break
            engine.on(FIRST + timedelta(days=number // 2), number)
            source.offer(offer)
            code = engine.killed(1 + draw.randrange(_STATEMENTS), _command(engine, draw))
            counts["killed" if code == -signal.SIGKILL else f"exit {code}"] += 1
    finally:
        seen = readers.stop()
    with engine.database() as db:
        (holds,) = db.execute("SELECT COUNT(*) FROM finra_otc_transparency_hold").fetchone()
    counts["holds"] += int(holds)
    return seen


def _command(engine: Engine, draw: random.Random) -> Callable[[], Finished]:
    if draw.random() < 0.1:
        return lambda: engine.spine("hold", HERE.week, HERE.tier, "--reason", "kills")
    return engine.run


def play(engine: str, kills: int, seed: int) -> dict[str, Any]:
    """Plays stores until `kills` commands were killed; returns what happened."""
    draw, counts, seen = random.Random(seed), Counter[str](), Counter[str]()
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="held_reads_")))
        stores = places.on_sqlite(home) if engine == "sqlite" else places.on_postgresql(stack, ours=False)
        for number, folder in enumerate(_folders(home)):
            if counts["killed"] >= kills or seen.keys() - {"."}:
                break
            place = next(stores)
            seen += _store(place, folder, draw, counts, kills)
            place.forget()
            counts["stores"] = number + 1
    faults = sorted(seen.keys() - {"."})
    return {"engine": engine, "seed": seed, **counts, "reads": seen["."], "faults": faults}


def _folders(home: Path) -> Iterator[Path]:
    while True:
        yield Path(tempfile.mkdtemp(dir=home))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = play(options.engine, options.kills, options.seed)
    print(json.dumps(report, indent=2))
    return int(bool(report["faults"]) or not (report["reads"] and report.get("holds")))


if __name__ == "__main__":
    sys.exit(main())
