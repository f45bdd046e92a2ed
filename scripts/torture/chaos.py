"""Everything at once on one database: weekly runs, backfills, workers, rollbacks, prunes, rebuilds, exports, copies, verifies and
readers of past days, while processes are killed, frozen and thawed, and asked to stop. `torture.py --fault chaos` starts it.

The store is begun on two Fridays; everything then happens on a third, while files change between contents that are all known. So
every single answer can be judged: a past day shows byte for byte what it showed before (or says that its
rows were pruned), and today each partition shows one whole content that was really served.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, Any, NamedTuple

from clone import ROOT
from seasons.finra import Content, Finra, Partition, amend
from seasons.sources import file_bytes

from market_spine import clock
from market_spine.db import connect
from market_spine.errors import MarketSpineError
from market_spine.operate import operation, prune
from torture import promises
from torture.places import Place

DAYS = (date(2025, 11, 14), date(2025, 11, 21), date(2025, 11, 28))
SLOTS = 6
_SLOWEST = 120.0  # seconds a command may take that nobody froze
_VIEWS = ("normalized", "venue_share", "weekly_totals")
_LOCKED = ("database is locked", "holds the lock", "keeps the lock", "is locked")
_ROLLED_BACK = "OTC"  # only this tier's captures are withdrawn and pruned: the others must always answer
_KEPT = "NMS_TIER_1,NMS_TIER_2"
_READERS = ("verify", "query as of", "query now", "export", "copy")  # which nobody's lock may stop


class Kind(NamedTuple):
    """A command that takes part: how often, what it is called with, which exit codes it may have when nobody touched it."""

    weight: int
    make: Callable[[Chaos], list[str]]
    codes: tuple[int, ...]


@dataclass(slots=True)
class Actor:
    """A process, what was done to it, and what it wrote."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    began: float
    struck: list[str] = field(default_factory=list)
    thaw_at: float | None = None


