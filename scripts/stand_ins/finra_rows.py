"""The rows that FINRA publishes, with the quirks that were seen in them; firm totals that fit them, and totals that do not."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

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
