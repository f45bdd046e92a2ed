"""Breaks weekly runs at random moments and proves that nothing is lost: `python scripts/torture.py --help`."""

import sys

import clone  # noqa: F401
from torture.rounds import main

if __name__ == "__main__":
    sys.exit(main())
