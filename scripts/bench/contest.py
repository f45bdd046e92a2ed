"""Contestants run in turn, round by round, so that a slow minute of the machine strikes them all; ratios are taken in a round."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.processes import Usage, measure, program


@dataclass(frozen=True, slots=True)
class Setting:
    """How to measure: where files and databases go, how many rounds, whom (all when empty), and how much is stored before."""

    work: Path
    rounds: int = 7
    only: tuple[str, ...] = ()
    weeks_stored: int = 600

    def chosen(self, contestants: Sequence[Contestant], always: str) -> list[Contestant]:
        unknown = set(self.only) - {contestant.name for contestant in contestants}
        if unknown:
            names = ", ".join(contestant.name for contestant in contestants)
            raise ValueError(f"no contestant {', '.join(sorted(unknown))}; there are: {names}")
        return [c for c in contestants if not self.only or c.name in self.only or c.name == always]


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that loads the files. `command(folder)` makes its database in `folder`; `rows(folder)` counts what is in it."""

    name: str
    command: Callable[[Path], list[str]]
    needs: tuple[str, ...] = ()
    rows: Callable[[Path], int] | None = None
    prepare: Callable[[Path], None] | None = None

    def missing(self) -> str | None:
        """What it needs that is not installed: a Python module, or a program (`sqlite3!`)."""
        for need in self.needs:
            name = need.rstrip("!")
            there = shutil.which(name) or Path(program(name)).exists() if need.endswith("!") else importlib.util.find_spec(name)
            if not there:
                return name
        return None


@dataclass(slots=True)
class Standing:
    """A contestant's results, a usage for each round; `absent` says why there are none."""

    name: str
    usages: list[Usage] = field(default_factory=list)
    database_bytes: int = 0
    absent: str = ""

    def middle(self, what: str) -> float:
        return float(median(getattr(usage, what) for usage in self.usages))


def run(contestants: Sequence[Contestant], rounds: int, place: Path, expected_rows: int) -> dict[str, Standing]:
    """All contestants once a round, each round beginning with another one. Raises Failed, or ValueError on a wrong count."""
    standings = {contestant.name: Standing(contestant.name) for contestant in contestants}
    present = []
    for contestant in contestants:
        missing = contestant.missing()
        standings[contestant.name].absent = f"{missing} is not installed" if missing else ""
        present += [] if missing else [contestant]
    for number in range(rounds):
        turn = number % len(present)
        for contestant in present[turn:] + present[:turn]:
            _run_once(contestant, standings[contestant.name], place, expected_rows)
        print(f"  round {number + 1} of {rounds}", file=sys.stderr)
    return standings


def ratios(ours: Standing, theirs: Standing, what: str) -> float:
    """The median over the rounds of ours ÷ theirs."""
    return float(median(getattr(a, what) / getattr(b, what) for a, b in zip(ours.usages, theirs.usages, strict=True)))


def database_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.db*"))


def _run_once(contestant: Contestant, standing: Standing, place: Path, expected_rows: int) -> None:
    with tempfile.TemporaryDirectory(dir=place, prefix="run-") as name:
        folder = Path(name)
        if contestant.prepare:
            contestant.prepare(folder)
        standing.usages.append(measure(contestant.command(folder), cwd=folder))
        if contestant.rows and not contestant.prepare:
            rows = contestant.rows(folder)
            if rows != expected_rows:
                raise ValueError(f"{contestant.name} holds {rows:,} rows of {expected_rows:,}")
        standing.database_bytes = database_bytes(folder)
