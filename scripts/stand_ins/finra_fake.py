"""FINRA's Query API on this machine, as faithful as what is known of it (docs/finra-api.md), with faults to order.

    with FinraFake(date(2026, 10, 2)) as fake:
        fake.fill(weeks=8)                         # partitions appear as the clock reaches their day
        fake.fail(status(503), when=tier("T2"))    # faults, once or for ever, for the requests that match
        fake.today += timedelta(weeks=1)           # the clock: publications and scripted revisions happen
        fake.spoil_totals(monday, "T1", doubled)   # firm totals fit the rows, unless told otherwise
        fake.seen                                  # every request that came

Its calendar is a table of its own, so that it does not repeat the program's mistakes.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
import socket
import struct
import threading
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Row = dict[str, Any]

DELAY = {"T1": 21, "T2": 35, "OTCE": 35, "NA": 42, "NMS": 21}
DESCRIPTION = {"T1": "NMS Tier 1", "T2": "NMS Tier 2", "OTCE": "OTC", "NA": "Not Applicable", "NMS": "NMS Tier 1"}
# Mondays without exchange: what is due then comes out on the Tuesday.
CLOSED_MONDAYS = {
    *("2019-01-21", "2019-02-18", "2019-05-27", "2019-09-02", "2020-01-20", "2020-02-17", "2020-05-25", "2020-09-07"),
    *("2021-01-18", "2021-02-15", "2021-05-31", "2021-07-05", "2021-09-06", "2022-01-17", "2022-02-21", "2022-05-30"),
    *("2022-06-20", "2022-07-04", "2022-09-05", "2022-12-26", "2023-01-02", "2023-01-16", "2023-02-20", "2023-05-29"),
    *("2023-06-19", "2023-09-04", "2023-12-25", "2024-01-01", "2024-01-15", "2024-02-19", "2024-05-27", "2024-09-02"),
    *("2025-01-20", "2025-02-17", "2025-05-26", "2025-09-01", "2026-01-19", "2026-02-16", "2026-05-25", "2026-09-07"),
}
KEYS = ("weekStartDate", "tierIdentifier")
DAILY_KEYS = ("calendarDay",)
DATES = ("weekStartDate", "summaryStartDate", "lastUpdateDate", "initialPublishedDate", "lastReportedDate", "calendarDay")
# The order in which the service writes a row's keys, whatever order was asked for.
ORDER = (
    *("totalWeeklyShareQuantity", "issueSymbolIdentifier", "issueName", "lastUpdateDate", "lastReportedDate"),
    *("tierDescription", "initialPublishedDate", "tierIdentifier", "summaryStartDate", "totalNotionalSum"),
    *("totalWeeklyTradeCount", "weekStartDate", "MPID", "firmCRDNumber", "productTypeCode", "marketParticipantName"),
    "summaryTypeCode",
)
# Some of the daily list's sixty fields.
DAILY_ORDER = (
    *("newSymbolCode", "newSecurityDescription", "dailyListReasonDescription", "oldSecurityDescription", "dailyListEventCode"),
    *("OTCDailyListID", "dailyListDatetime", "calendarDay", "reverseSplitRate", "oldSymbolCode", "exDate", "commentText"),
)
ATS = ("EBXL LEVEL ATS", "INCR INTELLIGENT CROSS LLC", "JPBX JPB-X", "SGMT SIGMA X2", "UBSA UBS ATS", "MSPL MS POOL")
FIRMS = (("CITADEL SECURITIES LLC", 116797), ("G1 EXECUTION SERVICES, LLC", 111528), ("VIRTU  AMERICAS LLC", 149823))
# Firms that no symbol row names: they trade too little in each, and stand in De Minimis Firms.
SMALL_FIRMS = (("HOLLOW CREEK SECURITIES INC", 900017), ("NORTH PIER TRADING LLC", 900029))
BODY_KEYS = {
    *("fields", "limit", "offset", "async", "compareFilters", "dateRangeFilters", "domainFilters", "sortFields"),
    *("delimiter", "quoteValues"),
}
FINRA_MAX, LAST_OFFSET = 5000, 500_000


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: dict[str, Any]
    headers: dict[str, str]
    raw: bytes = b""

    def equal(self, name: str) -> str | None:
        for one in self.body.get("compareFilters", []):
            if one.get("fieldName") == name and str(one.get("compareType")).upper() == "EQUAL":
                return str(one["fieldValue"])
        return None

    @property
    def tier(self) -> str | None:
        return self.equal("tierIdentifier")

    @property
    def week(self) -> str | None:
        return self.equal("weekStartDate")

    @property
    def offset(self) -> int:
        return int(self.body.get("offset", 0))

    @property
    def is_data(self) -> bool:
        """A request for the weekly data."""
        return self.path.lower().startswith("/data/") and not self.is_daily

    @property
    def is_daily(self) -> bool:
        return self.path.lower().endswith("/otcdailylist")


@dataclass
class Answer:
    """What goes back; faults change it on its way out."""

    status: int = 200
    body: bytes = b""
    kind: str | None = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: str = ""  # 'reset': no answer; 'length': fewer bytes than promised; 'gzip': the compressed stream breaks off


Fault = Callable[["Answer"], Answer]
When = Callable[[Seen], bool]


# --- Faults -----------------------------------------------------------------------------------------------------------


def status(code: int, **headers: str) -> Fault:
    """An error from a gateway: HTML, as gateways write."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda answer: Answer(code, b"<html>gateway</html>", "text/html", named)


