"""What FINRA publishes of each firm beside the symbol rows (`ATS_W_FIRM`, `OTC_W_FIRM`): its volume in all symbols of a tier.

A partition has some two hundred of them. They do not count as rows of the file, and a fault in them rejects no line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from market_spine.calendar.tiers import TIER_OF_CODE
from market_spine.categories import Category
from market_spine.errors import UnusableContent
from market_spine.parse.columns import MICRO, Venue
from market_spine.parse.figure_text import NOTIONAL, SHARES, TRADES, read_figure
from market_spine.partition import Partition

if TYPE_CHECKING:
    from market_spine.parse.grid import Grid
    from market_spine.parse.lines import Header

CLASS_OF_SUMMARY = {"ATS_W_FIRM": "ATS", "OTC_W_FIRM": "OTC"}
MOST = 10_000  # there are some 700 member firms and 50 ATSs
_TEXT_CHARACTERS = 1000
_HEAD = 1 << 16  # the header lies within it
_CRD = re.compile(r"[0-9]{0,12}")


class TotalRow(NamedTuple):
    """A total as a file has it; a field that the file lacks is empty."""

    line_number: int
    weekstartdate: str
    tieridentifier: str
    tierdescription: str
    summarytypecode: str
    marketparticipantname: str
    mpid: str
    firmcrdnumber: str
    totalweeklysharequantity: str
    totalweeklytradecount: str
    totalnotionalsum: str


class FirmTotal(NamedTuple):
    """A firm's volume in a tier: shares and notional in millionths, notional UNKNOWN where none is given."""

    venue: Venue
    shares: int
    trades: int
    notional: int


def holds_totals(content: bytes) -> bool:
    """Whether a content may hold totals: its header has summary types, and one of them has these letters, as no other has."""
    return b"summarytypecode" in content[:_HEAD].lower() and b"_W_FIRM" in content


def rows_of(grid: Grid, header: Header, lines_before: int) -> Iterator[TotalRow]:
    """The rows of a grid that holds nothing but totals."""
    places = [header.at(name) for name in TotalRow._fields[1:]]
    blank = [b""] * len(grid.lines)
    columns = [blank if at is None else grid.texts(at) for at in places]
    for line, *texts in zip(grid.lines.tolist(), *columns, strict=True):
        yield TotalRow(lines_before + line + 1, *(text.decode("utf-8", "replace") for text in texts))


def read(rows: Sequence[TotalRow], partition: Partition) -> tuple[FirmTotal, ...]:
    """The totals of a partition. Raises UnusableContent when any of them is another partition's, comes twice or is not a
    figure: then none of them can be relied on."""
    if len(rows) > MOST:
        raise _unusable(f"more than {MOST:,} rows, beyond the number of firms there are")
    totals = [_total(row, partition) for row in rows]
    seen: set[tuple[object, ...]] = set()
    for total in totals:
        if total.venue.firm in seen:
            raise _unusable(f"{total.venue.label} has more than one")
        seen.add(total.venue.firm)
    return tuple(totals)


def _total(row: TotalRow, partition: Partition) -> FirmTotal:
    where = f"line {row.line_number}"
    monday = partition.monday.isoformat()
    if row.weekstartdate not in ("", monday):
        raise _unusable(f"{where} is of the week {row.weekstartdate[:40]!r}, not of {monday}")
    for tier in (row.tieridentifier, row.tierdescription):
        if tier and TIER_OF_CODE.get(tier) != partition.tier:
            raise _unusable(f"{where} is of the tier {tier[:40]!r}, not of {partition.tier}")
    if not _CRD.fullmatch(row.firmcrdnumber.strip()):
        raise _unusable(f"{where} has a CRD number that is not a number")
    venue_class, crd = CLASS_OF_SUMMARY[row.summarytypecode], int(row.firmcrdnumber.strip() or 0)
    venue = Venue(venue_class, row.mpid.strip(), crd, row.marketparticipantname)
    texts = venue.mpid + venue.venue_name
    if not (texts.strip() or venue.firm_crd) or not texts.isprintable() or len(texts) > _TEXT_CHARACTERS:
        raise _unusable(f"{where} names no firm")
    trades = _figure(row, TRADES)
    if trades % MICRO:
        raise _unusable(f"{where}: trade count is not a whole number")
    return FirmTotal(venue, _figure(row, SHARES), trades // MICRO, _figure(row, NOTIONAL))


def _figure(row: TotalRow, name: str) -> int:
    value = read_figure(getattr(row, name), name, row.line_number)
    if isinstance(value, str):
        raise _unusable(f"line {row.line_number}: {value}")
    return value


def _unusable(what: str) -> UnusableContent:
    return UnusableContent(Category.FIRM_TOTALS_UNUSABLE, what)