class Chaos:
    """One database in the middle of everything."""

    def __init__(self, place: Place, home: Path, seed: int) -> None:
        self.place, self.home = place, home
        self.random = random.Random(seed)
        self.files = home / "files"
        self.contents: dict[Partition, list[Content]] = defaultdict(list)
        self.commands: Counter[str] = Counter()
        self.strikes: Counter[str] = Counter()
        self.exits: Counter[str] = Counter()
        self.faults: list[str] = []
        self.looks = 0
        self._past: dict[tuple[str, str], bytes] = {}
        self._number = 0

    # The store before, and the files that change.

    def begin(self) -> None:
        """Two Fridays in peace; what they show is kept."""
        self.files.mkdir(parents=True)
        finra = Finra(date(2025, 10, 3), 1, DAYS[0])
        finra.move_to(DAYS[-1])
        for day in DAYS[:2]:
            for partition, served in finra.partitions.items():
                if self.contents[partition] and self.random.random() < 0.5:
                    continue
                self._write(partition, served.lines if not self.contents[partition] else self._another(partition))
            self._in_peace("run", "--run-date", str(day), "--data-dir", str(self.files), "--weeks", self._weeks())
        now = clock.moment_of(DAYS[1])
        with operation.changing(self.place.target, now) as store:
            for capture in json.loads(self._in_peace("captures", "--json"))["captures"]:
                if capture["tier"] != _ROLLED_BACK:
                    prune.pin(store, capture["capture_id"], f"chaos-{capture['capture_id']}", "chaos", now)
        for day in DAYS[:2]:
            for view in _VIEWS:
                self._past[view, str(day)] = self._in_peace("query", view, "--as-of", str(day), "--nl", "--tier", _KEPT)

    def _weeks(self) -> str:
        return ",".join(sorted({str(partition.week) for partition in self.contents}))

    def _another(self, partition: Partition) -> Content:
        return amend(self.contents[partition][-1], partition.tier, DAYS[-1], self.random) or self.contents[partition][0]

    def _write(self, partition: Partition, lines: Content) -> None:
        """Whole and at once, as an operator should; it is known before anybody can read it."""
        self.contents[partition].append(lines)
        target = self.files / f"{partition.tier.lower()}_week_{partition.week}.psv"
        new = target.with_name(f".{target.name}.part")
        new.write_bytes(file_bytes(partition.tier, lines))
        an_hour_ago = time.time() - 3600 + len(self.contents[partition])
        os.utime(new, (an_hour_ago, an_hour_ago))
        new.replace(target)

    # The processes.

    def rage(self, seconds: float) -> None:
        """Starts, strikes, looks and judges until the time is over; then everything may end."""
        until, actors = time.monotonic() + seconds, list[Actor]()
        while time.monotonic() < until:
            while len(actors) < SLOTS:
                actors.append(self._start())
            time.sleep(0.02)
            if self.random.random() < 0.05:
                partition = self.random.choice(list(self.contents))
                lines = self.contents[partition]
                self._write(partition, self._another(partition) if len(lines) < 6 else self.random.choice(lines))
            if self.random.random() < 0.05:
                self._strike(self.random.choice(actors))
            if self.random.random() < 0.05:
                self._look()
            actors = [actor for actor in actors if not self._over(actor)]
        while actors:
            time.sleep(0.05)
            for actor in actors:
                actor.thaw_at = actor.thaw_at and 0.0
            actors = [actor for actor in actors if not self._over(actor)]

    def _start(self) -> Actor:
        name = self.random.choices(list(KINDS), [kind.weight for kind in KINDS.values()])[0]
        self.commands[name] += 1
        self._number += 1
        stdout, stderr = ((self.home / f"{self._number}.{end}").open("wb+") for end in ("out", "err"))
        command = self._command(*KINDS[name].make(self))
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=_environment())
        return Actor(name, command, process, stdout, stderr, time.monotonic())

    def _command(self, name: str, *arguments: str) -> list[str]:
        module = "market_spine.cli.weekly" if name == "run" else "market_spine.cli.spine"
        words = arguments if name == "run" else (name, *arguments)
        database = () if words[:2] == ("db", "copy") else ("--db", self.place.target)
        return [sys.executable, "-m", module, *words, *database]

    def _in_peace(self, *command: str) -> bytes:
        done = subprocess.run(self._command(*command), capture_output=True, check=False, env=_environment())
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} fails in peace with {done.returncode}: {done.stderr.decode()[-800:]}")
        return done.stdout

    def _strike(self, actor: Actor) -> None:
        """Kill, stop politely, or freeze for a moment."""
        if actor.process.poll() is not None or actor.thaw_at is not None:
            return
        what = self.random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSTOP))
        actor.process.send_signal(what)
        actor.struck.append(what.name)
        self.strikes[what.name] += 1
        if what == signal.SIGSTOP:
            actor.thaw_at = time.monotonic() + self.random.choice((0.1, 0.5, 2.0, 6.0))

    def _over(self, actor: Actor) -> bool:
        """Thaws what was frozen long enough; judges what has ended."""
        if actor.thaw_at is not None and time.monotonic() >= actor.thaw_at:
            actor.process.send_signal(signal.SIGCONT)
            actor.thaw_at = None
        if actor.process.poll() is None:
            if actor.thaw_at is None and time.monotonic() - actor.began > _SLOWEST:
                actor.process.kill()
                self._found(f"{actor.name} did not end in {_SLOWEST:.0f} s")
            return False
        self._judge(actor)
        return True

    # Judging.

    def _judge(self, actor: Actor) -> None:
        code, stdout, stderr = actor.process.returncode, *(_content(file) for file in (actor.stdout, actor.stderr))
        errors = stderr.decode("utf-8", "replace")
        self.exits[f"{actor.name} {code}"] += 1
        allowed = set(KINDS[actor.name].codes)
        if actor.name not in _READERS and (any(word in errors for word in _LOCKED) or "SIGSTOP" in actor.struck):
            allowed |= {1, 2, 75}
        if {"SIGKILL", "SIGTERM"} & set(actor.struck):
            allowed |= {-signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM}
        if code not in allowed or re.search(r"Traceback|\bunexpected\b", errors):
            output = (errors + stdout.decode("utf-8", "replace"))[-1500:]
            self._found(f"{actor.name} {actor.command[3:]} {actor.struck} ended with {code}: {output}")
        elif code == 0:
            self._judge_answer(actor, actor.command, stdout)

    def _judge_answer(self, actor: Actor, words: list[str], stdout: bytes) -> None:
        if actor.name == "query as of":
            view, day = words[4], words[words.index("--as-of") + 1]
            if stdout != self._past[view, day]:
                self._found(f"{view} as of {day} is not what it was: {stdout[:300]!r}")
        elif actor.name == "query now":
            self._judge_today(map(json.loads, stdout.splitlines()), actor.name)
        elif actor.name == "export":
            self._judge_today(_exported(Path(words[words.index("--to") + 1])), actor.name)
        elif actor.name == "copy":
            with closing(connect(words[6], create=False)) as db:
                for promise in promises.broken(db):
                    self._found(f"in a copy: {promise}")

    def _judge_today(self, rows: Iterable[dict[str, Any]], where: str) -> None:
        """Each partition shows one whole content that was served."""
        shown: dict[tuple[str, str], list[tuple[str, str, float, int]]] = defaultdict(list)
        captures: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in rows:
            key = (row["week_ending"], row["tier"])
            shown[key].append((row["symbol"], row["venue_name"], float(row["total_shares"]), int(row["total_trades"])))
            captures[key].add(row["capture_id"])
        for partition, contents in self.contents.items():
            key = (str(partition.week), partition.tier)
            if not shown[key] and partition.tier == _ROLLED_BACK:
                continue
            known = [sorted((li.symbol, li.venue, li.shares / 1e6, li.trades) for li in lines) for lines in contents]
            if len(captures[key]) != 1 or sorted(shown[key]) not in known:
                self._found(f"{where}: {key} shows {len(shown[key])} rows of {captures[key]}, which were never served")

    def _look(self) -> None:
        try:
            with closing(connect(self.place.target, create=False)) as db:
                for promise in promises.broken(db):
                    self._found(f"while everything went on: {promise}")
            self.looks += 1
        except MarketSpineError as error:
            if not any(word in error.message for word in _LOCKED):
                self._found(f"a reader: {error.message}")

    def _found(self, what: str) -> None:
        self.faults.append(what)
        print(what, file=sys.stderr, flush=True)

    def end(self) -> None:
        """A run in peace, every rollback taken back: all is whole, and each past day is what it was."""
        for partition in sorted(p for p in self.contents if p.tier == _ROLLED_BACK):
            for _ in range(50):
                done = subprocess.run(
                    self._command("rollback", str(partition.week), partition.tier, "--undo", "--run-date", str(DAYS[-1])),
                    capture_output=True,
                    check=False,
                    env=_environment(),
                )
                if done.returncode:
                    break
        for force in (["--force"], []):  # what was withdrawn and then replaced on its day comes back only by force
            self._in_end(*KINDS["run"].make(self)[:-2], *force)
        self._in_end("verify", "--deep")
        self._judge_today(map(json.loads, self._in_end("query", "normalized", "--nl").splitlines()), "at the end")
        self._look()
        with closing(connect(self.place.target)) as db:
            for damage in promises.damage(db):
                self._found(f"integrity_check: {damage}")

    def _in_end(self, *command: str) -> bytes:
        done = subprocess.run(self._command(*command), capture_output=True, check=False, env=_environment(), timeout=_SLOWEST)
        if done.returncode:
            output = (done.stderr + done.stdout).decode("utf-8", "replace")
            failed = "\n".join(line for line in output.splitlines() if "✗" in line)
            self._found(f"at the end {' '.join(command)} ends with {done.returncode}: {failed}\n{output[-800:]}")
        return done.stdout