def html(answer: Answer) -> Answer:
    return Answer(200, b"<!doctype html><html><title>OTC Transparency</title></html>", "text/html; charset=utf-8")


def cut(how: str) -> Fault:
    return lambda answer: Answer(answer.status, answer.body, answer.kind, answer.headers, how)


def total(change: int) -> Fault:
    """Record-Total is another one: a publication or revision happened while somebody pages."""

    def drift(answer: Answer) -> Answer:
        answer.headers["Record-Total"] = str(int(answer.headers["Record-Total"]) + change)
        return answer

    return drift


def without(header: str) -> Fault:
    def drop(answer: Answer) -> Answer:
        answer.headers.pop(header)
        return answer

    return drop


def empty_list(answer: Answer) -> Answer:
    return Answer(200, b"[]", headers={"Record-Total": "0"})


def header_only(answer: Answer) -> Answer:
    return Answer(200, ('"' + '","'.join(ORDER) + '"\n').encode(), "text/plain", {"Record-Total": "0"})


def no_data_sentence(answer: Answer) -> Answer:
    return Answer(200, json.dumps({"message": "No data found for specified dataset request"}).encode())


def inner_error(answer: Answer) -> Answer:
    return Answer(200, json.dumps({"statusCode": 500, "statusDescription": "Internal Server Error"}).encode())


def foreign(answer: Answer) -> Answer:
    """The filter was ignored: a row of another week came along."""
    rows = json.loads(answer.body)
    rows[-1]["weekStartDate"] = "2023-11-06"
    return Answer(200, json.dumps(rows).encode(), headers=answer.headers)


def shifted(answer: Answer) -> Answer:
    """The order changed between two pages: the count is right, but one row comes twice and another never."""
    rows = json.loads(answer.body)
    rows[-1] = rows[0]
    return Answer(200, json.dumps(rows).encode(), headers=answer.headers)


def daily(seen: Seen) -> bool:
    return seen.is_daily


def foreign_day(answer: Answer) -> Answer:
    """The filter was ignored: a row of another day came along."""
    rows = json.loads(answer.body)
    rows[-1]["calendarDay"] = "2018-12-18"
    return Answer(200, json.dumps(rows).encode(), headers=answer.headers)


def other_date(text: str) -> Fault:
    """FINRA's clock: another Date header, or an odd one."""

    def change(answer: Answer) -> Answer:
        answer.headers["Date"] = text
        return answer

    return change


def tier(code: str) -> When:
    return lambda seen: seen.is_data and seen.tier == code


def data(seen: Seen) -> bool:
    return seen.is_data


# --- The data ---------------------------------------------------------------------------------------------------------


def published(monday: date, code: str) -> date:
    day = monday + timedelta(days=DELAY[code])
    return day + timedelta(days=1) if day.isoformat() in CLOSED_MONDAYS else day


def make_row(monday: date, code: str, summary: str, **values: Any) -> Row:
    row: Row = dict.fromkeys(ORDER)
    row |= {
        "weekStartDate": monday.isoformat(),
        "summaryStartDate": monday.isoformat(),
        "tierIdentifier": code,
        "tierDescription": DESCRIPTION[code],
        "summaryTypeCode": summary,
        "lastUpdateDate": published(monday, code).isoformat(),
        "initialPublishedDate": published(monday, code).isoformat(),
        "lastReportedDate": (monday + timedelta(days=4)).isoformat(),
    }
    return row | values


def figures(shares: Any, trades: int) -> Row:
    return {
        "totalWeeklyShareQuantity": shares,
        "totalWeeklyTradeCount": trades,
        "totalNotionalSum": float(shares) * 31.4159,
    }


def on_ats(symbol: str | None, name: str | None, venue: str, tape: str | None, shares: Any, trades: int) -> Row:
    issue = {"issueSymbolIdentifier": symbol, "issueName": name, "productTypeCode": tape}
    return {**issue, "marketParticipantName": venue, "MPID": venue[:4], **figures(shares, trades)}


def off_ats(symbol: str, name: str, firm: str, crd: int | None, tape: str, shares: Any, trades: int) -> Row:
    issue = {"issueSymbolIdentifier": symbol, "issueName": name, "productTypeCode": tape}
    # Non-ATS firms have no MPID, and it comes blank or null.
    return {
        **issue,
        "marketParticipantName": firm,
        "MPID": "" if crd else None,
        "firmCRDNumber": crd,
        **figures(shares, trades),
    }


