"""What can be ordered of a FinraFake: which requests it is about, and what befalls their answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stand_ins.finra_rows import ORDER


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
