"""Kills runs and operators' commands before a statement, and verifies after each that the log of events and the tables agree.

python scripts log_kills                                    10,000 kills on SQLite
python scripts log_kills --engine postgresql --kills 1000

The content changes all the time, so each command has something to change. `audit verify` replays the events: a change without
its event, an event without its change and a gap in the numbers are all found. A store is used for 60 commands. Exit 1 on a fault.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import clone  # noqa: F401
from seasons import stories
from seasons.changes import World
from seasons.engine import Engine, Finished
from seasons.finra import Finra
from seasons.sources import Files

from market_spine.operate import audit
from torture import places

_COMMANDS = 60  # on one store: a longer log only makes each verification slower
_STATEMENTS = {"run": 160, "rollback": 40, "undo": 40, "prune": 40, "rebuild": 60}  # about as many as it makes


def kill(engine: str, kills: int, seed: int) -> dict[str, Any]:
    """Plays stores until `kills` commands were killed; returns what happened."""
    draw, counts, faults, began = random.Random(seed), Counter[str](), list[str](), time.monotonic()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="log_kills_")))
        stores = places.on_sqlite(home) if engine == "sqlite" else places.on_postgresql(stack, ours=False)
        while counts["killed"] < kills and not faults:
            place = next(stores)
            faults = _store(Engine(place.target, Files(home / f"files_{counts['stores']}")), draw, counts, kills)
            counts["stores"] += 1
            place.forget()
    return {"engine": engine, "seed": seed, **counts, "seconds": round(time.monotonic() - began), "faults": faults}


def _store(engine: Engine, draw: random.Random, counts: Counter[str], kills: int) -> list[str]:
    """The faults of one store."""
    seed = draw.randrange(1 << 30)
    first = stories.first_friday(seed)
    finra = Finra(first - timedelta(weeks=7), seed, first)
    world = World(finra, files=True)
    for number in range(_COMMANDS):
        if counts["killed"] >= kills:
            break
        finra.move_to(first + timedelta(weeks=number // 6))
        world.happen(draw.choice(("revise", "revise", "change_silently", "take_back", "move")), draw.randrange(1 << 30))
        engine.on(finra.today, number)
        engine.source.show(finra, frozenset())
        action = draw.choice(("run", *_STATEMENTS)) if number > 6 else "run"
        code = engine.killed(1 + draw.randrange(_STATEMENTS[action]), _command(engine, action, draw))
        counts["killed" if code == -signal.SIGKILL else "ended before"] += 1
        counts[action] += 1
        if engine.exists():
            with engine.database() as db:
                verdict = audit.verify(db)
            counts["events"] = max(counts["events"], verdict.size)
            if verdict.faults:
                return [f"store {seed}, command {number} ({action}, exit {code}): {fault}" for fault in verdict.faults[:5]]
    return []


def _command(engine: Engine, action: str, draw: random.Random) -> Callable[[], Finished]:
    """A run, or an operator's command on some partition of the store."""
    captures = sorted({(stored.week, stored.tier) for stored in engine.observe().captures.values()})
    week, tier = draw.choice(captures) if captures else ("2023-01-06", "OTC")
    return {
        "run": partial(engine.run, *(["--force"] if draw.random() < 0.2 else [])),
        "rollback": partial(engine.spine, "rollback", week, tier, "--reason", "kills"),
        "undo": partial(engine.spine, "rollback", week, tier, "--undo"),
        "prune": partial(engine.spine, "prune", "--older-than", "0", "--reason", "kills"),
        "rebuild": partial(engine.spine, "rebuild", week),
    }[action]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = kill(options.engine, options.kills, options.seed)
    print(json.dumps(report, indent=2))
    return 1 if report["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