def quirks(monday: date, code: str) -> list[Row]:
    """Every oddity seen in real data, in each partition."""
    tape = "OTCE" if code == "OTCE" else "CTS"

    def ats(*values: Any) -> Row:
        return make_row(monday, code, "ATS_W_SMBL_FIRM", **on_ats(*values))

    def firm(*values: Any) -> Row:
        return make_row(monday, code, "OTC_W_SMBL_FIRM", **off_ats(*values))

    return [
        ats("BRK.B", "Berkshire Hathaway Inc. Class B", ATS[0], tape, 41_200, 310),
        ats("BAC$L", "Bank of America Corporation 7.25%  Series L Preferred", ATS[0], tape, 12, 3),
        ats("ABCw", "ABC Corp. When Issued", ATS[1], tape, 900, 4),
        ats("ABCW", "ABC Wholesale, Inc. Common Stock", ATS[1], tape, 1, 1),
        ats("FITB", "Fifth Third Bancorp", ATS[2], "CTS", 700, 9),
        ats("FITB", "Fifth Third Bancorp", ATS[2], "UTP", 300, 4),
        ats("RNA", "Avidity Biosciences, Inc. Common Stock", ATS[2], tape, 50, 2),
        ats("RNA", "Atrium Therapeutics, Inc. Common Stock", ATS[2], tape, 60, 2),
        ats("MOVED", "In Two Tiers This Week, Inc.", ATS[3], tape, 10, 1),
        ats("FRAC", "Fractional Trading Corp", ATS[3], tape, Decimal("89697.17156"), 812),
        ats(None, None, "PPEX NORTH CAPITAL PRIVATE SECURITIES CORPORATION", None, 1, 1),
        firm("BRK.B", "Berkshire Hathaway Inc. Class B", *FIRMS[0], tape, 88_000, 1200),
        firm("BRK.B", "Berkshire Hathaway Inc. Class B", "De Minimis Firms", None, tape, 4_100, 77),
        firm("FRAC", "Fractional Trading Corp", *FIRMS[2], tape, Decimal("0.000001"), 1),
    ]


def firm_rows(monday: date, code: str, count: int) -> Iterator[Row]:
    """`count` ordinary firm rows: symbols × venues, one in eight fractional from 2026-02-23."""
    tape = {"T1": "CTS", "T2": "UTP"}.get(code, "OTCE")
    venues = len(ATS) + len(FIRMS)
    for n in range(count):
        symbol, venue = f"{code[0]}{n // venues:05d}", n % venues
        name = f"Issuer {n // venues}, Inc. Common  Stock"
        shares: Any = 100 + (n * 7919 + monday.toordinal()) % 1_000_003
        if n % 8 == 0 and monday >= date(2026, 2, 23):
            shares = Decimal(shares) + Decimal("0.25")
        if venue < len(ATS):
            yield make_row(monday, code, "ATS_W_SMBL_FIRM", **on_ats(symbol, name, ATS[venue], tape, shares, 1 + n % 97))
        else:
            yield make_row(
                monday,
                code,
                "OTC_W_SMBL_FIRM",
                **off_ats(symbol, name, *FIRMS[venue - len(ATS)], tape, shares, 1 + n % 97),
            )


def sums(rows: list[Row]) -> list[Row]:
    """The other six summary types of a partition: by symbol, by firm, in all; their figures repeat the firm rows'."""
    groups: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        side = row["summaryTypeCode"][:3]
        symbol = {name: row[name] for name in ("issueSymbolIdentifier", "issueName", "productTypeCode")}
        venue = {name: row[name] for name in ("marketParticipantName", "MPID", "firmCRDNumber")}
        for kind, identity in ((f"{side}_W_SMBL", symbol), (f"{side}_W_FIRM", venue), (f"{side}_W_VOL_STATS", {})):
            blank = dict.fromkeys([*symbol, *venue]) | identity
            total_row = groups.setdefault((kind, *identity.values()), row | blank | {"summaryTypeCode": kind} | figures(0, 0))
            total_row["totalWeeklyShareQuantity"] += row["totalWeeklyShareQuantity"]
            total_row["totalWeeklyTradeCount"] += row["totalWeeklyTradeCount"]
    return list(groups.values())


