"""The quality gates against synthetic histories: false alarms, and faults in the bytes of files.

python scripts/gates.py history --seeds 20          104 weeks × 3 tiers for each seed: how many are held, how many warned
python scripts/gates.py faults --trials 1000        files of each kind of fault, through ingest and normalize
python scripts/gates.py poisoned --trials 200       the same with every fourth week of the history faulty, and released

Each prints one JSON document. `history` exits 1 if anything is held or more than 4 % are warned, the others if a kind of fault
that must be found is missed. A file cut at 95 % is reported and not required.
"""

from __future__ import annotations

import argparse
import json
import sys

import clone  # noqa: F401
from gate_trials.faults import FAULTS
from gate_trials.trials import false_alarms, found

POISONED = ["shares × 10", "one venue lost"]
NOT_REQUIRED = {"cut at 95 %"}


def main() -> int:
    options = _parser().parse_args()
    first = range(options.seed, options.seed + options.seeds)
    if options.trial == "history":
        report = false_alarms(first)
        print(json.dumps(report, indent=2, ensure_ascii=False))
        return int(bool(report["held"]) or float(str(report["warned_share"])) > 0.04)
    names = options.only.split(",") if options.only else POISONED if options.trial == "poisoned" else list(FAULTS)
    report = found(names, options.trials, first, poison=4 if options.trial == "poisoned" else 0)
    print(json.dumps(report, indent=2, ensure_ascii=False))
    missed = report["missed"]
    return int(isinstance(missed, dict) and bool(missed.keys() - NOT_REQUIRED))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=["history", "faults", "poisoned"])
    parser.add_argument("--seed", type=int, default=1, help="The first seed.")
    parser.add_argument("--seeds", type=int, default=20, help="How many histories.")
    parser.add_argument("--trials", type=int, default=1000, help="Faulty files of each kind.")
    parser.add_argument("--only", default="", help="These faults, comma-separated.")
    return parser


if __name__ == "__main__":
    sys.exit(main())
