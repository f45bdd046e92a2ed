"""Makes weekly files as FINRA's look, of any size, byte for byte the same wherever they are made.

Two shapes: the 8-column pipe download, and the 17-field text of the API, pipe or comma, quoted or not, with or without the
sums FINRA mixes in. Weeks of one tier share securities and venues; their figures change, and about a tenth of their rows.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from random import Random
from typing import NamedTuple

from finra_universe import TIERS, Seat, Tier, Venue, seats

DOWNLOAD, API = "download", "api"
PROPORTIONS = {"NMS_TIER_1": 50_000, "NMS_TIER_2": 100_000, "OTC": 5_000}
DOWNLOAD_HEADER = (
    "tierDescription", "issueSymbolIdentifier", "issueName", "marketParticipantName", "MPID",
    "totalWeeklyShareQuantity", "totalWeeklyTradeCount", "lastUpdateDate",
)  # fmt: skip
API_HEADER = (
    "totalWeeklyShareQuantity", "issueSymbolIdentifier", "issueName", "lastUpdateDate", "lastReportedDate", "tierDescription",
    "initialPublishedDate", "tierIdentifier", "summaryStartDate", "totalNotionalSum", "totalWeeklyTradeCount", "weekStartDate",
    "MPID", "firmCRDNumber", "productTypeCode", "marketParticipantName", "summaryTypeCode",
)  # fmt: skip

MICRO = 1_000_000  # shares are reckoned in millionths, so that sums are exact
_SPARE = 1.12  # seats for each row wanted: about a tenth of them are empty in any week
_SPARE_ATS = 1.6  # the same when the firms that are no ATS stay away
_FRACTIONAL = 0.13  # of the rows, since fractional shares are reported
_DELAY = {"NMS_TIER_1": 21, "NMS_TIER_2": 35, "OTC": 35}

# How far a week's figure strays from its middle: 32 quantiles of a log-normal distribution.
_STRAY = (
    0.116, 0.187, 0.242, 0.292, 0.34, 0.388, 0.436, 0.485, 0.535, 0.587, 0.641, 0.698, 0.758, 0.821, 0.889, 0.962,
    1.04, 1.125, 1.218, 1.32, 1.434, 1.561, 1.705, 1.87, 2.064, 2.294, 2.577, 2.937, 3.421, 4.128, 5.344, 8.618,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """How a file is written. `sums`: with the rows FINRA adds up itself (`ATS_W_SMBL` …), API only."""

    form: str = DOWNLOAD
    delimiter: str = "|"
    quoted: bool = False
    sums: bool = False
    last_newline: bool = True

    def __post_init__(self) -> None:
        if self.form == DOWNLOAD and (self.delimiter != "|" or self.quoted or self.sums):
            raise ValueError("the download has pipes, no quotes and no sums")
        if self.form == API and self.delimiter == "," and not self.quoted:
            raise ValueError("names hold commas: quote them")


class Row(NamedTuple):
    """A firm's volume in a security. `micros`: shares in millionths; `updated`: later than its publication if revised."""

    seat: Seat
    micros: int
    trades: int
    updated: date


def published(tier: str, week_ending: date) -> date:
    """The day FINRA publishes a week: a Monday, or the Tuesday after one on which the exchange is closed."""
    day = week_ending + timedelta(days=_DELAY[tier] - 4)
    return day + timedelta(days=1) if _exchange_closed(day) else day


def seats_for(tier: str, count: int, *, seed: int = 1, form: str = DOWNLOAD, ats_only: bool = False) -> list[Seat]:
    """Who may trade what in a file of `count` rows."""
    some = seats(tier, int(count * (_SPARE_ATS if ats_only else _SPARE)) + 16, seed)
    return [seat for seat in some if (form == API or not seat.issue.api_only) and (seat.venue.mpid or not ats_only)]


def week_rows(
    tier: str, week_ending: date, count: int, *, seed: int = 1, form: str = DOWNLOAD, ats_only: bool = False
) -> list[Row]:
    """Exactly `count` rows of a week, sorted by symbol and MPID; symbols and firms are the same for equal counts and seeds."""
    all_seats = seats_for(tier, count, seed=seed, form=form, ats_only=ats_only)
    draw = Random(zlib.crc32(f"{seed}|{tier}|{week_ending}".encode())).random
    order = [draw() for _ in all_seats]
    last = sorted(order)[count - 1]
    taken = [seat for seat, place in zip(all_seats, order, strict=True) if place <= last]
    return list(_figures(taken, draw, TIERS[tier], week_ending, form))


def write(rows: Iterable[Row], tier: str, week_ending: date, shape: Shape) -> bytes:
    """The file that holds `rows`, in their order."""
    if shape.form == DOWNLOAD:
        lines = ["|".join(DOWNLOAD_HEADER), *_download_lines(rows, TIERS[tier].description)]
    else:
        fields: list[Iterable[str]] = [API_HEADER, *_api_fields(list(rows), tier, week_ending, shape.sums)]
        lines = [shape.delimiter.join([f'"{f}"' if f else f for f in line] if shape.quoted else line) for line in fields]
    return ("\n".join(lines) + ("\n" if shape.last_newline else "")).encode()


def week_file(
    tier: str, week_ending: date, count: int, *, seed: int = 1, shape: Shape | None = None, ats_only: bool = False
) -> bytes:
    """A whole file with `count` rows that count; `ats_only` as FINRA's own download, where each (symbol, MPID) is one row."""
    shape = shape or Shape()
    return write(week_rows(tier, week_ending, count, seed=seed, form=shape.form, ats_only=ats_only), tier, week_ending, shape)