def _run(chaos: Chaos) -> list[str]:
    patience = chaos.random.choice(("fail", "skip", "wait"))
    return [
        "run",
        "--run-date",
        str(DAYS[-1]),
        "--data-dir",
        str(chaos.files),
        "--weeks",
        chaos._weeks(),
        "--lock-wait",
        "5",
        "--if-locked",
        patience,
    ]


def _backfill(chaos: Chaos) -> list[str]:
    weeks = sorted({str(partition.week) for partition in chaos.contents})
    return ["backfill", "--from", weeks[0], "--to", weeks[-1], "--run-date", str(DAYS[-1]), "--data-dir", str(chaos.files)]


def _enqueue(chaos: Chaos) -> list[str]:
    partition = chaos.random.choice(list(chaos.contents))
    pipeline = chaos.random.choice(("ingest_week", "normalize_week", "compute_venue_volume", "compute_hhi"))
    return [
        "work",
        "enqueue",
        pipeline,
        "--week",
        str(partition.week),
        "--tier",
        partition.tier,
        "--run-date",
        str(DAYS[-1]),
        "--rerun",
    ]


def _rollback(chaos: Chaos) -> list[str]:
    partition = chaos.random.choice([partition for partition in chaos.contents if partition.tier == _ROLLED_BACK])
    how = ["--undo"] if chaos.random.random() < 0.6 else ["--reason", "chaos"]
    return ["rollback", str(partition.week), partition.tier, *how, "--run-date", str(DAYS[-1])]