def unhidden(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows of every firm: each De Minimis line as the firms that it stands for, none of which is named for its symbol."""
    rows = list(rows)
    named = {(row["issueSymbolIdentifier"], row["firmCRDNumber"]) for row in rows}
    for row in rows:
        if row["marketParticipantName"] != "De Minimis Firms":
            yield row
            continue
        symbol = row["issueSymbolIdentifier"]
        firms = [firm for firm in (*FIRMS, *SMALL_FIRMS) if (symbol, firm[1]) not in named]
        firms = firms[-1 - zlib.crc32(str(symbol).encode()) % len(firms) :]
        micro, trades = int(Decimal(str(row["totalWeeklyShareQuantity"])) * 1_000_000), row["totalWeeklyTradeCount"]
        for at, (name, crd) in enumerate(firms):
            shares = Decimal(micro * (at + 1) // len(firms) - micro * at // len(firms)) / 1_000_000
            part = trades * (at + 1) // len(firms) - trades * at // len(firms)
            yield row | {"marketParticipantName": name, "firmCRDNumber": crd, "MPID": ""} | figures(shares, part)


def firm_totals(rows: Iterable[Row]) -> list[Row]:
    """What `ATS_W_FIRM` and `OTC_W_FIRM` say of a partition: every firm's volume in all symbols."""
    totals: dict[tuple[Any, ...], Row] = {}
    for row in unhidden(row for row in rows if str(row["summaryTypeCode"]).endswith("_W_SMBL_FIRM")):
        kind = f"{row['summaryTypeCode'][:3]}_W_FIRM"
        blank = dict.fromkeys(("issueSymbolIdentifier", "issueName", "productTypeCode"))
        made = row | blank | {"summaryTypeCode": kind} | figures(0, 0)
        total_row = totals.setdefault((kind, row["MPID"] or row["firmCRDNumber"] or row["marketParticipantName"]), made)
        total_row |= figures(
            Decimal(str(total_row["totalWeeklyShareQuantity"])) + Decimal(str(row["totalWeeklyShareQuantity"])),
            total_row["totalWeeklyTradeCount"] + row["totalWeeklyTradeCount"],
        )
        total_row["lastUpdateDate"] = max(total_row["lastUpdateDate"], row["lastUpdateDate"])
    return list(totals.values())


# How firm totals can be wrong. Each takes a partition's totals and returns what is served.


def missing(totals: list[Row]) -> list[Row]:
    return []


def doubled(totals: list[Row]) -> list[Row]:
    return totals + [dict(row) for row in totals]


def of_another_tier(totals: list[Row]) -> list[Row]:
    other = "T2" if totals[0]["tierIdentifier"] == "T1" else "T1"
    return [row | {"tierIdentifier": other, "tierDescription": DESCRIPTION[other]} for row in totals]


def of_another_week(totals: list[Row]) -> list[Row]:
    monday = date.fromisoformat(totals[0]["weekStartDate"]) - timedelta(weeks=1)
    return [row | {"weekStartDate": monday.isoformat()} for row in totals]


def negative(totals: list[Row]) -> list[Row]:
    return [row | {"totalWeeklyShareQuantity": -row["totalWeeklyShareQuantity"]} for row in totals]


def ats_off_by_a_millionth(totals: list[Row]) -> list[Row]:
    first = min((row for row in totals if row["MPID"]), key=lambda row: str(row["MPID"]))
    return [
        row | {"totalWeeklyShareQuantity": row["totalWeeklyShareQuantity"] + (row is first) * Decimal("0.000001")}
        for row in totals
    ]


def above_its_total(totals: list[Row]) -> list[Row]:
    """Nearly all of a named firm's total stands under another: all sums are right, and its rows exceed what it has."""
    poor, rich = (next(row for row in totals if row["firmCRDNumber"] == crd) for _, crd in FIRMS[:2])
    moved = poor["totalWeeklyShareQuantity"] - 1
    return [
        row | {"totalWeeklyShareQuantity": row["totalWeeklyShareQuantity"] + moved * ((row is rich) - (row is poor))}
        for row in totals
    ]


def partition_rows(monday: date, code: str, count: int = 40) -> list[Row]:
    rows = [*firm_rows(monday, code, count), *quirks(monday, code)]
    return rows + sums(rows)


def stray_rows() -> list[Row]:
    """2023-11-06 / NMS: what an unfiltered query shows first. Some rows come twice."""
    monday = date(2023, 11, 6)
    rows = [
        make_row(monday, "NMS", "ATS_W_VOL_STATS", tierDescription="Not Applicable", **figures(6489206414, 66391371)),
        make_row(monday, "NMS", "ATS_W_SMBL_FIRM", **on_ats("BRKR", "Bruker Corporation", ATS[2], None, 21779, 241)),
    ]
    return [*rows, dict(rows[1])]


def daily_rows(day: date) -> list[Row]:
    """The daily list of a day: a symbol change, a deletion and a split, with what real rows have odd; none at weekends."""
    if day.weekday() > 4:
        return []
    number = day.toordinal() * 10
    blank = dict.fromkeys(DAILY_ORDER)
    moment = {"calendarDay": day.isoformat(), "dailyListDatetime": f"{day} 16:30:49.0", "exDate": f"{day} 00:00:00.0"}
    changed = {"oldSymbolCode": f"OLD{number % 97}", "newSymbolCode": f"NEW{number % 97}", "dailyListEventCode": "SC"}
    split = {
        "oldSymbolCode": "SPLT",
        "newSymbolCode": "SPLTD",
        "reverseSplitRate": 0.02,
        "commentText": 'One for "fifty" – final',
    }
    return [
        blank | moment | {"OTCDailyListID": number, "dailyListReasonDescription": "Symbol and Name Change", **changed},
        blank | moment | {"OTCDailyListID": number + 1, "dailyListReasonDescription": "Deletion", "oldSymbolCode": "GONE"},
        blank | moment | {"OTCDailyListID": number + 2, "dailyListReasonDescription": "Reverse Split", **split},
    ]


# --- The service ------------------------------------------------------------------------------------------------------


class BadRequest(Exception):
    """Answered with 400 and FINRA's error document."""


class FinraFake:
    """One fake service. `today` is its clock."""

    def __init__(self, today: date) -> None:
        self._today = today
        self._partitions: dict[tuple[str, str], list[Row]] = {("2023-11-06", "NMS"): stray_rows()}
        self._pending: list[tuple[date, Callable[[], None]]] = []
        self._faults: list[tuple[Fault, When, list[int]]] = []
        self._cache: dict[str, list[Row]] = {}
        self._spoiled_totals: dict[tuple[str, str], Callable[[list[Row]], list[Row]]] = {}
        self._tokens: set[str] = set()
        self._lock = threading.Lock()
        self.seen: list[Seen] = []
        self.page_max, self.page_bytes = FINRA_MAX, 3_000_000
        self.shuffle = 0
        self.restless = False  # unsorted answers come in another order each time
        self.require_token, self.require_cookie = False, False
        self.credential = ("id", "s3cret")
        self.expires_in: Any = 43169
        self.oldest_weekly: date | None = None  # weeks before are in weeklySummaryHistoric only
        self.daily_days = 60  # how far back the daily list goes
        self.daily_more: list[Row] = []  # rows beside those of every day
        self.pad_decimals = False
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FinraFake:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environ(self) -> dict[str, str]:
        """What points the program here, impatiently."""
        return {
            "MARKET_SPINE_FINRA_BASE_URL": self.url,
            "MARKET_SPINE_FINRA_TOKEN_URL": f"{self.url}/fip/rest/ews/oauth2/access_token",
            "MARKET_SPINE_HTTP_BACKOFF": "0.001",
            "MARKET_SPINE_HTTP_RETRIES": "2",
        }

    @property
    def login(self) -> dict[str, str]:
        """The credential, as settings."""
        return {
            "MARKET_SPINE_FINRA_CLIENT_ID": self.credential[0],
            "MARKET_SPINE_FINRA_CLIENT_SECRET": self.credential[1],
        }

    @property
    def today(self) -> date:
        return self._today

    @today.setter
    def today(self, day: date) -> None:
        self._today = day
        self._cache.clear()
        for when, change in sorted(self._pending, key=lambda pending: pending[0]):
            if when <= day:
                change()
        self._pending = [pending for pending in self._pending if pending[0] > day]

    # What tests say to it.

    def put(self, rows: Iterable[Row]) -> None:
        """Adds rows to their partitions; they show once their initialPublishedDate is reached."""
        for row in rows:
            self._partitions.setdefault((row["weekStartDate"], row["tierIdentifier"]), []).append(row)
        self._cache.clear()

    def fill(self, weeks: int, rows: int = 40, tiers: Iterable[str] = ("T1", "T2", "OTCE", "NA"), ahead: int = 0) -> None:
        """The last `weeks` weeks up to today, and `ahead` coming ones, of every tier."""
        this = self._today - timedelta(days=self._today.weekday())
        for n in range(1 - weeks, ahead + 1):
            for code in tiers:
                self.put(partition_rows(this + timedelta(weeks=n), code, rows if code != "NA" else 0))

    def rows(self, monday: date | str, code: str) -> list[Row]:
        """A partition's own rows, to look at or to change behind FINRA's back: no date moves."""
        self._cache.clear()
        return self._partitions[(str(monday), code)]

    def revise(self, day: date, monday: date | str, code: str, change: Callable[[Row], None], rows: int = 1) -> None:
        """On `day`, firms correct the first `rows` firm rows of a partition: both their dates become that day."""

        def apply() -> None:
            for row in [r for r in self.rows(monday, code) if r["summaryTypeCode"].endswith("SMBL_FIRM")][:rows]:
                change(row)
                row["lastUpdateDate"] = row["lastReportedDate"] = day.isoformat()

        if day <= self._today:
            apply()
        else:
            self._pending.append((day, apply))

    def take_back(self, day: date, monday: date | str, code: str) -> None:
        """On `day`, the partition is what it is now again, dates included: what is revised until then is taken back."""
        before = [dict(row) for row in self.rows(monday, code)]

        def apply() -> None:
            self.rows(monday, code)[:] = before

        self._pending.append((day, apply))

    def spoil_totals(self, monday: date | str, code: str, how: Callable[[list[Row]], list[Row]]) -> None:
        """From now on a partition's firm totals are served as `how` makes them; `list` serves them as they are."""
        self._spoiled_totals[str(monday), code] = how
        self._cache.clear()

    def move(self, symbol: str, monday: date | str, code: str, other: str) -> None:
        """A security is of another tier from now on, as corrected in place: no date moves."""
        moved = [row for row in self.rows(monday, code) if row["issueSymbolIdentifier"] == symbol]
        self.rows(monday, code)[:] = [row for row in self.rows(monday, code) if row not in moved]
        self.rows(monday, other).extend(row | {"tierIdentifier": other, "tierDescription": DESCRIPTION[other]} for row in moved)

    def fail(self, fault: Fault, *, when: When = data, times: int = 1 << 30, skip: int = 0) -> None:
        """The next `times` requests that match, after `skip` of them, go wrong."""
        self._faults.append((fault, when, [skip, times]))

    def heal(self) -> None:
        self._faults.clear()

    def end_tokens(self) -> None:
        """Every token given out so far has ended."""
        self._tokens.clear()

    def asked(self, when: When = data) -> list[Seen]:
        return [seen for seen in self.seen if when(seen)]

    # What it answers.

    def answer(self, seen: Seen) -> Answer:
        with self._lock:
            self.seen.append(seen)
            if self.require_cookie and "__cf_bm" not in seen.headers.get("cookie", ""):
                return Answer(307, b"", None, {"Location": seen.path, "Set-Cookie": "__cf_bm=1; path=/"})
            try:
                answer = self._route(seen)
            except BadRequest as error:
                answer = self._error(400, "Bad Request", str(error), seen)
            return self._spoiled(answer, seen)

    def _spoiled(self, answer: Answer, seen: Seen) -> Answer:
        for fault, when, left in self._faults:
            if when(seen):
                if left[0] > 0:
                    left[0] -= 1
                elif left[1] > 0:
                    left[1] -= 1
                    return fault(answer)
        return answer

    def _route(self, seen: Seen) -> Answer:
        path = seen.path.lower()
        if path.startswith("/fip/"):
            return self._token(seen)
        if not self._let_in(seen):
            return self._error(401, "Unauthorized", "Unauthorized", seen)
        if match := re.fullmatch(r"/(data|partitions|metadata)/group/otcmarket/name/(\w+)", path):
            return {"data": self._data, "partitions": self._available, "metadata": self._metadata}[match[1]](seen, match[2])
        return self._error(404, "Not Found", "Resource not found", seen)

    def _let_in(self, seen: Seen) -> bool:
        # Public sets ignore a login they do not know.
        return not self.require_token or seen.headers.get("authorization", "")[7:] in self._tokens

    def _token(self, seen: Seen) -> Answer:
        login = seen.headers.get("authorization", "")
        wanted = "Basic " + base64.b64encode(":".join(self.credential).encode()).decode()
        grant = seen.query.get("grant_type") or parse_qs(seen.raw.decode()).get("grant_type")
        if not login:
            return _refused_login("Client credentials is required")
        if login != wanted or grant != ["client_credentials"]:
            return _refused_login("Invalid Credentials")
        token = uuid.uuid4().hex
        self._tokens.add(token)
        content = {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in, "scope": "read"}
        return Answer(200, json.dumps(content).encode())

    def _available(self, seen: Seen, name: str) -> Answer:
        found = sorted({(r["weekStartDate"], r["tierIdentifier"]) for r in self._visible(name)}, reverse=True)
        content = {
            "datasetGroup": "OTCMARKET",
            "datasetName": name.upper(),
            "partitionFields": list(KEYS),
            "availablePartitions": [{"partitions": list(pair)} for pair in found],
        }
        return Answer(200, json.dumps(content).encode())

    def _metadata(self, seen: Seen, name: str) -> Answer:
        fields = [{"name": one, "type": "Date" if one in DATES else "String"} for one in ORDER]
        content = {
            "datasetGroup": "OTCMARKET",
            "datasetName": name.upper(),
            "partitionFields": list(KEYS),
            "fields": fields,
        }
        return Answer(200, json.dumps(content).encode())

    def list_more(self, *rows: Row) -> None:
        """Adds rows to the daily list."""
        self.daily_more += rows
        self._cache.clear()

    def _daily(self) -> Iterator[Row]:
        """The rolling window of the daily list."""
        first = self._today - timedelta(days=self.daily_days - 1)
        for n in range(self.daily_days):
            yield from daily_rows(first + timedelta(days=n))
        yield from (row for row in self.daily_more if first.isoformat() <= row["calendarDay"] <= self._today.isoformat())

    def _visible(self, name: str, equal: dict[str, str] | None = None) -> Iterator[Row]:
        if name == "otcdailylist":
            yield from self._daily()
            return
        old = self.oldest_weekly.isoformat() if self.oldest_weekly else ""
        today = self._today.isoformat()
        week, code = (equal or {}).get("weekStartDate"), (equal or {}).get("tierIdentifier")
        looked_at = self._partitions if not (week and code) else {(week, code): self._partitions.get((week, code), [])}
        for (week, _), rows in looked_at.items():
            if (week < old) == (name == "weeklysummaryhistoric"):
                others = [row for row in rows if not str(row["summaryTypeCode"]).endswith("_W_FIRM")]
                yield from (row for row in (*others, *firm_totals(others)) if row["initialPublishedDate"] <= today)

    def _data(self, seen: Seen, name: str) -> Answer:
        body = self._checked_body(seen, name)
        found = self._found(name, body)
        order = DAILY_ORDER if name == "otcdailylist" else ORDER
        limit = max(1, min(int(body.get("limit", 1000)), self.page_max))
        offset = int(body.get("offset", 0))
        if offset > LAST_OFFSET:
            raise BadRequest(f"Offset must not be greater than {LAST_OFFSET}")
        return self._page(found, body, limit, offset, seen, order)

    def _checked_body(self, seen: Seen, name: str) -> dict[str, Any]:
        if seen.method == "GET":  # filters given here are ignored
            one = {key: values[0] for key, values in seen.query.items() if key in ("limit", "offset", "delimiter")}
            return one | {key: seen.query[key][0].split(",") for key in ("fields", "sortFields") if key in seen.query}
        try:
            body = json.loads(seen.raw or b"{}")
        except ValueError as error:
            raise BadRequest("Unable to parse request body.") from error
        if not isinstance(body, dict) or set(body) - BODY_KEYS:
            raise BadRequest("Unable to parse request body.")
        _check_filters(body)
        _check_sort(body, DAILY_KEYS if name == "otcdailylist" else KEYS)
        if name == "weeklysummaryhistoric":
            _check_historic(body)
        return body

    def _found(self, name: str, body: dict[str, Any]) -> list[Row]:
        self.shuffle += self.restless and not body.get("sortFields")
        question = json.dumps([name, self.shuffle, {k: v for k, v in body.items() if k not in ("limit", "offset", "fields")}])
        if question not in self._cache:
            filters = body.get("compareFilters") or []
            equal = {one["fieldName"]: str(one["fieldValue"]) for one in filters if one["compareType"].upper() == "EQUAL"}
            rows = self._with_spoiled_totals([row for row in self._visible(name, equal) if _matches(row, body)])
            rows.sort(key=lambda row: (row.get("tierIdentifier") != "NMS", zlib.crc32(f"{self.shuffle}{row}".encode())))
            for one in reversed(body.get("sortFields") or []):
                field_name = one.lstrip("+-")
                rows.sort(key=lambda row: row[field_name] or 0 if field_name == "firmCRDNumber" else str(row[field_name] or "~"))
                if one.startswith("-"):
                    rows.reverse()
            self._cache[question] = rows
        return self._cache[question]

    def _with_spoiled_totals(self, rows: list[Row]) -> list[Row]:
        totals: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if str(row.get("summaryTypeCode")).endswith("_W_FIRM"):
                totals.setdefault((row["weekStartDate"], row["tierIdentifier"]), []).append(row)
        for key in totals.keys() & self._spoiled_totals.keys():
            kept = [row for row in rows if not any(row is total for total in totals[key])]
            rows = kept + self._spoiled_totals[key](totals[key])
        return rows

    def _page(
        self, found: list[Row], body: dict[str, Any], limit: int, offset: int, seen: Seen, order: tuple[str, ...]
    ) -> Answer:
        fields = [name for name in order if name in (body.get("fields") or order)]
        headers = {
            "FINRA-api-request-id": str(uuid.uuid4()),
            "Date": self._http_date(),
            "Record-Limit": str(limit),
            "Record-Max-Limit": str(self.page_max),
            "Record-Offset": str(offset),
            "Record-Total": str(len(found)),
            "Response-Payload-Max-Size": "3mb",
            "Set-Cookie": "__cf_bm=1; path=/",
        }
        if not found[offset : offset + limit]:
            return Answer(204, b"", None, headers | {"Record-Total": "0" if not found else str(len(found))})
        as_json = seen.headers.get("accept") == "application/json"
        write = _json_row if as_json else self._text_writer(body)
        lines: list[str] = []
        size = 0
        for row in found[offset : offset + limit]:
            line = write([(name, row[name]) for name in fields])
            size += len(line) + 1
            if lines and size > self.page_bytes:
                break
            lines.append(line)
        headers["Total-Records-On-Page"] = str(len(lines))
        if as_json:
            return Answer(200, f"[{','.join(lines)}]".encode(), "application/json", headers)
        return Answer(200, ("\n".join([write([(name, name) for name in fields]), *lines]) + "\n").encode(), "text/plain", headers)

    def _http_date(self) -> str:
        """FINRA's clock: two in the afternoon UTC and a second for every request that came."""
        moment = datetime.combine(self._today, time(14), timezone.utc) + timedelta(seconds=len(self.seen))
        return format_datetime(moment, usegmt=True)

    def _text_writer(self, body: dict[str, Any]) -> Callable[[list[tuple[str, Any]]], str]:
        quoting: Any = csv.QUOTE_ALL if body.get("quoteValues", True) else csv.QUOTE_NONE
        delimiter = body.get("delimiter", ",")

        def write(pairs: list[tuple[str, Any]]) -> str:
            out = io.StringIO()
            options: Any = {"escapechar": "\\"} if quoting == csv.QUOTE_NONE else {}
            values = [self._text_value(name, value) for name, value in pairs]
            csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="", **options).writerow(values)
            return out.getvalue()

        return write

    def _text_value(self, name: str, value: Any) -> Any:
        if self.pad_decimals and isinstance(value, (int, Decimal)) and name.startswith("total"):
            return f"{value:.6f}"
        return "" if value is None else value

    def _error(self, code: int, words: str, message: str, seen: Seen) -> Answer:
        content = {
            "statusCode": code,
            "statusDescription": words,
            "requestId": str(uuid.uuid4()),
            "message": message,
            "dataRequest": {
                "action": seen.method,
                "datasetGroup": "OTCMarket",
                "datasetName": "weeklySummary",
                **seen.body,
            },
        }
        return Answer(code, json.dumps(content).encode())


