"""The daily list: asked for with proof, kept as one canonical document, stored when it is new; a failure is one warning."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta

import pytest
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import daily, foreign_day, html, other_date, status, total, without
from stand_ins.finra_rows import DAILY_ORDER, Row, daily_rows

from market_spine import clock
from market_spine.app import daily_list
from market_spine.app.context import Run
from market_spine.app.daily_list import Taken
from market_spine.app.source import Offer
from market_spine.app.source.api import ApiSource
from market_spine.app.source.daily_list import document
from market_spine.core import contents, daily_lists, responses
from market_spine.core.captures import Version
from market_spine.core.daily_lists import Listed
from market_spine.db import Database
from market_spine.errors import SourceError
from market_spine.outcome import Reason, Status

FRIDAY = date(2026, 10, 2)
FIRST = FRIDAY - timedelta(days=45)
OpenApi = Callable[..., ApiSource]


def rows_of(first: date, last: date) -> list[Row]:
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [row for day in days for row in daily_rows(day)]


def rows_in(content: bytes) -> list[Row]:
    return sorted(json.loads(content)["rows"], key=lambda row: int(row["OTCDailyListID"]))


def take(db: Database, source: ApiSource, day: date = FRIDAY, *, dry: bool = False) -> Taken:
    return daily_list.take(Run(db, day, clock.moment_of(day), f"run-{day}", dry=dry), source)


# --- What the source gives --------------------------------------------------------------------------------------------


def test_the_list_comes_whole_in_one_request_and_keeps_every_field(fake: FinraFake, open_api: OpenApi) -> None:
    offer = open_api().daily_list(FIRST, FRIDAY)
    assert rows_in(offer.content) == rows_of(FIRST, FRIDAY)
    assert list(rows_in(offer.content)[0]) == sorted(DAILY_ORDER)
    assert len(fake.asked(daily)) == len(offer.responses) == 1
    assert offer.responses[0].record_total == len(rows_of(FIRST, FRIDAY)) == offer.metadata["rows"]


@pytest.mark.parametrize("page_rows", [1, 2, 3, 7, 50, 101])
def test_whatever_pages_it_comes_in_the_document_is_the_same(fake: FinraFake, open_api: OpenApi, page_rows: int) -> None:
    whole = open_api().daily_list(FIRST, FRIDAY)
    fake.page_max, fake.restless = page_rows, True  # over several days the order is another one for each request
    offer = open_api().daily_list(FIRST, FRIDAY)
    assert offer.content == whole.content
    assert {one.content_sha256 for one in offer.responses}.isdisjoint({one.content_sha256 for one in whole.responses})
    sorted_days = [seen for seen in fake.asked(daily) if seen.body.get("sortFields")]
    assert bool(sorted_days) == (page_rows < 3)  # a day has three rows: only then is it asked for alone, and in order


def test_a_document_is_sorted_and_its_numbers_are_plain() -> None:
    from decimal import Decimal

    rows = [{"b": Decimal("10.000000"), "a": 'one "a"'}, {"a": None, "b": Decimal("1.5E-3"), "c": "é"}]
    text = document(rows).decode()
    assert text == document(rows[::-1]).decode()
    assert text.splitlines()[1:-1] == ['{"a":"one \\"a\\"","b":10},', '{"a":null,"b":0.0015,"c":"é"}']
    assert json.loads(text)["dataset"] == "otcMarket/otcDailyList"


SPOILED = [
    pytest.param(status(503), "503", id="the service is down"),
    pytest.param(html, "text/html", id="a web page"),
    pytest.param(total(1), "number of rows changed|of 1 rows", id="a total that does not add up"),
    pytest.param(without("Record-Total"), "Record-Total", id="no total"),
    pytest.param(foreign_day, "got a row of 2018-12-18", id="another day's row"),
]


@pytest.mark.parametrize(("fault", "words"), SPOILED)
def test_what_does_not_add_up_is_refused_after_asking_twice(
    fake: FinraFake, open_api: OpenApi, fault: Callable[..., object], words: str
) -> None:
    fake.fail(fault, when=daily)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=words):
        open_api().daily_list(FIRST, FRIDAY)


def test_a_total_that_fits_no_more_is_asked_for_once_more(fake: FinraFake, open_api: OpenApi) -> None:
    fake.fail(total(1), when=daily, times=1)
    offer = open_api().daily_list(FIRST, FRIDAY)
    assert (rows_in(offer.content), len(offer.responses)) == (rows_of(FIRST, FRIDAY), 1)
    assert len(fake.asked(daily)) == 4  # all, two halves, and all again


def test_a_list_without_any_row_is_no_list(fake: FinraFake, open_api: OpenApi) -> None:
    fake.daily_days = 0
    with pytest.raises(SourceError, match="no row of otcDailyList from 2026-08-18 to 2026-10-02"):
        open_api().daily_list(FIRST, FRIDAY)


# --- What becomes of it -----------------------------------------------------------------------------------------------


def listed(day: date, content: bytes = b"old", number: int = 1) -> Listed:
    import hashlib

    return Listed(day.isoformat(), "x", Version(number, hashlib.sha256(content).hexdigest(), "", 1, {}))


DECISIONS = [
    pytest.param(None, (Reason.NEW, 1), id="the first list"),
    pytest.param(listed(FRIDAY - timedelta(days=7)), (Reason.CHANGED, 1), id="other content on a later day"),
    pytest.param(listed(FRIDAY), (Reason.CHANGED, 2), id="other content on the same day"),
    pytest.param(listed(FRIDAY - timedelta(days=7), b"new"), (Reason.UNCHANGED, 1), id="the same content on a later day"),
    pytest.param(listed(FRIDAY, b"new", 3), (Reason.UNCHANGED, 4), id="the same content on the same day"),
]


@pytest.mark.parametrize(("newest", "decided"), DECISIONS)
def test_what_is_decided_of_a_list(newest: Listed | None, decided: tuple[Reason, int]) -> None:
    decision = daily_list.decide(Offer(b"new", "x"), newest, FRIDAY)
    assert (decision.reason, decision.ingest_no) == decided


@pytest.mark.parametrize(
    ("newest", "first"),
    [
        pytest.param(None, date(2026, 8, 18), id="a new store"),
        pytest.param(date(2026, 9, 25), date(2026, 8, 18), id="last week"),
        pytest.param(date(2026, 8, 18), date(2026, 8, 18), id="the first day of the window"),
        pytest.param(date(2026, 8, 17), date(2026, 8, 17), id="a day before the window"),
        pytest.param(date(2026, 6, 5), date(2026, 6, 5), id="a summer without runs"),
    ],
)
def test_it_is_asked_from_the_window_on_and_from_the_last_list_on(newest: date | None, first: date) -> None:
    assert daily_list.first_day(FRIDAY, listed(newest) if newest else None) == first


def test_a_list_is_stored_with_its_manifest_row_and_its_responses(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    taken = take(db, open_api())
    assert (taken.status, taken.reason, taken.rows) == (Status.DONE, "NEW", len(rows_of(FIRST, FRIDAY)))
    newest = daily_lists.newest(db)
    assert newest is not None
    assert (newest.day, newest.capture_id) == ("2026-10-02", "finra.otc_daily_list:20261002")
    assert rows_in(b"".join(contents.read_raw(db, newest.version.content_hash))) == rows_of(FIRST, FRIDAY)
    kept = db.execute("SELECT domain, stage, stage_rank, partition_key, row_count FROM core_manifest").fetchall()
    assert [tuple(row) for row in kept] == [("finra.otc_daily_list", "RAW", 1, '{"day": "2026-10-02"}', taken.rows)]
    (response,) = responses.of_content(db, newest.capture_id, 1)
    assert (response.finra_date, response.http_status, response.is_kept) == ("2026-10-02T14:00:01+00:00", 200, 0)


def test_an_unchanged_list_is_not_stored_again(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    take(db, open_api())
    assert take(db, open_api()).status is Status.SKIPPED
    assert len(daily_lists.list_all(db)) == 1


def test_another_list_of_the_same_day_stands_beside_the_first(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    take(db, open_api())
    fake.list_more(daily_rows(FRIDAY)[0] | {"OTCDailyListID": 1, "commentText": "late"})
    assert take(db, open_api()).reason == "CHANGED"
    every = daily_lists.list_all(db)
    assert [(one.day, one.version.ingest_no) for one in every] == [("2026-10-02", 1), ("2026-10-02", 2)]
    sizes = [len(rows_in(b"".join(contents.read_raw(db, one.version.content_hash)))) for one in every]
    assert sizes[1] == sizes[0] + 1


def test_as_of_a_day_the_list_is_the_newest_one_until_then(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    for weeks in range(3):
        fake.today = FRIDAY + timedelta(weeks=weeks)
        take(db, open_api(), fake.today)
    days = [FRIDAY + timedelta(days=n) for n in (-1, 0, 6, 7, 400)]
    found = [daily_lists.newest(db, day) for day in days]
    assert [one and one.day for one in found] == [None, "2026-10-02", "2026-10-02", "2026-10-09", "2026-10-16"]


def test_days_that_left_the_window_while_no_run_was_made_are_asked_for(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.daily_days = 400
    take(db, open_api())
    fake.today = FRIDAY + timedelta(weeks=20)
    taken = take(db, open_api(), fake.today)
    assert taken.rows == len(rows_of(FRIDAY, fake.today))


# --- When it fails ----------------------------------------------------------------------------------------------------


def anomalies(db: Database) -> list[tuple[object, ...]]:
    rows = db.execute(
        "SELECT severity, category, partition_key, seen_count, resolved_at IS NOT NULL FROM core_anomalies ORDER BY id"
    ).fetchall()
    return [(*row[:4], bool(row[4])) for row in rows]


def test_a_failure_is_one_warning_that_the_next_list_resolves(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.fail(status(503), when=daily)
    assert take(db, open_api()).status is Status.WARNING
    assert take(db, open_api(), FRIDAY + timedelta(days=7)).status is Status.WARNING
    assert anomalies(db) == [("WARN", "DAILY_LIST_MISSING", '{"day": "2026-10-02"}', 2, False)]
    fake.heal()
    assert take(db, open_api(), FRIDAY + timedelta(days=8)).status is Status.DONE
    assert anomalies(db) == [("WARN", "DAILY_LIST_MISSING", '{"day": "2026-10-02"}', 2, True)]


def test_an_unchanged_list_resolves_it_too(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    take(db, open_api())
    fake.fail(status(503), when=daily)
    take(db, open_api())
    fake.heal()
    take(db, open_api())
    assert [found[-1] for found in anomalies(db)] == [True]


def test_a_fault_of_the_program_is_a_warning_too(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    source = open_api()
    source.daily_list = lambda first, last: 1 // 0  # type: ignore[method-assign,assignment,return-value]
    taken = take(db, source)
    assert (taken.status, "ZeroDivisionError" in taken.message) == (Status.WARNING, True)


@pytest.mark.parametrize("fault", [None, status(503)], ids=["captured", "missing"])
def test_a_dry_run_says_the_same_and_writes_nothing(
    db: Database, fake: FinraFake, open_api: OpenApi, fault: Callable[..., object] | None
) -> None:
    if fault:
        fake.fail(fault, when=daily)  # type: ignore[arg-type]
    dry = take(db, open_api(), dry=True)
    assert db.execute("SELECT COUNT(*) FROM core_manifest").fetchone()[0] == 0
    assert anomalies(db) == []
    assert dry == take(db, open_api())


@pytest.mark.parametrize("text", ["", "yesterday", "Fri, 99 Oct 2026 14:00:00 GMT"])
def test_an_odd_clock_of_finra_is_no_date(fake: FinraFake, open_api: OpenApi, text: str) -> None:
    fake.fail(other_date(text), when=daily)
    assert open_api().daily_list(FIRST, FRIDAY).responses[0].finra_date is None
