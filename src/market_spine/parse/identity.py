"""Which partition a file is of, as far as its rows say: the tiers and weeks they name, and the days of their last update."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

from market_spine.calendar.tiers import TIER_OF_CODE
from market_spine.parse.lines import Header, read_header
from market_spine.parse.row_dates import UPDATED, date_text
from market_spine.parse.weekly_file import MONDAY, REQUIRED, TIER_CODE, TIER_NAME


class Identity(NamedTuple):
    """What the rows of a file say, each with the number of rows that say it; the 8-column download names no week."""

    rows: int
    tiers: Counter[str]
    weeks: Counter[date]
    days: Counter[date]


def identify(content: bytes) -> Identity:
    """Counts the rows. Raises UnusableContent for a file without a FINRA header."""
    header, blocks = read_header(iter((content,)), REQUIRED)
    seen = Identity(0, Counter(), Counter(), Counter())
    rows = 0
    places = (header.at(TIER_CODE), header.at(TIER_NAME), header.at(MONDAY), header.at(UPDATED))
    for fields in _rows(header, b"".join(blocks)):
        code, name, monday, updated = ("" if at is None or at >= len(fields) else fields[at].strip() for at in places)
        rows += 1
        if tier := TIER_OF_CODE.get(code) or TIER_OF_CODE.get(name):
            seen.tiers[tier] += 1
        if (day := _day(monday)) is not None:
            seen.weeks[day + timedelta(days=4)] += 1
        if (day := _day(updated)) is not None:
            seen.days[day] += 1
    return seen._replace(rows=rows)


def _rows(header: Header, content: bytes) -> Iterator[list[str]]:
    lines = (line for line in content.decode("utf-8", "replace").split("\n") if line.strip())
    delimiter = chr(header.delimiter)
    return csv.reader(lines, delimiter=delimiter) if header.quoted else (line.rstrip("\r").split(delimiter) for line in lines)


def _day(text: str) -> date | None:
    known = date_text(text) if text else None
    return date.fromisoformat(known) if known else None