def _refused_login(message: str) -> Answer:
    return Answer(400, json.dumps({"error_message": message, "error": "invalid_client"}).encode())


def _check_filters(body: dict[str, Any]) -> None:
    kinds = {"EQUAL", "NOT_EQUAL", "GREATER", "LESSER", "GTE", "LTE", "BEGINS_WITH"}
    for one in body.get("compareFilters") or []:
        if str(one.get("compareType")).upper() not in kinds or "fieldValue" not in one:
            raise BadRequest("Unable to parse request body.")
        if one["fieldName"] in DATES:
            _check_date(one["fieldValue"])
    for one in body.get("dateRangeFilters") or []:
        _check_date(one["startDate"])
        _check_date(one["endDate"])


def _check_date(value: Any) -> None:
    try:
        datetime.strptime(str(value), "%Y-%m-%d")  # noqa: DTZ007 - a form is checked
    except ValueError as error:
        raise BadRequest("Invalid date field format. Must be yyyy-MM-dd or yyyy-MM-dd HH:mm:ss.SSS") from error


def _check_sort(body: dict[str, Any], keys: tuple[str, ...]) -> None:
    equal = {one["fieldName"] for one in body.get("compareFilters") or [] if one["compareType"].upper() == "EQUAL"}
    missing = [key for key in keys if key not in equal]
    if body.get("sortFields") and missing:
        raise BadRequest(
            "Sorting is allowed only if all partitions keys are specified in EQUAL CompareFilter."
            f"Partition keys missing or not using EQUAL CompareFilter: {', '.join(missing)}"
        )


