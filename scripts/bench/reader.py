"""Asks for one symbol's newest rows again and again: `bench.reader DATABASE STOP`, until the file STOP is there."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from statistics import quantiles

from market_spine.db import connect

PAUSE = 0.01
SQL = "SELECT week_ending, tier, mpid, venue_name, total_shares FROM finra_otc_transparency_normalized_latest WHERE symbol = ?"


def main(target: str, stop: Path) -> None:
    database = connect(target, create=False)
    times: list[float] = []
    while not stop.exists():
        started = time.perf_counter()
        rows = database.execute(SQL, ("AAPL",)).fetchall()
        times.append(1000 * (time.perf_counter() - started))
        if not rows:
            raise SystemExit("AAPL is not there")
        time.sleep(PAUSE)
    database.close()
    cuts = quantiles(times, n=100)
    print(json.dumps({"queries": len(times), "p50 ms": cuts[49], "p95 ms": cuts[94], "p99 ms": cuts[98], "max ms": max(times)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
