"""Random histories and random as-of questions: what a lake's files say against what the store says, byte for byte.

python scripts/lake_answers.py                                     1,000 questions on SQLite
python scripts/lake_answers.py --engine postgresql --seed 3        others on PostgreSQL

A history has restatements, replays of a day, rollbacks, undos, holds, releases and a prune; it is exported bit by bit, and the
files must be those of an export made at once; then the years but the last are compacted in one of both. The questions are drawn
over all views with files, the windows and readiness, days and partitions. Exit 1 on any difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random

import clone  # noqa: F401
from lakes.histories import PRUNED, Desk, answer_of_lake, answer_of_store, live, open_lake, questions, thin_out
from torture.windows import STORES

from market_spine.db import Database, connect
from market_spine.query.lake.publish import export_history

NOW = "2026-11-20T12:00:00+00:00"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=list(STORES), default="sqlite")
    parser.add_argument("--questions", type=int, default=1_000)
    parser.add_argument("--histories", type=int, default=4, help="how many the questions are spread over (4)")
    parser.add_argument("--fridays", type=int, default=26, help="of a history (26)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    answered, differing = Counter[str](), 0
    with STORES[options.engine]() as store:
        for number in range(options.histories):
            with store() as target, tempfile.TemporaryDirectory(prefix="lake_") as home, closing(connect(target)) as db:
                draw, count = Random(f"{options.seed}.{number}"), options.questions // options.histories
                differing += _compare(db, Path(home), draw, options.fridays, count, answered)
    print(", ".join(f"{name} {count}" for name, count in sorted(answered.items())))
    print(f"{answered.total():,} questions on {options.engine}, {differing} differences")
    return int(differing > 0)


def _compare(db: Database, home: Path, draw: Random, fridays: int, count: int, answered: Counter[str]) -> int:
    desk, differing = Desk(home / "files", db), 0
    days = live(desk, draw, fridays, lambda: export_history(db, str(home / "lake"), seen_at=NOW))
    thin_out(desk, days[-1] + timedelta(days=8), 7 * fridays // 2)
    for name in ("lake", "at once"):
        export_history(db, str(home / name), seen_at=NOW)
    if _tables(home / "lake") != _tables(home / "at once"):
        print("the export that was made bit by bit has other files than the one made at once")
        differing += 1
    export_history(db, str(home / "at once"), seen_at=NOW, compact={friday.year for friday in days} - {days[-1].year})
    lakes = {name: open_lake(home / name) for name in ("lake", "at once")}
    for asked in questions(draw, days, count):
        expected = answer_of_store(db, asked)
        answered[asked.view.name if expected.count("\n") > 1 else PRUNED if expected == PRUNED else "nothing"] += 1
        for name, lake in lakes.items():
            answer = answer_of_lake(lake, asked)
            if answer != expected:
                differing += 1
                print(f"{name}: {asked.view.name} of {asked.week} {asked.tier} as of {asked.day}:\n{expected}is not\n{answer}")
    return differing


def _tables(lake: Path) -> object:
    return json.loads((lake / "_manifest.json").read_text("utf-8"))["tables"]


if __name__ == "__main__":
    sys.exit(main())