def _check_historic(body: dict[str, Any]) -> None:
    """Exactly one time filter, perhaps the tier; no other filter, no sort."""
    names = [one["fieldName"] for one in body.get("compareFilters") or []]
    times = [name for name in names if name in ("weekStartDate", "historicalWeek", "historicalMonth")]
    others = [name for name in names if name not in times and name != "tierIdentifier"]
    if len(times) != 1 or others or any(body.get(key) for key in ("sortFields", "dateRangeFilters", "domainFilters")):
        raise BadRequest("Exactly one of weekStartDate, historicalWeek, historicalMonth is required, and no other filter.")


def _value(row: Row, one: dict[str, Any]) -> Any:
    """A row's value for a filter; the archive's two time filters of its own name a month, or a week by any of its days."""
    if one["fieldName"] == "historicalMonth":
        return row["weekStartDate"][:7]
    if one["fieldName"] == "historicalWeek":
        monday = date.fromisoformat(row["weekStartDate"])
        asked = date.fromisoformat(one["fieldValue"])
        return one["fieldValue"] if monday <= asked < monday + timedelta(weeks=1) else row["weekStartDate"]
    return row.get(one["fieldName"])


def _matches(row: Row, body: dict[str, Any]) -> bool:
    return (
        all(_compares(_value(row, one), one) for one in body.get("compareFilters") or [])
        and all(r["startDate"] <= row[r["fieldName"]] <= r["endDate"] for r in body.get("dateRangeFilters") or [])
        and all(row.get(one["fieldName"]) in one["values"] for one in body.get("domainFilters") or [])
    )


