"""The API source against the fake: what it asks, what it proves, what it makes of every way FINRA answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import (
    Fault,
    cut,
    empty_list,
    foreign,
    header_only,
    html,
    inner_error,
    no_data_sentence,
    shifted,
    total,
    without,
)
from stand_ins.finra_rows import partition_rows
from support.api_answers import FIRM_TYPES, NOT_YET, OTCE, T1, T2, OpenApi, firm_rows, offered, rows_in

from market_spine.app.source import Absent, Glance, Offer
from market_spine.app.source.canonical import FIELDS
from market_spine.errors import SourceError, Unproved
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, Partition

# --- What is asked and what comes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("partition", [T1, T2, OTCE], ids=["T1", "T2", "OTCE"])
def test_every_firm_row_of_the_partition_comes_and_nothing_else(fake: FinraFake, open_api: OpenApi, partition: Partition) -> None:
    code = {NMS_TIER_1: "T1", NMS_TIER_2: "T2", OTC: "OTCE"}[partition.tier]
    expected = firm_rows(fake, partition.monday, code)
    offer = offered(open_api().fetch(partition))
    got = rows_in(offer.content)
    assert len(got) == len(expected) == offer.metadata["rows"]
    key = ("issueSymbolIdentifier", "issueName", "productTypeCode", "MPID", "firmCRDNumber", "marketParticipantName")
    figures = {tuple(str(row[name] or "") for name in key): row for row in expected}
    for row in got:
        told = figures[tuple(row[name] for name in key)]
        assert Decimal(row["totalWeeklyShareQuantity"]) == Decimal(told["totalWeeklyShareQuantity"])
        assert Decimal(row["totalNotionalSum"]) == Decimal(str(told["totalNotionalSum"]))
        assert row["totalWeeklyTradeCount"] == str(told["totalWeeklyTradeCount"])


def test_one_partition_is_asked_by_both_its_keys_sorted_and_only_for_firm_rows(fake: FinraFake, open_api: OpenApi) -> None:
    open_api().fetch(OTCE)
    (asked,) = fake.asked()
    assert (asked.method, asked.path) == ("POST", "/data/group/otcMarket/name/weeklySummary")
    assert (asked.week, asked.tier) == ("2026-08-24", "OTCE")
    assert asked.body["domainFilters"] == [{"fieldName": "summaryTypeCode", "values": list(FIRM_TYPES)}]
    assert "+issueSymbolIdentifier" in asked.body["sortFields"]
    assert asked.headers["accept"] == "application/json"
    assert "gzip" in asked.headers["accept-encoding"]
    assert asked.headers["user-agent"].startswith("market-spine/1.")


def test_what_finra_said_of_the_answer_goes_along(fake: FinraFake, open_api: OpenApi) -> None:
    fake.revise(date(2026, 9, 30), T1.monday, "T1", lambda row: row.update(totalWeeklyTradeCount=5))
    offer = offered(open_api().fetch(T1))
    assert offer.last_updated == datetime(2026, 9, 30, tzinfo=timezone.utc)
    assert offer.metadata["last_update_range"] == ("2026-09-28", "2026-09-30")
    assert offer.metadata["record_total"] == offer.metadata["rows"] == 54
    assert len(str(offer.metadata["request_id"])) == 36
    json.dumps(offer.metadata)


def test_the_document_names_its_dataset_filters_and_fields(open_api: OpenApi) -> None:
    head = offered(open_api().fetch(T1)).content.decode().split("\n")[:7]
    assert head[:5] == [
        "# market-spine canonical 1",
        "# dataset otcMarket/weeklySummary",
        "# filter weekStartDate = 2026-09-07",
        "# filter tierIdentifier = T1",
        "# filter summaryTypeCode in ATS_W_SMBL_FIRM, OTC_W_SMBL_FIRM",
    ]
    assert head[5:] == [f"# fields {'|'.join(FIELDS)}", "# rows 54"]


def test_order_page_size_and_case_of_header_names_do_not_change_the_content(fake: FinraFake, open_api: OpenApi) -> None:
    source = open_api()
    first = offered(source.fetch(T1)).content
    fake.shuffle, fake.page_max = 7, 9
    assert offered(source.fetch(T1)).content == first
    fake.page_max, fake.page_bytes = 5000, 3000
    assert offered(source.fetch(T1)).content == first


def test_a_fractional_quantity_and_names_keep_every_character(open_api: OpenApi) -> None:
    rows = {(row["issueSymbolIdentifier"], row["firmCRDNumber"]): row for row in rows_in(offered(open_api().fetch(T1)).content)}
    assert rows["FRAC", ""]["totalWeeklyShareQuantity"] == "89697.17156"
    assert rows["FRAC", "149823"]["totalWeeklyShareQuantity"] == "0.000001"
    assert rows["BAC$L", ""]["issueName"] == "Bank of America Corporation 7.25%  Series L Preferred"
    assert {"ABCw", "ABCW", "BRK.B", ""} <= {symbol for symbol, _ in rows}


def test_non_ats_rows_keep_their_firm_and_de_minimis_its_name(open_api: OpenApi) -> None:
    rows = [row for row in rows_in(offered(open_api().fetch(T1)).content) if row["summaryTypeCode"] == "OTC_W_SMBL_FIRM"]
    assert {row["MPID"] for row in rows} == {""}
    assert {row["firmCRDNumber"] for row in rows if row["marketParticipantName"] == "De Minimis Firms"} == {""}
    assert all(row["firmCRDNumber"] for row in rows if row["marketParticipantName"] != "De Minimis Firms")


def test_a_week_finra_has_not_published_is_absent_not_an_error(open_api: OpenApi) -> None:
    source = open_api()
    assert isinstance(source.glance(NOT_YET), Absent)
    assert isinstance(source.fetch(NOT_YET), Absent)


def test_a_junk_login_in_netrc_is_not_sent(
    fake: FinraFake, open_api: OpenApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    open_api().fetch(T1)
    assert "authorization" not in fake.seen[0].headers


def test_the_session_keeps_its_cookies(fake: FinraFake, open_api: OpenApi) -> None:
    fake.require_cookie = True
    assert isinstance(open_api().fetch(T1), Offer)


# --- The cheap glance -------------------------------------------------------------------------------------------------


def test_a_glance_is_one_request_for_one_row(fake: FinraFake, open_api: OpenApi) -> None:
    fake.revise(date(2026, 9, 30), T1.monday, "T1", lambda row: row.update(totalWeeklyTradeCount=5))
    assert open_api().glance(T1) == Glance(datetime(2026, 9, 30, tzinfo=timezone.utc), 54)
    (asked,) = fake.asked()
    assert (asked.body["limit"], asked.body["sortFields"]) == (1, ["-lastUpdateDate"])


def test_a_deletion_shows_in_a_glance_though_no_date_moves(fake: FinraFake, open_api: OpenApi) -> None:
    source = open_api()
    before = source.glance(T1)
    rows = fake.rows(T1.monday, "T1")
    rows.remove(firm_rows(fake, T1.monday, "T1")[0])
    after = source.glance(T1)
    assert isinstance(before, Glance)
    assert isinstance(after, Glance)
    assert (after.last_updated, after.row_count) == (before.last_updated, 53)


# --- Completeness is proved -------------------------------------------------------------------------------------------


def test_pages_advance_by_what_came_when_the_byte_cap_makes_them_short(fake: FinraFake, open_api: OpenApi) -> None:
    fake.page_bytes = 2000
    assert offered(open_api().fetch(T1)).metadata["rows"] == 54
    offsets = [seen.offset for seen in fake.asked()]
    assert offsets == sorted(set(offsets))
    assert len(offsets) > 10


def test_the_largest_page_is_what_finra_says_it_is(fake: FinraFake, open_api: OpenApi) -> None:
    fake.page_max = 10
    open_api().fetch(T1)
    assert [seen.body["limit"] for seen in fake.asked()] == [5000, 10, 10, 10, 10, 10]


# A fault in the first answer only, and the category it has when it stays.
UNPROVED: list[tuple[str, Fault, str]] = [
    ("a web page with status 200", html, "SOURCE_NOT_DATA"),
    ("a body that breaks off inside the compression", cut("gzip"), "SOURCE_INCOMPLETE"),
    ("a total that changed while paging", total(1), "SOURCE_INCOMPLETE"),
    ("fewer rows than the total", total(-50), "SOURCE_INCOMPLETE"),
    ("no total", without("Record-Total"), "SOURCE_INCOMPLETE"),
    ("an error with status 200", inner_error, "SOURCE_NOT_DATA"),
    ("rows of another week", foreign, "SOURCE_FOREIGN_ROWS"),
    ("a row twice, another never", shifted, "SOURCE_INCOMPLETE"),
]


@pytest.mark.parametrize(("fault", "category"), [u[1:] for u in UNPROVED], ids=[u[0] for u in UNPROVED])
def test_what_is_not_proved_whole_is_asked_once_more_and_then_given_up(
    fake: FinraFake, open_api: OpenApi, fault: Fault, category: str
) -> None:
    source = open_api()
    whole = offered(source.fetch(T1)).content
    fake.page_max = 30
    fake.fail(fault, times=1)
    assert offered(source.fetch(T1)).content == whole
    changing = iter(range(1, 1000))

    def always(answer: Any) -> Any:
        next(changing)
        return fault(answer)

    fake.fail(always, skip=1) if category == "SOURCE_INCOMPLETE" else fake.fail(always)
    if fault is shifted:
        fake.heal()
        fake.fail(_shifted_differently())
    with pytest.raises(Unproved) as caught:
        source.fetch(T1)
    assert caught.value.category == category


def _shifted_differently() -> Fault:
    counter = iter(range(1000))

    def fault(answer: Any) -> Any:
        rows = json.loads(answer.body)
        rows[-1] = rows[next(counter) % (len(rows) - 1)]
        answer.body = json.dumps(rows).encode()
        return answer

    return fault


def test_a_page_that_says_it_has_more_rows_than_came_is_not_believed(fake: FinraFake, open_api: OpenApi) -> None:
    def lose_one(answer: Any) -> Any:
        answer.body = json.dumps(json.loads(answer.body)[:-1]).encode()
        return answer

    fake.fail(lose_one)
    with pytest.raises(Unproved, match="a page of 54 rows arrived with 53"):
        open_api().fetch(T1)


def test_rows_finra_really_has_twice_are_believed_when_two_answers_agree(fake: FinraFake, open_api: OpenApi) -> None:
    fake.put([dict(firm_rows(fake, T1.monday, "T1")[0])])
    offer = offered(open_api().fetch(T1))
    assert (offer.metadata["rows"], offer.metadata["repeated_rows"]) == (55, 1)
    assert len(fake.asked()) == 2


NO_ROWS: list[tuple[str, Fault]] = [
    ("[]", empty_list),
    ("a header alone", header_only),
    ("a sentence", no_data_sentence),
]


@pytest.mark.parametrize("fault", [n[1] for n in NO_ROWS], ids=[n[0] for n in NO_ROWS])
def test_every_way_of_saying_no_rows_is_an_absence(fake: FinraFake, open_api: OpenApi, fault: Fault) -> None:
    fake.fail(fault)
    source = open_api()
    assert isinstance(source.fetch(T1), Absent)
    assert isinstance(source.glance(T1), Absent)


def test_an_answer_in_text_is_read_all_the_same(fake: FinraFake, open_api: OpenApi) -> None:
    source = open_api()
    expected = rows_in(offered(source.fetch(T1)).content)

    def as_text(quoted: bool) -> Callable[[Any], Any]:
        def fault(answer: Any) -> Any:
            rows = json.loads(answer.body, parse_float=Decimal)
            mark = '"' if quoted else ""
            lines = [
                "|".join(f"{mark}{'' if v is None else v}{mark}" for v in values) for values in [rows[0], *map(dict.values, rows)]
            ]
            answer.body, answer.kind = "\n".join(lines).encode(), "text/plain"
            return answer

        return fault

    for quoted in (True, False):
        fake.heal()
        fake.fail(as_text(quoted))
        assert rows_in(offered(source.fetch(T1)).content) == expected


# --- The archive ------------------------------------------------------------------------------------------------------

OLD = Partition(date(2025, 8, 1), NMS_TIER_1)


@pytest.fixture
def archive(fake: FinraFake) -> FinraFake:
    fake.oldest_weekly = date(2025, 9, 29)
    fake.today = date(2025, 8, 29)
    fake.fill(weeks=5, rows=60)
    fake.today = date(2026, 10, 2)
    return fake


def test_a_week_beyond_retention_comes_from_the_archive_under_its_own_rules(archive: FinraFake, open_api: OpenApi) -> None:
    offer = offered(open_api().fetch(OLD))
    assert offer.metadata["rows"] == len(firm_rows(archive, OLD.monday, "T1"))
    assert offer.metadata["dataset"] == "weeklySummaryHistoric"
    asked = [seen for seen in archive.asked() if seen.path.endswith("Historic")]
    assert all(set(seen.body) == {"compareFilters", "limit", "offset"} for seen in asked)
    assert {(seen.week, seen.tier) for seen in asked} == {("2025-07-28", "T1")}


def test_the_archive_and_the_live_set_give_the_same_content(archive: FinraFake, open_api: OpenApi) -> None:
    archived = offered(open_api().fetch(OLD)).content
    archive.oldest_weekly = None
    assert offered(open_api().fetch(OLD)).content == archived


def test_a_recent_week_is_not_looked_for_in_the_archive(archive: FinraFake, open_api: OpenApi) -> None:
    source = open_api()
    assert isinstance(source.fetch(NOT_YET), Absent)
    assert not [seen for seen in archive.asked() if seen.path.endswith("Historic")]
    assert source.glance(OLD) is None


def test_a_week_nobody_has_is_absent(archive: FinraFake, open_api: OpenApi) -> None:
    assert isinstance(open_api().fetch(Partition(date(2019, 8, 2), NMS_TIER_1)), Absent)


# --- The sweep --------------------------------------------------------------------------------------------------------

# Recorded: first publication → revision, of NMS Tier 1 weeks by their Monday.
REVISIONS = [
    ("2022-06-27", "2022-07-29"),
    ("2023-11-13", "2024-03-12"),
    ("2024-03-04", "2024-05-13"),
    ("2024-03-11", "2024-05-13"),
    ("2024-05-27", "2024-10-02"),
    ("2024-11-04", "2025-05-08"),
    ("2025-05-05", "2025-06-03"),
    ("2025-05-12", "2025-06-09"),
]


@pytest.mark.parametrize(("monday", "day"), REVISIONS, ids=[r[0] for r in REVISIONS])
def test_a_recorded_revision_is_found_however_late_it_came(fake: FinraFake, open_api: OpenApi, monday: str, day: str) -> None:
    week, revised = date.fromisoformat(monday), date.fromisoformat(day)
    fake.today = revised - timedelta(days=1)
    fake.fill(weeks=12)
    fake.put(partition_rows(week, "T1"))
    source = open_api(today=revised)
    fake.revise(revised, week, "T1", lambda row: row.update(totalWeeklyTradeCount=77))
    before = list(source.revised_since(fake.today, date(2021, 12, 10), week + timedelta(days=4)))
    fake.today = revised
    after = list(source.revised_since(revised - timedelta(days=7), date(2021, 12, 10), week + timedelta(days=4)))
    assert Partition(week + timedelta(days=4), NMS_TIER_1) not in before
    assert Partition(week + timedelta(days=4), NMS_TIER_1) in after


def test_a_sweep_sees_neither_other_weeks_nor_the_tiers_kept_aside(fake: FinraFake, open_api: OpenApi) -> None:
    for monday, code in (("2026-08-10", "T1"), ("2026-08-17", "OTCE"), ("2026-08-10", "NA"), ("2026-08-31", "T1")):
        fake.revise(date(2026, 9, 29), monday, code, lambda row: row.update(totalWeeklyTradeCount=1))
    found = open_api().revised_since(date(2026, 9, 29), date(2026, 8, 14), date(2026, 8, 21))
    assert list(found) == [Partition(date(2026, 8, 14), NMS_TIER_1), Partition(date(2026, 8, 21), OTC)]
    assert len(fake.asked()) == 1


def test_a_sweep_of_more_rows_than_a_page_depends_on_no_order(
    fake: FinraFake, open_api: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = (date(2026, 6, 1), date(2026, 8, 7), date(2026, 8, 28))
    whole = list(open_api().revised_since(*sweep))
    assert len(whole) == 3 * 3  # what is out of four weeks
    fake.restless = True
    for page_max in (1, 60, 200):  # a partition has 54 rows, a week 162 or less
        monkeypatch.setattr("market_spine.app.source.api.PAGE_ROWS", page_max)
        assert list(open_api().revised_since(*sweep)) == whole
    fake.page_bytes = 500  # FINRA's pages may also be short
    assert list(open_api().revised_since(*sweep)) == whole


def test_a_sweep_whose_halves_do_not_add_up_is_unproved(fake: FinraFake, open_api: OpenApi) -> None:
    fake.page_max = 100
    fake.fail(total(3), skip=1, when=lambda seen: "dateRangeFilters" in seen.body)
    with pytest.raises(SourceError, match=r"rows were revised, but .* by halves") as caught:
        open_api().revised_since(date(2026, 6, 1), date(2026, 8, 7), date(2026, 8, 28))
    assert caught.value.category == "SOURCE_INCOMPLETE"


def test_a_sweep_during_which_something_is_revised_is_repeated(fake: FinraFake, open_api: OpenApi) -> None:
    fake.page_max = 5
    fake.fail(total(3), times=1, skip=1)
    found = list(open_api().revised_since(date(2026, 8, 1), date(2026, 8, 21), date(2026, 8, 21)))
    assert [partition.tier for partition in found] == [NMS_TIER_1, NMS_TIER_2, OTC]
