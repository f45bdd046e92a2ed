"""Makes weekly files: the ones we ship (no arguments), or any number of any size.

python scripts/make_fixtures.py                                            writes data/fixtures again
python scripts/make_fixtures.py --out DIR --weeks 18 --tiers NMS_TIER_1 --rows 50000
python scripts/make_fixtures.py --out DIR --weeks 52                       FINRA's own sizes: 50 k, 100 k, 5 k rows
python scripts/make_fixtures.py --out DIR --form api --sums --delimiter , --quoted
"""

from __future__ import annotations

import argparse
import gc
import gzip
from datetime import date, timedelta
from pathlib import Path

from finra_generator import API, DOWNLOAD, PROPORTIONS, Shape, file_name, week_file
from shipped_fixtures import shipped

DATA = Path(__file__).resolve().parent.parent / "data"


def main() -> None:
    gc.disable()  # nothing here has cycles; the collector would take a third of the time
    options = _parser().parse_args()
    if options.out is None:
        for path, content in shipped().items():
            _write(DATA / path, content)
        return
    shape = Shape(options.form, options.delimiter, options.quoted, options.sums)
    for tier in options.tiers.split(","):
        for n in reversed(range(options.weeks)):
            week = options.ending - timedelta(weeks=n)
            rows = options.rows or PROPORTIONS[tier]
            content = week_file(tier, week, rows, seed=options.seed, shape=shape, ats_only=options.ats_only)
            name = file_name(tier, week, ".csv" if shape.delimiter == "," else ".psv")
            _write(options.out / (name + ".gz" * options.gzip), gzip.compress(content, 6, mtime=0) if options.gzip else content)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for the files; without it the shipped fixtures are written again")
    parser.add_argument("--weeks", type=int, default=6, help="how many weeks (6)")
    parser.add_argument("--ending", type=_friday, default=date(2026, 1, 9), metavar="FRIDAY", help="the last (2026-01-09)")
    parser.add_argument("--tiers", default=",".join(PROPORTIONS), help="comma-separated (all three)")
    parser.add_argument("--rows", type=int, help="rows in each file (FINRA's: 50000, 100000, 5000)")
    parser.add_argument("--ats-only", action="store_true", help="no other firms: (symbol, MPID) is a key, as in FINRA's download")
    parser.add_argument("--form", choices=[DOWNLOAD, API], default=DOWNLOAD, help="8-column download or 17-field API text")
    parser.add_argument("--delimiter", choices=["|", ","], default="|", help="API text only")
    parser.add_argument("--quoted", action="store_true", help="API text only")
    parser.add_argument("--sums", action="store_true", help="with FINRA's own sums among the rows, API text only")
    parser.add_argument("--gzip", action="store_true", help="compressed, .gz")
    parser.add_argument("--seed", type=int, default=1, help="other securities and figures (1)")
    return parser


def _friday(text: str) -> date:
    day = date.fromisoformat(text)
    if day.weekday() != 4:
        raise argparse.ArgumentTypeError(f"{day} is not a Friday")
    return day


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(f"{path}  {len(content):,} bytes")


if __name__ == "__main__":
    main()
