#!/usr/bin/env python3
"""Capture a range of weeks: `python scripts/backfill_range.py --from 2025-10-03 --to 2025-12-26`.

The dates may be any days: the weeks are those whose Friday lies between them. With --enqueue the weeks go through the HTTP API
to the queue, ingest at priority 25; else they are captured at once, as `spine backfill` does, with its options.
"""

import argparse
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import clone  # noqa: F401
from enqueue_weekly_finra import base, enqueue, items

from market_spine.cli.spine import main

PRIORITY = 25


def fridays(first: date, last: date) -> list[str]:
    """The Fridays from one day to another, oldest first."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [day.isoformat() for day in days if day.weekday() == 4]


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="first", required=True, type=date.fromisoformat, help="any day, YYYY-MM-DD")
    parser.add_argument("--to", dest="last", required=True, type=date.fromisoformat, help="any day, YYYY-MM-DD")
    parser.add_argument("--enqueue", action="store_true", help="put the weeks into the queue instead")
    parser.add_argument("--api-base", default="http://127.0.0.1:8000", type=base, help="with --enqueue (%(default)s)")
    parser.add_argument("--token-file", help="with --enqueue: a file that holds a token with the scope operate")
    return parser.parse_known_args(arguments)


def run(arguments: list[str]) -> int:
    options, rest = parse(arguments)
    weeks = fridays(options.first, options.last)
    if not weeks:
        print(f"Error: no Friday lies between {options.first} and {options.last}", file=sys.stderr)
        return 2
    if not options.enqueue:
        main(["backfill", "--from", weeks[0], "--to", weeks[-1], *rest])
    token = Path(options.token_file).read_text("utf-8").strip() if options.token_file else None
    now, as_json = datetime.now(timezone.utc), "--json" in rest
    asked = [items(week, now, timedelta(), priority=PRIORITY) for week in weeks]
    return max(enqueue(options.api_base, of_week, token, as_json=as_json) for of_week in asked)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
