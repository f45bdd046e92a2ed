"""Breaks weekly runs at random moments and proves that nothing is lost, doubled or half visible.

python scripts/torture.py                                        200 rounds of kill -9, SQLite, the shipped fixtures
python scripts/torture.py --engine postgresql                    the same on a PostgreSQL server found or started here
python scripts/torture.py --fault signal --rounds 50             SIGTERM and SIGINT instead
python scripts/torture.py --fault disk --rounds 50               the disk is full at a random byte (SQLite; a tmpfs as root)
python scripts/torture.py --fault disk --engine postgresql       the same for a server's tables; root only
python scripts/torture.py --fault server --rounds 20             the PostgreSQL server itself is killed
python scripts/torture.py --fault chaos --minutes 10             all commands at once, killed, frozen and stopped

A round: one to three runs of six weeks, each broken at a random moment; after each, and meanwhile by a second process, all
of promises.py is checked. Then a run to the end, whose database must equal, view for view, that of a run
never broken. `--seed` repeats the moments as far as a machine's speed does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clone import ROOT

from market_spine.db import connect
from market_spine.errors import MarketSpineError
from market_spine.operate import audit
from torture import places, promises
from torture.places import Place, ServerDatabase, Shrinks

FIXTURES = ROOT / "data" / "fixtures" / "finra_otc"
RUN_DATE = "2026-01-09"
FAULTS = ("kill", "signal", "disk", "server")
_SLOWEST = 120
_BETWEEN_LOOKS = 0.03


@dataclass(slots=True)
class Tally:
    """What happened over all rounds."""

    rounds: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    looks: int = 0
    faults: list[str] = field(default_factory=list)


class Torturer:
    """Runs on one folder of files, one fault, one kind of place."""

    def __init__(self, folder: Path, fault: str, seed: int) -> None:
        self._folder, self._fault = folder, fault
        self._random = random.Random(seed)
        self.tally = Tally()
        self._seconds = 0.0
        self._picture: promises.Picture = {}

    def learn(self, place: Place) -> None:
        """A run never broken: how long it works after its first line, and how it leaves the database."""
        run = self._start(place)
        _first_line(run)
        began = time.monotonic()
        code, stderr = _end(run)
        self._seconds = time.monotonic() - began
        if code:
            raise SystemExit(f"the undisturbed run fails: {stderr}")
        with closing(connect(place.target)) as db:
            self._picture = promises.picture(db)
        place.forget()

    def round(self, place: Place) -> None:
        """Breaks, looks, completes, compares."""
        self.tally.rounds += 1
        for _ in range(self._random.choice((1, 1, 2, 3))):
            self._break(place)
            place.repair()
            self._look(place, "after the fault")
        code, stderr = _end(self._start(place))
        if code:
            self._found(place, f"the last run ended with {code}: {stderr[-400:]}")
        self._look(place, "at the end")
        with closing(connect(place.target)) as db:
            for difference in promises.differences(promises.picture(db), self._picture):
                self._found(place, f"the end differs: {difference}")
            for damage in promises.damage(db):
                self._found(place, f"integrity_check: {damage}")

    def _break(self, place: Place) -> None:
        """One broken run: mostly while it works, now and then while it starts."""
        if self._fault == "disk":
            assert isinstance(place, Shrinks)
            place.shrink(self._random)
        run = self._start(place)
        begun = self._random.random() >= 0.1
        if not begun:
            deadline = time.monotonic() + self._random.uniform(0, 0.3)
        else:
            _first_line(run)
            deadline = time.monotonic() + self._random.uniform(0, 1.05) * self._seconds
        while run.poll() is None and (self._fault == "disk" or time.monotonic() < deadline):
            self._look(place, "while it ran")
            time.sleep(_BETWEEN_LOOKS)
        self._strike(place, run, begun)
        self._tell(place, *_end(run))

    def _strike(self, place: Place, run: subprocess.Popen[str], begun: bool) -> None:
        """A SIGINT before the program's first line is Python's own affair."""
        if self._fault == "server":
            assert isinstance(place, ServerDatabase)
            place.crash()
        elif self._fault == "kill":
            run.kill()
        elif self._fault == "signal":
            run.send_signal(self._random.choice((signal.SIGTERM, signal.SIGINT)) if begun else signal.SIGTERM)

    def _tell(self, place: Place, code: int, stderr: str) -> None:
        """Counts where it broke; a traceback or an exit code that is not promised is a fault."""
        allowed = {"kill": (0, -9), "signal": (0, 143, 130, -15, -2), "disk": (0, 1, 2), "server": (0, 1, 2)}[self._fault]
        if code not in allowed or "Traceback" in stderr:
            at = stderr.find("Traceback")
            self._found(place, f"ended with {code}: {stderr[max(at - 200, 0) : at + 2000] if at >= 0 else stderr[-600:]}")
        self.tally.broken["it was done already" if code == 0 else _phase(stderr)] += 1

    def _look(self, place: Place, when: str) -> None:
        """All promises, as a reader sees them."""
        if not place.exists():
            return
        try:
            with closing(connect(place.target, create=False)) as db:
                if not db.has_table("finra_otc_transparency_week_tier"):
                    return
                for promise in promises.broken(db):
                    self._found(place, f"{when}: {promise}")
                with db.snapshot():
                    for fault in audit.verify(db).faults:
                        self._found(place, f"{when}: audit: {fault}")
                self.tally.looks += 1
        except MarketSpineError as error:
            if when != "while it ran":
                self._found(place, f"{when}: {error.message}")
            time.sleep(0.01)

    def _found(self, place: Place, what: str) -> None:
        self.tally.faults.append(f"round {self.tally.rounds}: {what}")
        print(self.tally.faults[-1], file=sys.stderr, flush=True)

    def _start(self, place: Place) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "market_spine.cli.weekly", "--db", place.target, "--data-dir", str(self._folder)]
        return subprocess.Popen(
            [*command, "--run-date", RUN_DATE, "--json"],
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            preexec_fn=place.confine,
        )


def _first_line(run: subprocess.Popen[str]) -> None:
    """Waits until the run says that it has begun."""
    assert run.stderr is not None
    run.stderr.readline()


def _end(run: subprocess.Popen[str]) -> tuple[int, str]:
    """Waits for the end; returns exit code and what was printed since the first line."""
    code = run.wait(_SLOWEST)
    assert run.stderr is not None
    with run.stderr:
        return code, run.stderr.read()


def _phase(stderr: str) -> str:
    """How far a broken run had come, by its log."""
    for word, phase in (
        ("Ready", "in readiness"),
        ("Week totals", "in calc of weeks"),
        ("Measured", "in calc of tiers"),
        ("Normalized", "in normalize"),
        ("Ingested", "in ingest"),
    ):
        if word in stderr:
            return phase
    return "before its first partition"


@contextmanager
def _places(engine: str, fault: str, home: Path) -> Iterator[Iterator[Place]]:
    with ExitStack() as stack:
        if engine == "postgresql" and fault == "disk":
            yield places.on_a_small_disk_of_postgresql(home, stack)
        elif engine == "postgresql":
            yield places.on_postgresql(stack, ours=fault == "server")
        elif fault == "disk":
            yield places.on_a_small_disk(home, stack)
        else:
            yield places.on_sqlite(home)


def torture(fault: str, engine: str, rounds: int, seed: int = 1, folder: Path = FIXTURES) -> dict[str, object]:
    """All rounds; returns what happened. `faults` is empty when every promise was kept."""
    home = Path(tempfile.mkdtemp(prefix="torture_"))
    torturer = Torturer(folder, fault, seed)
    began = time.monotonic()
    try:
        with _places(engine, fault, home) as new:
            torturer.learn(next(new))
            for _ in range(rounds):
                place = next(new)
                torturer.round(place)
                place.forget()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    tally = torturer.tally
    return {
        "fault": fault,
        "engine": engine,
        "seed": seed,
        "rounds": tally.rounds,
        "broken": dict(tally.broken.most_common()),
        "looks": tally.looks,
        "seconds": round(time.monotonic() - began),
        "faults": tally.faults,
    }


def main() -> int:
    options = _parser().parse_args()
    if options.fault == "chaos":
        return _report(chaos(options.engine, options.minutes * 60, options.seed))
    engine = "postgresql" if options.fault == "server" else options.engine
    return _report(torture(options.fault, engine, options.rounds, options.seed, options.data_dir))


def chaos(engine: str, seconds: float, seed: int = 1) -> dict[str, object]:
    """All commands at once for so long; returns what happened. `faults` is empty when every answer was right."""
    from torture.chaos import rage

    with tempfile.TemporaryDirectory(prefix="torture_") as folder, _places(engine, "kill", Path(folder)) as new:
        place = next(new)
        happened = rage(place, Path(folder), seconds, seed)
        place.forget()
    return {"fault": "chaos", "engine": engine, "seed": seed, "seconds": round(seconds), **happened}


def _report(happened: dict[str, object]) -> int:
    print(json.dumps(happened, indent=2))
    return 1 if happened["faults"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", choices=[*FAULTS, "chaos"], default="kill")
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0, help="How long, with --fault chaos.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data-dir", type=Path, default=FIXTURES)
    return parser
