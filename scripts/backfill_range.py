#!/usr/bin/env python3
"""Capture a range of weeks: `python scripts/backfill_range.py --from 2025-10-03 --to 2025-12-26`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from market_spine.cli.spine import main

if __name__ == "__main__":
    main(["backfill", *sys.argv[1:]])
