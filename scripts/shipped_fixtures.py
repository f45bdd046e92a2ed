"""The weekly files we ship: six weeks of three tiers, with everything a real file has surprised somebody with.

data/README.md says in words what is in them; a test proves that the files in the repository are these.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from finra_generator import API, MICRO, Row, Shape, file_name, published, seats_for, week_rows, write
from finra_universe import order

FOLDER, REVISED_FOLDER = "fixtures/finra_otc", "fixtures/finra_otc_revised"
WEEKS = tuple(date(2025, 12, 5) + timedelta(weeks=n) for n in range(6))
API_WEEK = date(2025, 12, 12)  # in the 17 fields of the API, sums among the rows
REVISED_WEEK, REVISED_ON = date(2025, 12, 26), date(2026, 1, 28)
LATE_WEEK, LATE_ON = date(2025, 12, 5), date(2026, 1, 7)  # already had a few rows revised when it was fetched

_ROWS = {"NMS_TIER_1": 420, "NMS_TIER_2": 330, "OTC": 180}
_QUIET: Mapping[date, float] = {date(2025, 12, 26): 0.88, date(2026, 1, 2): 0.93}
_BLANK_SYMBOL = {
    (date(2025, 12, 5), "OTC"): "OTC|||PPEX NORTH CAPITAL PRIVATE SECURITIES CORPORATION|PPEX|1|1|{day}",
    (date(2025, 12, 26), "OTC"): "OTC|||OTCX OTC LINK ECN ATS|OTCX|40|2|{day}",
    (date(2026, 1, 9), "NMS_TIER_2"): "NMS Tier 2|||De Minimis Firms||310|7|{day}",
}
_DUPLICATE = (date(2026, 1, 2), "NMS_TIER_1")  # its tenth row stands there twice
_NO_LAST_NEWLINE = (date(2025, 12, 26), "OTC")
_CHANGED = (3, 40, 41, 120, 200, 310)  # rows of the revised file
_REMOVED, _ADDED = 250, 5


def shipped() -> dict[str, bytes]:
    """Every file by its path below data/."""
    files = {f"{FOLDER}/{file_name(tier, week)}": _file(tier, week) for week in WEEKS for tier in _ROWS}
    files[f"{REVISED_FOLDER}/{file_name('NMS_TIER_1', REVISED_WEEK)}"] = _revised()
    return files


def _file(tier: str, week: date) -> bytes:
    shape = Shape(API, sums=True) if week == API_WEEK else Shape(last_newline=(week, tier) != _NO_LAST_NEWLINE)
    rows = _rows(tier, week, shape)
    if (week, tier) == _DUPLICATE:
        rows.insert(10, rows[9])
    if (week, tier) == (LATE_WEEK, "NMS_TIER_1"):
        rows[7:9] = [_revise(row, LATE_ON) for row in rows[7:9]]
    content = write(rows, tier, week, shape)
    blank = _BLANK_SYMBOL.get((week, tier))
    if blank is None:
        return content
    end = b"\n" if shape.last_newline else b""
    return content.removesuffix(b"\n") + b"\n" + blank.format(day=published(tier, week)).encode() + end


def _rows(tier: str, week: date, shape: Shape) -> list[Row]:
    return week_rows(tier, week, int(_ROWS[tier] * _QUIET.get(week, 1)), form=shape.form)


def _revised() -> bytes:
    """The Christmas week as it stood a fortnight later: six rows changed, one gone, one new."""
    tier, week = "NMS_TIER_1", REVISED_WEEK
    rows = _rows(tier, week, Shape())
    traded = {row.seat for row in rows}
    idle = [seat for seat in seats_for(tier, len(rows)) if seat not in traded]
    new = Row(idle[_ADDED], 1_900 * MICRO, 12, REVISED_ON)
    kept = [_revise(row, REVISED_ON) if n in _CHANGED else row for n, row in enumerate(rows) if n != _REMOVED]
    return write(sorted([*kept, new], key=lambda row: order(row.seat)), tier, week, Shape())


def _revise(row: Row, day: date) -> Row:
    """A firm reported late: a tenth more."""
    return row._replace(micros=row.micros + max(row.micros // (10 * MICRO), 1) * MICRO, trades=row.trades + 1, updated=day)
