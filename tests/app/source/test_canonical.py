"""The canonical form: one hash for one content, nothing lost on the way."""

from __future__ import annotations

import json
import random
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand_ins.finra_rows import make_row, on_ats, partition_rows

from market_spine.app.source.canonical import FIELDS, Collector, number_text, values_of
from market_spine.app.source.query import read_table
from market_spine.errors import Unproved
from market_spine.partition import NMS_TIER_1, Partition

MONDAY = date(2026, 9, 7)
PARTITION = Partition(date(2026, 9, 11), NMS_TIER_1)


def document_of(rows: list[dict[str, Any]]) -> bytes:
    collector = Collector(PARTITION)
    collector.add(rows)
    return collector.document()


def ats(symbol: str | None, name: str, **more: Any) -> dict[str, Any]:
    return make_row(MONDAY, "T1", "ATS_W_SMBL_FIRM", **{**on_ats(symbol, name, "EBXL LEVEL ATS", "CTS", 100, 1), **more})


NUMBERS = [
    (None, ""),
    ("", ""),
    (0, "0"),
    (6753871, "6753871"),
    ("10.000000", "10"),
    (Decimal("10.000000"), "10"),
    ("89697.171560", "89697.17156"),
    (Decimal("1.5118719960275284E10"), "15118719960.275284"),
    ("1E+3", "1000"),
    ("0.000001", "0.000001"),
    ("-0", "0"),
    ("-5.50", "-5.5"),
    ("100", "100"),
    ("1,234", "1,234"),
    ("n/a", "n/a"),
    ("NaN", "NaN"),
    ("1E+999999999", "1E+999999999"),
]


@pytest.mark.parametrize(("value", "expected"), NUMBERS, ids=[repr(n[0]) for n in NUMBERS])
def test_a_number_has_one_form(value: object, expected: str) -> None:
    assert number_text(value) == expected


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=6))
def test_the_one_form_is_the_same_number(number: Decimal) -> None:
    text = number_text(number)
    assert Decimal(text) == number
    assert number_text(text) == text
    assert "E" not in text


def test_equal_content_is_equal_bytes_in_any_order_and_format() -> None:
    rows = partition_rows(MONDAY, "T1")
    first = document_of(rows)
    random.Random(5).shuffle(rows)
    assert document_of(rows) == first
    as_text = [
        {name: f"{value:.6f}" if isinstance(value, (int, Decimal)) else value for name, value in row.items() if value is not None}
        for row in rows
    ]
    assert document_of(as_text) == first
    assert document_of([dict(reversed(row.items())) for row in rows]) == first


CHANGES = [
    ("a share more", {"totalWeeklyShareQuantity": 101}),
    ("a millionth of a share", {"totalWeeklyShareQuantity": "100.000001"}),
    ("a name's second space", {"issueName": "Name,  Inc."}),
    ("the case of a symbol", {"issueSymbolIdentifier": "ABCw"}),
    ("its date alone", {"lastUpdateDate": "2026-09-29"}),
]


