"""Measures the weekly run: against tools that merely load the same files, with nothing new, over a year, beside readers.

    python scripts/benchmark.py --list
    python scripts/benchmark.py load-1x50k load-18x50k
    python scripts/benchmark.py load-18x50k --only "sqlite3 .import" --rounds 5
    python scripts/benchmark.py --page docs/performance.md      writes the page from the results, measures nothing

Results are kept as JSON, case by case. Baselines need the extra `bench`: pip install -e '.[bench]'.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import clone  # noqa: F401
from bench import (
    backfill,
    events,
    finished,
    gates,
    lake,
    load,
    operators,
    pages,
    partitioned,
    postgres,
    python,
    report,
    start,
    windows,
    workers,
)
from bench.contest import Setting
from bench.goals import Finding
from bench.processes import Failed

ROOT = Path(__file__).resolve().parent.parent
Case = Callable[[Setting], Finding]
CASES: dict[str, Case] = {
    "load-1x50k": load.load_1x50k,
    "load-18x50k": load.load_18x50k,
    "load-18x50k-close": load.load_18x50k_close,
    "load-1x500k": load.load_1x500k,
    "nothing-new": load.nothing_new,
    "backfill": backfill.backfill,
    "grown": backfill.grown,
    "readers": backfill.readers,
    "postgres": postgres.postgres,
    "postgres-1x50k": postgres.postgres_1x50k,
    "workers": workers.workers,
    "finished": finished.finished,
    "operator": operators.operator,
    "operator-postgres": operators.operator_postgres,
    "start": start.start,
    "windows": windows.windows,
    "gates": gates.gates,
    "events": events.events,
    "lake": lake.lake,
    "partitioned": partitioned.partitioned,
    "python": python.python,
    "page": pages.pages,
}


def main() -> int:
    options = _parser().parse_args()
    if options.list:
        print("\n".join(f"{name:14} {case.__doc__}" for name, case in CASES.items()))
        return 0
    if options.page:
        preface = (ROOT / "scripts" / "bench" / "preface.md").read_text("utf-8")
        options.page.write_text(report.page(json.loads(options.json.read_text("utf-8")), preface), "utf-8")
        return 0
    options.work.mkdir(parents=True, exist_ok=True)
    setting = Setting(options.work.resolve(), options.rounds, tuple(options.only), options.weeks_stored)
    for name in options.cases or CASES:
        print(f"{name} …", file=sys.stderr)
        try:
            finding = CASES[name](setting)
        except (Failed, ValueError) as error:
            print(f"Error: {name}: {error}", file=sys.stderr)
            return 1
        print(report.text(name, report.keep(options.json, finding)["cases"][name]), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], metavar="CASE", help="which (all)")
    parser.add_argument("--list", action="store_true", help="names the cases")
    parser.add_argument("--rounds", type=int, default=7, help="how often each contestant runs (7)")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this one beside ours; repeatable")
    parser.add_argument("--weeks-stored", type=int, default=600, help="what `grown` begins with (600)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmark", help="folder for files and databases")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "benchmark.json", help="where results are kept")
    parser.add_argument("--page", type=Path, help="write the page of all results kept, and stop")
    return parser


if __name__ == "__main__":
    sys.exit(main())
