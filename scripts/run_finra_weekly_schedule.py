#!/usr/bin/env python3
"""The weekly run from a clone: `python scripts/run_finra_weekly_schedule.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from market_spine.cli.weekly import main

if __name__ == "__main__":
    main()
