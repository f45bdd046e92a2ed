"""Offers the weekly run thousands of damaged files and judges what it makes of each.

python scripts/hostile_files.py                      10,000 files, SQLite
python scripts/hostile_files.py --count 500 --seed 7 --keep bad/   and keeps what it did wrong

The file replaces, a day later, a good capture that is current. Afterwards: the exit code is 0, 1 or 2 and nothing like a
traceback was said; it took no more than seconds; the capture that is current is either the good one, untouched, or one whose
every row is a line of the file, with every line of the file accounted for once: a row, a reject, a repetition, a sum left out.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

import mutations
import promises

from market_spine.cli.exit import guarded
from market_spine.cli.weekly import command
from market_spine.db import Database, connect

WEEK, TIER = "2025-12-26", "NMS_TIER_1"
STEM = f"nms_tier_1_week_{WEEK}"
GOOD = (Path(__file__).resolve().parent.parent / "data" / "fixtures" / "finra_otc" / f"{STEM}.psv").read_bytes()
_SYMBOL, _NAME, _VENUE, _MPID = "issuesymbolidentifier", "issuename", "marketparticipantname", "mpid"
_SHARES, _TRADES = "totalweeklysharequantity", "totalweeklytradecount"
_SLOW_SECONDS = 20.0
_TOLD_EVERY = 500
_DIGITS = 30  # more than any column can hold: a line with such a figure cannot have become a row
Line = tuple[str, str, str, str, int, int]


@dataclass(slots=True)
class Verdicts:
    """What came of the files."""

    exit_codes: Counter[int] = field(default_factory=Counter)
    accepted: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Desk:
    """A database with one good capture, copied anew for each file."""

    def __init__(self, home: Path) -> None:
        self._home, self._base, self._db = home, home / "base.db", home / "work.db"
        self._folder = home / "data"
        self._folder.mkdir()
        (self._folder / f"{STEM}.psv").write_bytes(GOOD)
        code, said = self._run(self._base, "2026-01-30")
        if code:
            raise SystemExit(f"the good file is refused: {said}")
        with contextlib.closing(connect(str(self._base))) as db:
            self._good = _current(db)
        self.verdicts = Verdicts()

    def offer(self, content: bytes, packed: bool = False) -> str | None:
        """Lets a run take `content`; answers what is wrong with what it did, or None."""
        for path in (*self._folder.iterdir(), *self._home.glob("work.db*")):
            path.unlink()
        (self._folder / f"{STEM}.psv{'.gz' if packed else ''}").write_bytes(content)
        shutil.copyfile(self._base, self._db)
        began = time.monotonic()
        code, said = self._run(self._db, "2026-02-06")
        self.verdicts.slowest = max(self.verdicts.slowest, time.monotonic() - began)
        self.verdicts.exit_codes[code] += 1
        if code not in (0, 1, 2) or any(word in said for word in ("Traceback", "unexpected", "UNEXPECTED")):
            return f"exit code {code}, said {said[-300:]!r}"
        if time.monotonic() - began > _SLOW_SECONDS:
            return f"took {time.monotonic() - began:.0f} s"
        with contextlib.closing(connect(str(self._db))) as db:
            return self._judge(db, content, packed)

    def _run(self, target: Path, run_date: str) -> tuple[int, str]:
        arguments = ["--db", str(target), "--data-dir", str(self._folder), "--weeks", WEEK, "--tiers", TIER]
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            code = guarded(command, [*arguments, "--run-date", run_date, "--max-file-mb", "64"])
        return code, said.getvalue()

    def _judge(self, db: Database, content: bytes, packed: bool) -> str | None:
        broken = promises.broken(db)
        if broken:
            return broken[0]
        now = _current(db)
        if now == self._good:
            return None
        self.verdicts.accepted += 1
        return "a damaged archive became current" if packed else _untrue(db, now[0], content)


def _current(db: Database) -> tuple[str, int, list[tuple[object, ...]]]:
    """The current capture: its id, its rows, its content."""
    rows = db.execute("SELECT capture_id, row_count FROM finra_otc_transparency_current").fetchall()
    shown = sorted(map(tuple, db.execute("SELECT * FROM finra_otc_transparency_normalized_latest")), key=repr)
    return rows[0][0], rows[0][1], shown


def _untrue(db: Database, capture_id: str, content: bytes) -> str | None:
    """What is in the capture and not in the file, or lost on the way."""
    lines, filled = _lines(content)
    rows = db.execute(
        """
        SELECT symbol, issue_name, venue_name, mpid, total_shares, total_trades FROM finra_otc_transparency_normalized_latest
        """
    ).fetchall()
    for row in rows:
        if (*row[:4], int((Decimal(repr(row[4])) * 1_000_000).to_integral_value()), row[5]) not in lines:
            return f"no line says {tuple(row)}"
    facts = json.loads(
        db.execute(
            "SELECT metadata_json FROM core_manifest WHERE capture_id = ? AND stage = 'NORMALIZED'", (capture_id,)
        ).fetchone()[0]
    )
    accounted = len(rows) + facts["rejects"] + facts["duplicates"] + facts["excluded"]
    return None if accounted == filled else f"{filled} lines, but {accounted} accounted for"


def _lines(content: bytes) -> tuple[set[Line], int]:
    """What the file's lines say, read one by one with none of the program's code; and how many are not blank."""
    body = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    head = next(at for at, line in enumerate(body) if line.strip() and not line.startswith(b"#"))
    header = body[head].decode("utf-8", "replace").strip()
    mark, quoted = ("|" if "|" in header else ","), header.startswith('"')
    names = [name.strip().lower() for name in _fields(header, mark, quoted)]
    said, filled = set(), 0
    for raw in body[head + 1 :]:
        fields = _fields(raw.decode("utf-8", "surrogateescape").removesuffix("\r"), mark, quoted)
        if not any(fields) and len(fields) < 2:
            continue
        filled += 1
        with contextlib.suppress(InvalidOperation, ValueError, OverflowError):
            line = dict(zip(names, fields, strict=True))
            micro = int((_figure(line[_SHARES]) * 1_000_000).to_integral_value())
            trades = int(_figure(line[_TRADES]))
            said.add((line[_SYMBOL], line.get(_NAME, ""), line[_VENUE], line[_MPID].strip(), micro, trades))
    return said, filled


def _figure(text: str) -> Decimal:
    """A figure of a line. Raises OverflowError for one of more digits than anything here can hold, such as 1e99912345."""
    figure = Decimal(text.strip())
    if figure.is_finite() and figure.adjusted() > _DIGITS:
        raise OverflowError
    return figure


def _fields(line: str, mark: str, quoted: bool) -> list[str]:
    return next(csv.reader([line], delimiter=mark), []) if quoted else line.split(mark)


def hostile(count: int, seed: int = 1, keep: Path | None = None) -> Verdicts:
    """Offers `count` mutated files."""
    chance = random.Random(seed)
    with _home() as home:
        desk = Desk(home)
        for number in range(count):
            packed = chance.random() < 0.05
            names, content = (mutations.as_gzip if packed else mutations.mutate)(GOOD, chance)
            wrong = desk.offer(content, packed)
            if wrong:
                desk.verdicts.wrong.append(f"file {number} ({names}): {wrong}")
                print(desk.verdicts.wrong[-1], file=sys.stderr, flush=True)
                if keep:
                    keep.mkdir(exist_ok=True)
                    (keep / f"{number}.psv").write_bytes(content)
            if (number + 1) % _TOLD_EVERY == 0:
                print(f"{number + 1} files, {len(desk.verdicts.wrong)} wrong", file=sys.stderr, flush=True)
        return desk.verdicts


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hostile_") as home:
        yield Path(home)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    verdicts = hostile(options.count, options.seed, options.keep)
    told = {
        "files": options.count, "seed": options.seed, "exit_codes": dict(sorted(verdicts.exit_codes.items())),
        "became_current": verdicts.accepted, "slowest_seconds": round(verdicts.slowest, 2),
        "seconds": round(time.monotonic() - began), "wrong": verdicts.wrong[:50],
    }  # fmt: skip
    print(json.dumps(told, indent=2))
    return 1 if verdicts.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
