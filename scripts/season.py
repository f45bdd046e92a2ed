"""A simulated year of Fridays against a model of FINRA and of the store: every view, now and as of every past day.

python scripts/season.py                                         20 seasons on SQLite, from files
python scripts/season.py --engine postgresql --source api        the same on PostgreSQL, from a fake of FINRA's API
python scripts/season.py --sequences 5000                        short sequences of all commands instead
python scripts/season.py --seed 7 --count 1                      one season again
python scripts/season.py --seed 7 --sequences 1 --steps 0:run:1,7:rollback:2      a story as it was printed

Revisions with a date, without one, taken back, and moves between tiers; late, truncated and wrong files; outages; skipped
Fridays; runs killed (SIGKILL) before any statement; retries, replays, prune, rollbacks, undos, pins, rebuilds. A story that
fails is made as small as it gets, and printed so that --steps plays it again. Exit 1 on any difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import clone  # noqa: F401
from seasons import stories
from seasons.engine import Engine
from seasons.player import Player
from seasons.sources import Api, Files, Source
from seasons.stories import Step
from stand_ins.finra_fake import FinraFake
from torture import places
from torture.places import Place

ENGINES, SOURCES = ("sqlite", "postgresql"), ("file", "api")


class Theatre:
    """Where stories are played: a new database and a new source for each."""

    def __init__(self, engine: str, source: str, stack: ExitStack) -> None:
        self._home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="season_")))
        self._places: Iterator[Place] = (
            places.on_sqlite(self._home) if engine == "sqlite" else places.on_postgresql(stack, ours=False)
        )
        self._source, self._count = source, 0
        self.steps: Counter[str] = Counter()
        self.compared = 0

    def play(self, steps: list[Step], seed: int, *, to_the_end: bool) -> list[str]:
        """The faults of a story."""
        self._count += 1
        place = next(self._places)
        first = stories.first_friday(seed)
        with ExitStack() as stack:
            stack.callback(place.forget)
            source: Source = Files(self._home / f"files_{self._count}")
            if self._source == "api":
                source = Api(stack.enter_context(FinraFake(first)))
            player = Player(Engine(place.target, source, stack), first, seed)
            faults = player.play(steps, to_the_end=to_the_end)
        self.steps += player.counts
        self.compared += player.answers.compared
        return faults


def play(
    engine: str,
    source: str,
    seeds: range,
    *,
    sequences: bool = False,
    fridays: int = stories.FRIDAYS,
    shrinks: bool = True,
    without: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Plays the story of each seed; returns what happened. `faults` is empty when nothing differed."""
    began, found = time.monotonic(), []
    with ExitStack() as stack:
        theatre = Theatre(engine, source, stack)
        for seed in seeds:
            steps = stories.sequence(seed, source) if sequences else stories.season(seed, fridays, source)
            steps = [step for step in steps if step.action not in without]
            faults = theatre.play(steps, seed, to_the_end=not sequences)
            if faults:
                smallest = _smallest(theatre, steps, seed, faults) if shrinks else steps
                found.append({"seed": seed, "sequence": sequences, "steps": ",".join(map(str, smallest)), "faults": faults[:5]})
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        return {
            "engine": engine,
            "source": source,
            "stories": len(seeds),
            "steps": dict(theatre.steps.most_common()),
            "rows_compared": theatre.compared,
            "seconds": round(time.monotonic() - began),
            "faults": found,
        }


def _smallest(theatre: Theatre, steps: list[Step], seed: int, faults: list[str]) -> list[Step]:
    """The story up to its fault, made smaller as long as the same kind of fault remains."""
    kind = _kind(faults)
    number = next((n for n, step in enumerate(steps) if faults[0].startswith(f"{step} ")), len(steps) - 1)
    to_the_end = kind.startswith("at the end")

    def fails(shorter: list[Step]) -> bool:
        again = theatre.play(shorter, seed, to_the_end=to_the_end)
        return bool(again) and _kind(again) == kind

    return stories.shrink(steps[: number + 1], fails)


def _kind(faults: list[str]) -> str:
    """What a fault is about, without the step, days and figures."""
    words = faults[0] if faults[0].startswith("at the end") else faults[0].partition("): ")[2]
    return "".join(c for c in words if not c.isdigit())[:40]


def main() -> int:
    options = _parser().parse_args()
    if options.steps:
        return _replay(options)
    seeds = range(options.seed, options.seed + (options.sequences or options.count))
    report = play(
        options.engine,
        options.source,
        seeds,
        sequences=bool(options.sequences),
        fridays=options.fridays,
        shrinks=not options.no_shrink,
        without=frozenset(options.without.split(",")),
    )
    print(json.dumps(report, indent=2))
    return 1 if report["faults"] else 0


def _replay(options: argparse.Namespace) -> int:
    with ExitStack() as stack:
        theatre = Theatre(options.engine, options.source, stack)
        steps = [Step.read(text) for text in options.steps.split(",")]
        faults = theatre.play(steps, options.seed, to_the_end=not options.sequences)
    print("\n".join(faults) or "no difference")
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=ENGINES, default="sqlite")
    parser.add_argument("--source", choices=SOURCES, default="file")
    parser.add_argument("--seed", type=int, default=1, help="The first seed.")
    parser.add_argument("--count", type=int, default=20, help="How many seasons.")
    parser.add_argument("--fridays", type=int, default=stories.FRIDAYS)
    parser.add_argument("--sequences", type=int, default=0, metavar="N", help="N short sequences instead of seasons.")
    parser.add_argument("--steps", help="Play these steps.")
    parser.add_argument("--without", default="", metavar="ACTIONS", help="Leave these steps out, comma-separated.")
    parser.add_argument("--no-shrink", action="store_true", help="Print a failing story as it is.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
