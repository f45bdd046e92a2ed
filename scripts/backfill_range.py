#!/usr/bin/env python3
"""Capture a range of weeks: `python scripts/backfill_range.py --from 2025-10-03 --to 2025-12-26`."""

import sys

import clone  # noqa: F401

from market_spine.cli.spine import main

if __name__ == "__main__":
    main(["backfill", *sys.argv[1:]])
