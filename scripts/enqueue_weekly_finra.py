#!/usr/bin/env python3
"""Enqueue weeks through the HTTP API: `python scripts/enqueue_weekly_finra.py --week-ending 2025-12-26 --api-base http://127.0.0.1:8000`.

Without a week: the two of which FINRA has published a tier since the Friday before, the newest of NMS Tier 1 and, two weeks
older, the newest of the other tiers. What is not published yet waits in the queue until it is.

Ingest of the three tiers is due at once, then normalize, then the measures of each tier, then those of the week, each some
minutes after the stage before. Safe to run twice: what is enqueued already is only named. Needs nothing but Python. Exit codes:
0 enqueued or already enqueued, 1 the API refused, 2 it could not be asked.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

DOMAIN = "finra.otc_transparency"
TIERS = ("NMS_TIER_1", "NMS_TIER_2", "OTC")
OF_TIER = (("ingest_week",), ("normalize_week",), ("compute_venue_volume", "compute_venue_share", "compute_hhi"))
OF_WEEK = ("compute_tier_split", "compute_weekly_totals")
TIMEOUT = 60.0


def due_fridays(today: date) -> list[str]:
    """The weeks of which a tier became public last: 21 days before the last Friday for NMS Tier 1, 35 for the others."""
    friday = today - timedelta(days=(today.weekday() - 4) % 7)
    return [(friday - timedelta(days=days)).isoformat() for days in (21, 35)]


def items(
    week_ending: str, begin: datetime, stagger: timedelta, *, rerun: bool = False, priority: int = 3
) -> list[dict[str, Any]]:
    """Every item of a week; `priority` is that of the first stage, and each later one's is one lower."""

    def item(pipeline: str, stage: int, tier: str | None) -> dict[str, Any]:
        key = {"week_ending": week_ending} | ({"tier": tier} if tier else {})
        at = (begin + stage * stagger).isoformat(timespec="seconds")
        return {
            "domain": DOMAIN,
            "pipeline": pipeline,
            "partition_key": key,
            "desired_at": at,
            "priority": priority - stage,
            "rerun": rerun,
        }

    found = [item(name, stage, tier) for stage, names in enumerate(OF_TIER) for name in names for tier in TIERS]
    return found + [item(name, len(OF_TIER), None) for name in OF_WEEK]


def post(api_base: str, body: Any, token: str | None) -> dict[str, Any]:
    """The answer of the API's enqueue. Raises urllib.error.URLError (an HTTPError among them)."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(
        api_base.rstrip("/") + "/api/v1/work/enqueue", json.dumps(body).encode(), headers, method="POST"
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def friday(text: str) -> str:
    """A week ending, checked before anything is sent."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date: write it as YYYY-MM-DD") from None
    if day.weekday() != 4:
        raise argparse.ArgumentTypeError(
            f"{text} is a {day:%A}, not a Friday: {day + timedelta(days=4 - day.weekday())} is meant"
        )
    return text


def base(text: str) -> str:
    """An address of http or https."""
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError("write it as http://HOST:PORT or https://…")
    return text


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--week-ending", type=friday, action="append", help="the week's Friday, YYYY-MM-DD; default: what is due")
    parser.add_argument("--api-base", default="http://127.0.0.1:8000", type=base, help="where spine serve answers (%(default)s)")
    parser.add_argument("--stagger-minutes", default=10.0, type=float, help="between two stages (%(default)s)")
    parser.add_argument("--token-file", help="a file that holds a token with the scope operate, and nothing else")
    parser.add_argument("--rerun", action="store_true", help="begin anew what is over")
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    token = Path(options.token_file).read_text("utf-8").strip() if options.token_file else None
    begin, stagger = datetime.now(timezone.utc), timedelta(minutes=options.stagger_minutes)
    weeks = options.week_ending or due_fridays(datetime.now(ZoneInfo("America/New_York")).date())
    asked = [item for week in weeks for item in items(week, begin, stagger, rerun=options.rerun)]
    return enqueue(options.api_base, asked, token, as_json=options.json)


def enqueue(api_base: str, asked: list[dict[str, Any]], token: str | None, *, as_json: bool) -> int:
    """Sends the items and prints what became of them; returns the exit code."""
    try:
        answer = post(api_base, asked, token)
    except urllib.error.HTTPError as error:
        print(f"Error: HTTP {error.code}: {error.read(2000).decode('utf-8', 'replace')}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Error: cannot reach {api_base}: {error}. Try: spine serve", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps(answer, indent=2))
        return 0
    for found in answer["items"]:
        item = found["item"]
        where = f"{item['partition_key']['week_ending']} / {item['partition_key'].get('tier', 'week')}"
        print(
            f"{item['id']:>6}  {item['pipeline']:<22} {where:<24} {found['outcome']:<9} {item['state']:<10} {item['desired_at']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
