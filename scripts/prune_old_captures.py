#!/usr/bin/env python3
"""Remove old captures, leaving tombstones: `python scripts/prune_old_captures.py --older-than 730 --dry-run`."""

import sys

import clone  # noqa: F401

from market_spine.cli.spine import main

if __name__ == "__main__":
    main(["prune", *sys.argv[1:]])