def _as_of(chaos: Chaos) -> list[str]:
    return ["query", chaos.random.choice(_VIEWS), "--as-of", str(chaos.random.choice(DAYS[:2])), "--nl", "--tier", _KEPT]


def _new(chaos: Chaos, ending: str) -> str:
    return str(chaos.home / f"{chaos._number}.{ending}")


KINDS = {
    "run": Kind(6, _run, (0, 1, 75)),
    "backfill": Kind(2, _backfill, (0, 1, 75)),
    "enqueue": Kind(3, _enqueue, (0,)),
    "worker": Kind(3, lambda chaos: ["worker", "--drain", "--data-dir", str(chaos.files), "--lease-minutes", "0.05"], (0, 1)),
    "rollback": Kind(2, _rollback, (0, 2, 75)),
    "prune": Kind(1, lambda _: ["prune", "--older-than", "5", "--reason", "chaos", "--run-date", str(DAYS[-1])], (0, 75)),
    "rebuild": Kind(1, lambda _: ["rebuild", "--run-date", str(DAYS[-1])], (0, 75)),
    "export": Kind(2, lambda chaos: ["export", "--to", _new(chaos, "export"), "--format", "csv"], (0,)),
    "copy": Kind(1, lambda chaos: ["db", "copy", chaos.place.target, _new(chaos, "db")], (0,)),
    "verify": Kind(2, lambda chaos: ["verify", *chaos.random.choice(([], ["--deep"]))], (0,)),
    "query as of": Kind(4, _as_of, (0,)),
    "query now": Kind(4, lambda _: ["query", "normalized", "--nl"], (0,)),
}


def _exported(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a dataset, each with the partition its file lies in."""
    for path in sorted(folder.rglob("*.csv")):
        keys = dict(part.split("=", 1) for part in path.parts if "=" in part)
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                yield {**row, **keys}
    shutil.rmtree(folder)


def _content(file: IO[bytes]) -> bytes:
    with file:
        file.seek(0)
        content = file.read()
    Path(str(file.name)).unlink()
    return content


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def rage(place: Place, home: Path, seconds: float, seed: int) -> dict[str, object]:
    """All of it on one database; returns what happened. `faults` is empty when every answer was right."""
    chaos = Chaos(place, home / "chaos", seed)
    try:
        chaos.begin()
        chaos.rage(seconds)
        chaos.end()
    finally:
        shutil.rmtree(chaos.home, ignore_errors=True)
    return {
        "commands": dict(chaos.commands.most_common()),
        "strikes": dict(chaos.strikes),
        "looks": chaos.looks,
        "exits": dict(sorted(chaos.exits.items())),
        "faults": chaos.faults,
    }
