#!/usr/bin/env python3
"""Make an empty database with the current schema: `python scripts/init_database.py --db data/market_spine.db`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from market_spine.cli.spine import main

if __name__ == "__main__":
    main(["db", "init", *sys.argv[1:]])