def _compares(value: Any, one: dict[str, Any]) -> bool:
    """Text against text; numbers stand as they are written."""
    wanted, kind = str(one["fieldValue"]), one["compareType"].upper()
    if kind == "NOT_EQUAL":
        return str(value) != wanted
    text = "" if value is None else str(value)
    compare: dict[str, bool] = {
        "EQUAL": text == wanted,
        "GREATER": text > wanted,
        "LESSER": text < wanted,
        "GTE": text >= wanted,
        "LTE": text <= wanted,
        "BEGINS_WITH": text.startswith(wanted),
    }
    return compare[kind]


def _json_row(pairs: list[tuple[str, Any]]) -> str:
    return "{" + ",".join(f'"{name}":{_json_value(value)}' for name, value in pairs) + "}"


def _json_value(value: Any) -> str:
    """Numbers as a Java program writes them: from ten million on, a float has an exponent."""
    if isinstance(value, float):
        if abs(value) < 1e7:
            return repr(value)
        digits, _, power = f"{value!r}e{0}".partition("e") if "e" not in repr(value) else repr(value).partition("e")
        number = Decimal(digits) * 10 ** int(power.split("e")[0])
        return f"{number.scaleb(-number.adjusted()).normalize()}E{number.adjusted()}"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: FinraFake

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        try:
            body = json.loads(raw)
        except ValueError:
            body = {}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = body if isinstance(body, dict) else {}
        self._send(self.server.fake.answer(Seen(self.command, parts.path, parse_qs(parts.query), body, headers, raw)))

    def _send(self, answer: Answer) -> None:
        if answer.cut == "reset":
            # A reset, not an orderly end: linger 0.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self.send_response_only(answer.status)
        lower = len(self.server.fake.seen) % 2  # header names come in any case
        for name, value in answer.headers.items():
            self.send_header(name.lower() if lower else name, value)
        if answer.kind:
            self.send_header("Content-Type", answer.kind)
        if answer.status == 204:
            self.end_headers()
            return
        content = answer.body
        if "gzip" in self.headers.get("Accept-Encoding", "") and content:
            content = gzip.compress(content, 1)
            self.send_header("Content-Encoding", "gzip")
            if answer.cut == "gzip":
                content = content[: len(content) // 2]
        self.send_header("Content-Length", str(len(content) * (2 if answer.cut == "length" else 1)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = self.close_connection or answer.cut == "length"
