#!/usr/bin/env python3
"""Remove old captures, leaving tombstones: `python scripts/prune_old_captures.py --older-than 730 --dry-run`.

For cron: the reason is "retention" unless --reason gives another.
"""

import sys

import clone  # noqa: F401

from market_spine.cli.spine import main

if __name__ == "__main__":
    given = sys.argv[1:]
    has_reason = any(argument.partition("=")[0] == "--reason" for argument in given)
    main(["prune", *given, *([] if has_reason else ["--reason", "retention"])])
