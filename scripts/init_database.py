#!/usr/bin/env python3
"""Make an empty database with the current schema: `python scripts/init_database.py --db data/market_spine.db`."""

import sys

import clone  # noqa: F401

from market_spine.cli.spine import main

if __name__ == "__main__":
    main(["db", "init", *sys.argv[1:]])