def file_name(tier: str, week_ending: date, ending: str = ".psv") -> str:
    return f"{tier.lower()}_week_{week_ending}{ending}"


def _figures(taken: Iterable[Seat], draw: Callable[[], float], tier: Tier, week_ending: date, form: str) -> Iterator[Row]:
    volume, updated = _volume_of_week(week_ending), published(tier.name, week_ending)
    strays = [volume * stray * (stray if tier.wild else 1) for stray in _STRAY]
    fractional = _FRACTIONAL if tier.fractions and form == API else 0.0
    for seat in taken:
        place = draw() * len(strays)
        part = place - int(place)
        shares = int(seat.weight * strays[int(place)]) + 1
        micros = shares * MICRO + (int(part / fractional * 999_999) + 1 if part < fractional else 0)
        trades = int(shares / (seat.venue.lot * (0.6 + 0.8 * part))) + 1
        yield Row(seat, micros, min(trades, shares), updated)


def _volume_of_week(week_ending: date) -> float:
    """How much is traded in a week compared with a usual one: little around Thanksgiving, Christmas and New Year."""
    days = {(day.month, day.day) for day in (week_ending - timedelta(days=n) for n in range(5))}
    if (12, 25) in days:
        return 0.45
    if (1, 1) in days:
        return 0.6
    return 0.55 if any(month == 11 and 23 <= day <= 29 for month, day in days) and week_ending.month == 11 else 1.0


def _exchange_closed(monday: date) -> bool:
    """Whether the New York Stock Exchange keeps a holiday on that Monday."""
    month, day, following = monday.month, monday.day, monday + timedelta(days=7)
    fixed = {(1, 1), (1, 2), (7, 4), (7, 5), (12, 25), (12, 26)} | ({(6, 19), (6, 20)} if monday.year > 2021 else set())
    third = 15 <= day <= 21 and month in (1, 2)
    return (month, day) in fixed or third or (month == 5 and following.month == 6) or (month == 9 and day <= 7)


def _download_lines(rows: Iterable[Row], description: str) -> Iterator[str]:
    for (issue, venue, _), micros, trades, updated in rows:
        yield f"{description}|{issue.symbol}|{issue.name}|{venue.name}|{venue.mpid}|{_number(micros)}|{trades}|{updated}"


def _api_fields(rows: list[Row], tier: str, week_ending: date, sums: bool) -> Iterator[tuple[str, ...]]:
    monday, first = week_ending - timedelta(days=4), published(tier, week_ending)
    shape = TIERS[tier]

    def fields(of: Sequence[Row], kind: str, symbol: tuple[str, str, str], firm: Venue | None) -> tuple[str, ...]:
        updated = max(row.updated for row in of)
        micros, trades, notional = _total(of)
        who = (firm.mpid, firm.crd, symbol[2], firm.name) if firm else ("", "", symbol[2], "")
        return (
            _number(micros), symbol[0], symbol[1], str(updated), str(updated if updated > first else week_ending),
            shape.description, str(first), shape.identifier, str(monday), _notional(notional), str(trades), str(monday),
            *who, kind,
        )  # fmt: skip

    for _, group in groupby(rows, lambda row: (row.seat.issue.symbol, row.seat.issue.name, row.seat.issue.product_type)):
        members = list(group)
        issue = members[0].seat.issue
        symbol = (issue.symbol, issue.name, issue.product_type)
        for row in members:
            yield fields([row], f"{_kind(row)}_W_SMBL_FIRM", symbol, row.seat.venue)
        for kind in ("ATS", "OTC") if sums else ():
            some = [row for row in members if _kind(row) == kind]
            if some:
                yield fields(some, f"{kind}_W_SMBL", symbol, None)
    for kind in ("ATS", "OTC") if sums else ():
        some = sorted((row for row in rows if _kind(row) == kind), key=_firm_name)
        for _, group in groupby(some, _firm_name):
            members = list(group)
            yield fields(members, f"{kind}_W_FIRM", ("", "", ""), members[0].seat.venue)
        if some:
            yield fields(some, f"{kind}_W_VOL_STATS", ("", "", ""), None)


def _kind(row: Row) -> str:
    return "ATS" if row.seat.venue.mpid else "OTC"


def _firm_name(row: Row) -> str:
    return row.seat.venue.name


def _total(rows: Iterable[Row]) -> tuple[int, int, int]:
    """Millionths of shares, trades, and notional in millionths of cents."""
    micros = trades = notional = 0
    for row in rows:
        micros += row.micros
        trades += row.trades
        notional += row.micros * row.seat.issue.price_cents
    return micros, trades, notional


def _number(micros: int) -> str:
    """A quantity as FINRA writes it: whole, or with six decimals."""
    whole, fraction = divmod(micros, MICRO)
    return f"{whole}.{fraction:06d}" if fraction else str(whole)


def _notional(micro_cents: int) -> str:
    """Dollars as FINRA's service writes a double: `1257506.25`, from ten million on `1.25750625E7`."""
    dollars = micro_cents / (100 * MICRO)
    if dollars < 1e7:
        return repr(dollars)
    digits = repr(dollars)  # the shortest that reads back as the same double; no exponent below 1e16
    whole = digits.partition(".")[0]
    mantissa = digits.replace(".", "").rstrip("0")
    return f"{mantissa[0]}.{mantissa[1:] or '0'}E{len(whole) - 1}"
