#!/usr/bin/env python3
"""The weekly run from a clone: `python scripts/run_finra_weekly_schedule.py --help`."""

import clone  # noqa: F401

from market_spine.cli.weekly import main

if __name__ == "__main__":
    main()
