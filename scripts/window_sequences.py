"""Random histories of captures against the rolling windows made from nothing.

python scripts/window_sequences.py                                     1,000 sequences on SQLite
python scripts/window_sequences.py --engine postgresql --seed 3        other ones on PostgreSQL

Captures, restatements, replays of a day, holds, releases, withdrawals, undos, prunes, gaps, and runs killed while windows are
made. A sequence that fails is made as small as it gets, and printed. Exit 1 on any difference.
"""

from __future__ import annotations

import argparse
import sys
import traceback

import clone  # noqa: F401
from torture.windows import STORES, play


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=list(STORES), default="sqlite")
    parser.add_argument("--sequences", type=int, default=1_000)
    parser.add_argument("--steps", type=int, default=12, help="at most, of a sequence (12)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        play(options.engine, options.sequences, options.seed, options.steps)
    except Exception:
        traceback.print_exc()
        return 1
    print(f"{options.sequences:,} sequences on {options.engine}, no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
