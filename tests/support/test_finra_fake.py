"""The fake answers as FINRA's service is known to answer: against what was recorded from it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
import requests
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_rows import ORDER

from support.gates import DEADLINE

DATA = "/data/group/otcMarket/name/weeklySummary"
T1_WEEK = [
    {"compareType": "EQUAL", "fieldName": "weekStartDate", "fieldValue": "2026-09-07"},
    {"compareType": "EQUAL", "fieldName": "tierIdentifier", "fieldValue": "T1"},
]


@pytest.fixture(scope="module")
def fake() -> Iterator[FinraFake]:
    with FinraFake(date(2026, 10, 2)) as service:
        service.fill(weeks=8)
        yield service


def ask(fake: FinraFake, body: Any, accept: str = "application/json", path: str = DATA, **more: Any) -> requests.Response:
    return requests.post(fake.url + path, json=body, headers={"Accept": accept}, timeout=DEADLINE, **more)


def test_a_page_says_how_much_there_is_and_paths_ignore_case(fake: FinraFake) -> None:
    reply = ask(fake, {"compareFilters": T1_WEEK}, path="/data/group/OTCMARKET/name/weeklysummary")
    assert reply.status_code == 200
    assert {name: reply.headers[name] for name in ("Record-Limit", "Record-Max-Limit", "Record-Offset")} == {
        "Record-Limit": "1000",
        "Record-Max-Limit": "5000",
        "Record-Offset": "0",
    }
    assert reply.headers["Response-Payload-Max-Size"] == "3mb"
    assert int(reply.headers["Record-Total"]) == len(reply.json()) == int(reply.headers["Total-Records-On-Page"])
    assert tuple(reply.json()[0]) == ORDER


def test_no_rows_is_204_without_body_or_content_type(fake: FinraFake) -> None:
    reply = ask(fake, {"compareFilters": [{**T1_WEEK[0], "fieldValue": "2026-09-08"}, T1_WEEK[1]]})
    assert (reply.status_code, reply.content, reply.headers.get("Content-Type")) == (204, b"", None)
    assert reply.headers["Record-Total"] == "0"


def test_an_unfiltered_query_begins_with_the_stray_partition(fake: FinraFake) -> None:
    rows = ask(fake, {"limit": 2}).json()
    assert {(row["weekStartDate"], row["tierIdentifier"]) for row in rows} == {("2023-11-06", "NMS")}


def test_sorting_without_both_partition_keys_is_refused_in_finras_words(fake: FinraFake) -> None:
    reply = ask(fake, {"compareFilters": T1_WEEK[:1], "sortFields": ["-lastUpdateDate"]})
    assert reply.status_code == 400
    assert reply.json()["message"] == (
        "Sorting is allowed only if all partitions keys are specified in EQUAL CompareFilter."
        "Partition keys missing or not using EQUAL CompareFilter: tierIdentifier"
    )
    assert set(reply.json()) == {"statusCode", "statusDescription", "requestId", "message", "dataRequest"}


REFUSED = [
    (
        "a shape it does not know",
        {"compareFilters": [{"compareType": "IN", "fieldName": "MPID", "fieldValues": []}]},
        "Unable to parse",
    ),
    ("a date in another form", {"compareFilters": [{**T1_WEEK[0], "fieldValue": "09/07/2026"}]}, "Invalid date field format"),
    ("an offset beyond the last", {"offset": 500_001}, "Offset"),
]


@pytest.mark.parametrize(("body", "says"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_it_refuses(fake: FinraFake, body: Any, says: str) -> None:
    reply = ask(fake, body)
    assert reply.status_code == 400
    assert says in reply.json()["message"]


def test_anything_but_json_asked_for_is_quoted_text(fake: FinraFake) -> None:
    for accept in ("*/*", "text/plain"):
        reply = ask(fake, {"compareFilters": T1_WEEK}, accept)
        assert reply.headers["Content-Type"] == "text/plain"
        assert reply.text.startswith('"totalWeeklyShareQuantity","issueSymbolIdentifier"')
        rows = list(csv.DictReader(io.StringIO(reply.text)))
        assert len(rows) == int(reply.headers["Record-Total"])
    reply = ask(fake, {"compareFilters": T1_WEEK, "delimiter": "|", "quoteValues": False, "limit": 3}, "text/plain")
    assert reply.text.startswith("totalWeeklyShareQuantity|issueSymbolIdentifier")


def test_filters_of_a_get_are_ignored(fake: FinraFake) -> None:
    reply = requests.get(f"{fake.url}{DATA}?limit=1&weekStartDate=2026-09-07", headers={"Accept": "application/json"}, timeout=DEADLINE)
    assert reply.json()[0]["weekStartDate"] == "2023-11-06"


def test_large_notionals_have_an_exponent(fake: FinraFake) -> None:
    text = ask(fake, {"compareFilters": T1_WEEK, "limit": 5000}).text
    exponents = [part.split(",")[0] for part in text.split('"totalNotionalSum":') if "E" in part.split(",")[0]]
    assert exponents
    assert all(float(number) >= 1e7 for number in exponents)


def test_the_partitions_are_newest_first_with_the_tiers_kept_aside(fake: FinraFake) -> None:
    found = requests.get(f"{fake.url}/partitions/group/otcMarket/name/weeklySummary", timeout=DEADLINE).json()
    pairs = [tuple(one["partitions"]) for one in found["availablePartitions"]]
    assert pairs[0] == ("2026-09-07", "T1")
    assert pairs[-1] == ("2023-11-06", "NMS")
    assert ("2026-08-24", "T2") in pairs
    assert ("2026-08-31", "T2") not in pairs
    assert ("2026-08-17", "NA") in pairs


def test_firm_rows_sum_to_symbol_rows_and_to_the_market(fake: FinraFake) -> None:
    rows = fake.rows(date(2026, 9, 7), "T1")
    for side in ("ATS", "OTC"):
        shares = {
            kind: sum(row["totalWeeklyShareQuantity"] for row in rows if row["summaryTypeCode"] == f"{side}_W_{kind}")
            for kind in ("SMBL_FIRM", "SMBL", "FIRM", "VOL_STATS")
        }
        assert len(set(shares.values())) == 1


def test_publications_and_revisions_follow_the_clock() -> None:
    with FinraFake(date(2026, 2, 13)) as fake:
        fake.fill(weeks=5)
        monday = date(2026, 1, 26)
        body = {"compareFilters": [{**T1_WEEK[0], "fieldValue": "2026-01-26"}, T1_WEEK[1]]}
        fake.revise(date(2026, 2, 24), monday, "T1", lambda row: row.update(totalWeeklyTradeCount=9))
        seen = []
        for day in ("2026-02-16", "2026-02-17", "2026-02-24"):  # Presidents' Day, the Tuesday after, the revision
            fake.today = date.fromisoformat(day)
            reply = ask(fake, body)
            seen.append(max(row["lastUpdateDate"] for row in reply.json()) if reply.content else None)
        assert seen == [None, "2026-02-17", "2026-02-24"]


def test_a_login_that_is_junk_is_ignored_until_one_is_wanted(fake: FinraFake) -> None:
    headers = {"Authorization": "Bearer None", "Accept": "application/json"}
    assert requests.post(fake.url + DATA, json={}, headers=headers, timeout=DEADLINE).status_code == 200
    fake.require_token = True
    try:
        assert requests.post(fake.url + DATA, json={}, headers=headers, timeout=DEADLINE).status_code == 401
    finally:
        fake.require_token = False


def test_the_token_endpoint_answers_400_to_a_wrong_secret(fake: FinraFake) -> None:
    url = f"{fake.url}/fip/rest/ews/oauth2/access_token?grant_type=client_credentials"
    assert requests.post(url, timeout=DEADLINE).json()["error_message"] == "Client credentials is required"
    wrong = requests.post(url, auth=("id", "no"), timeout=DEADLINE)
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_client")
    right = requests.post(url, auth=("id", "s3cret"), timeout=DEADLINE)
    assert right.json()["token_type"] == "Bearer"
    assert right.json()["expires_in"] == 43169


def test_the_archive_wants_one_time_filter_and_no_other() -> None:
    with FinraFake(date(2025, 9, 5)) as fake:
        fake.fill(weeks=6)
        fake.oldest_weekly = date(2026, 1, 5)
        path = "/data/group/otcMarket/name/weeklySummaryHistoric"
        week = {**T1_WEEK[0], "fieldValue": str(date(2025, 9, 1) - timedelta(weeks=4))}
        assert ask(fake, {"compareFilters": [week, T1_WEEK[1]]}, path=path).status_code == 200
        assert ask(fake, {"compareFilters": [T1_WEEK[1]]}, path=path).status_code == 400
        assert ask(fake, {"compareFilters": [week], "sortFields": ["-MPID"]}, path=path).status_code == 400
        assert ask(fake, {"compareFilters": [{**week, "fieldValue": "2025-08-05"}]}, path=path).status_code == 204
        whole = ask(fake, {"compareFilters": [week], "limit": 5000}, path=path).json()
        day = {"compareType": "EQUAL", "fieldName": "historicalWeek", "fieldValue": "2025-08-06"}
        assert len(ask(fake, {"compareFilters": [day], "limit": 5000}, path=path).json()) == len(whole)
        month = {"compareType": "EQUAL", "fieldName": "historicalMonth", "fieldValue": "2025-08"}
        assert len(ask(fake, {"compareFilters": [month], "limit": 5000}, path=path).json()) > len(whole)


def test_bodies_come_compressed(fake: FinraFake) -> None:
    assert ask(fake, {"limit": 5}).headers["Content-Encoding"] == "gzip"
    assert json.loads(ask(fake, {"limit": 5}).content)