@pytest.mark.parametrize("change", [c[1] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_any_change_of_content_is_another_document(change: dict[str, object]) -> None:
    assert document_of([ats("ABCW", "Name, Inc.")]) != document_of([ats("ABCW", "Name, Inc.", **change)])


def read_back(content: bytes) -> list[dict[str, str]]:
    text = content.decode().split("\n")
    return [dict(row) for row in read_table(line for line in text[7:-1])]


NAMES = [
    ("commas, quotes inside and double  spaces", 'The "Best", & Co.  Class A'),
    ("a delimiter", "Pipe | Line Inc"),
    ("a quote first", '"Quoted" Corp'),
    ("both", '"A|B"'),
    ("a space at each end", " Padded "),
    ("letters beyond ASCII", "Société Générale — ADR"),
    ("a number sign first", "# 1 Brands"),
]


@pytest.mark.parametrize("name", [n[1] for n in NAMES], ids=[n[0] for n in NAMES])
def test_a_name_comes_back_as_it_was(name: str) -> None:
    rows = read_back(document_of([ats("A", name), ats("B", "Plain")]))
    assert [row["issueName"] for row in rows] == [name, "Plain"]


def test_a_control_character_becomes_a_space() -> None:
    (row,) = read_back(document_of([ats("A", "Two\nlines\x1fand a tab\t.")]))
    assert row["issueName"] == "Two lines and a tab ."


def test_half_a_surrogate_does_not_stop_it() -> None:
    document = document_of([ats("A", json.loads('"\\ud800 Inc"'))])
    assert read_back(document)[0]["issueName"] == "? Inc"


def test_rows_of_other_summary_types_are_left_out_but_still_checked() -> None:
    collector = Collector(PARTITION)
    collector.add([make_row(MONDAY, "T1", "ATS_W_SMBL"), make_row(MONDAY, "T1", "OTC_W_VOL_STATS")])
    assert len(collector) == 0
    with pytest.raises(Unproved, match="requested week 2026-09-07 of T1, got a row of 2026-09-07 of T2"):
        collector.add([make_row(MONDAY, "T2", "ATS_W_SMBL")])


def test_the_stray_tier_of_the_same_week_is_not_tier_1() -> None:
    row = ats("A", "Name", tierIdentifier="NMS")
    with pytest.raises(Unproved, match="of NMS"):
        document_of([row])


# As recorded: one row with a whole notional, one with an exponent, one revised and with a fraction beyond a float's digits.
RECORDED = """[
{"totalWeeklyShareQuantity":15052890,"totalWeeklyTradeCount":126566,"issueSymbolIdentifier":"AAPL",
 "issueName":"Apple Inc. Common Stock","lastUpdateDate":"2023-02-06","weekStartDate":"2023-01-16","lastReportedDate":"2023-01-20",
 "tierDescription":"NMS Tier 1","initialPublishedDate":"2023-02-06","productTypeCode":"UTP","totalNotionalSum":2045218749},
{"totalWeeklyShareQuantity":21779,"totalWeeklyTradeCount":241,"issueSymbolIdentifier":"BRKR","issueName":"Bruker Corporation",
 "lastUpdateDate":"2023-11-27","weekStartDate":"2023-11-06","lastReportedDate":"2023-11-10","tierDescription":"NMS Tier 1",
 "initialPublishedDate":"2023-11-27","productTypeCode":null,"totalNotionalSum":1.5118719960275284E10}]"""


def check_recorded(text: str) -> None:
    """Each row's values come out of the canonical form as they went in."""
    for row in json.loads(text, parse_float=Decimal):
        told = dict(zip(FIELDS, values_of(row), strict=True))
        for name, value in row.items():
            if name in ("tierDescription", "summaryStartDate"):
                continue
            if isinstance(value, (int, Decimal)):
                assert Decimal(told[name]) == value
            else:
                assert told[name] == (value or "")


def test_recorded_rows_parse_unchanged() -> None:
    check_recorded(RECORDED)


@pytest.mark.parametrize("name", ["api_real_rows_ats_w_smbl_t1.json", "api_real_rows_default_unfiltered_first2.json"])
def test_all_recorded_rows_parse_unchanged(samples_dir: Path, name: str) -> None:
    check_recorded((samples_dir / name).read_text("utf-8"))


def test_a_recorded_text_answer_parses_quoted_and_with_padded_decimals(samples_dir: Path) -> None:
    text = (samples_dir / "api_real_csv_textplain_regShoDaily_20260722.txt").read_text("utf-8")
    lines = text.replace("tradeReportDate", "weekStartDate").splitlines()
    rows = list(read_table(line for line in lines if not line.startswith("#")))
    assert [number_text(row["shortExemptParQuantity"]) for row in rows] == ["10", "56070", "100"]
