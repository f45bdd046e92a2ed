"""What is kept of the HTTP responses a content was made from, and of their bodies where these are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import shifted, tier, total
from stand_ins.finra_rows import Row
from support.schedules import schedule

from market_spine import clock
from market_spine import db as databases
from market_spine.app.context import Run
from market_spine.app.source.api import ApiSource
from market_spine.app.source.query import date_header
from market_spine.core import contents, responses
from market_spine.core.responses import Received, Response
from market_spine.db import Database, copy, migrations
from market_spine.operate import gaps, prune, verify
from market_spine.partition import NMS_TIER_1

FRIDAY = date(2026, 10, 2)
WEEK = date(2026, 9, 11)
FIRST = "finra.otc_transparency:NMS_TIER_1:2026-09-11:20261002"
OpenApi = Callable[..., ApiSource]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("Fri, 02 Oct 2026 14:00:07 GMT", "2026-10-02T14:00:07+00:00", id="as HTTP has it"),
        pytest.param("Fri, 02 Oct 2026 10:00:07 -0400", "2026-10-02T14:00:07+00:00", id="in another zone"),
        pytest.param("Fri, 02 Oct 2026 14:00:07", "2026-10-02T14:00:07+00:00", id="without a zone"),
        pytest.param("", None, id="missing"),
        pytest.param("2026-10-02T14:00:07Z", None, id="in another form"),
        pytest.param("Fri, 32 Oct 2026 14:00:07 GMT", None, id="a day that is none"),
    ],
)
def test_a_date_header_is_kept_in_utc(text: str, moment: str | None) -> None:
    assert date_header(text) == moment


@pytest.fixture
def open_api(open_api: OpenApi) -> OpenApi:
    """Of a partition the rows alone are asked for."""
    return partial(open_api, MARKET_SPINE_FIRM_TOTALS="off")


def run_one(db: Database, source: ApiSource, day: date = FRIDAY, **how: bool) -> None:
    result = schedule(db, source, day, weeks=[WEEK], tiers=(NMS_TIER_1,), sweeps=False, **how)
    assert result.exit_code == 0


def kept(db: Database, capture_id: str = FIRST, ingest_no: int = 1) -> list[Response]:
    return responses.of_content(db, capture_id, ingest_no)


def bodies(db: Database, received: list[Response]) -> list[bytes]:
    return [b"".join(contents.read_raw(db, one.content_sha256)) for one in received]


def count(db: Database) -> int:
    return int(db.execute("SELECT COUNT(*) FROM finra_otc_transparency_response").fetchone()[0])


def more_trades(row: Row) -> None:
    row["totalWeeklyTradeCount"] += 1


def test_a_row_for_each_response_that_the_content_was_made_from(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.page_max = 20  # 54 rows: three pages
    before = clock.stamp(clock.utc_now())
    run_one(db, open_api())
    received = kept(db)
    assert [(one.page_no, one.http_status, one.record_total, one.record_offset) for one in received] == [
        (1, 200, 54, 0), (2, 200, 54, 20), (3, 200, 54, 40),
    ]
    assert [one.finra_date for one in received] == [f"2026-10-02T14:00:0{n}+00:00" for n in (1, 2, 3)]
    assert len({one.request_id for one in received} | {one.content_sha256 for one in received}) == 6
    assert all(before <= one.received_at <= clock.stamp(clock.utc_now()) for one in received)
    assert {one.is_kept for one in received} == {0}
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_raw").fetchone()[0] == 1
    metadata = db.execute("SELECT metadata_json FROM finra_otc_transparency_version").fetchone()[0]
    assert json.loads(metadata)["request_id"] == received[0].request_id


def test_an_unchanged_partition_adds_none(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    run_one(db, open_api())
    run_one(db, open_api(), FRIDAY + timedelta(days=1))
    assert count(db) == 1


def test_a_replay_keeps_those_of_both_contents(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    run_one(db, open_api())
    fake.revise(FRIDAY, date(2026, 9, 7), "T1", more_trades)
    run_one(db, open_api())
    assert len(kept(db)) == len(kept(db, ingest_no=2)) == 1
    assert kept(db)[0].content_sha256 != kept(db, ingest_no=2)[0].content_sha256


@pytest.mark.parametrize("fault", [total(1), shifted], ids=["a total that moves", "rows that come twice"])
def test_of_a_content_that_was_fetched_twice_the_responses_are_those_it_was_made_from(
    db: Database, fake: FinraFake, open_api: OpenApi, fault: Callable[..., object]
) -> None:
    fake.fail(fault, when=tier("T1"), times=1, skip=0)  # type: ignore[arg-type]
    fake.page_max = 20
    run_one(db, open_api(keep_wire=True))
    received = kept(db)
    assert [one.page_no for one in received] == [1, 2, 3]
    rows = [row for body in bodies(db, received) for row in json.loads(body)]
    assert len({json.dumps(row, sort_keys=True) for row in rows}) == 54


def test_weeks_of_the_archive_have_theirs(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.oldest_weekly = date(2026, 9, 14)
    run_one(db, open_api(today=date(2028, 1, 7)))
    (received,) = kept(db)
    assert (received.http_status, received.record_offset) == (200, 0)


# --- Bodies -----------------------------------------------------------------------------------------------------------


def test_bodies_are_kept_under_their_own_hash_when_asked_for(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.page_max = 20
    run_one(db, open_api(keep_wire=True))
    received = kept(db)
    assert [(len(body), hashlib.sha256(body).hexdigest()) for body in bodies(db, received)] == [
        (one.size, one.content_sha256) for one in received
    ]
    assert {one.is_kept for one in received} == {1}
    assert list(verify.verify(db, deep=True)) == []


def test_prune_takes_responses_and_bodies_that_nothing_else_needs(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    run_one(db, open_api(keep_wire=True))
    fake.revise(date(2026, 10, 6), date(2026, 9, 7), "T1", more_trades)
    fake.today = date(2026, 10, 9)
    run_one(db, open_api(keep_wire=True), fake.today)
    run = Run(db, date(2027, 1, 8), clock.moment_of(date(2027, 1, 8)), "x")
    (pruned,) = prune.plan(run, 30)
    packed = db.execute(
        """
        SELECT SUM(LENGTH(r.content)) FROM finra_otc_transparency_raw r
        JOIN finra_otc_transparency_content c ON c.content_hash = r.content_hash WHERE c.capture_id = ?
        """,
        (FIRST,),
    ).fetchone()[0]
    assert pruned.bytes == packed
    prune.prune(run, 30, "space")
    assert (kept(db), count(db)) == ([], 1)
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_raw").fetchone()[0] == 2
    assert list(verify.verify(db, deep=True)) == []


def test_a_body_that_two_contents_share_outlives_the_first(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    source = open_api(keep_wire=True)
    run_one(db, source)
    with db.transaction():  # as if FINRA had sent the same bytes again
        (one,) = kept(db)
        same = Received(one.content_sha256, one.size, 200, "x", 1, 0, None, "2026-10-09T00:00:00+00:00", contents.packed_raw(db, one.content_sha256))
        responses.record(db, "another", 1, [same])
        prune._remove(db, prune.find_capture(db, FIRST))  # the capture alone, whatever rule would keep it
    assert bodies(db, responses.of_content(db, "another", 1))


def test_verify_names_a_kept_body_that_is_gone_and_one_that_is_damaged(
    db: Database, fake: FinraFake, open_api: OpenApi
) -> None:
    fake.page_max = 30
    run_one(db, open_api(keep_wire=True))
    first, second = (one.content_sha256 for one in kept(db))
    db.execute("DELETE FROM finra_otc_transparency_raw WHERE content_hash = ?", (first,))
    db.execute("UPDATE finra_otc_transparency_raw SET content = ? WHERE content_hash = ?", (b"x", second))
    faults = [str(fault) for fault in verify.verify(db)]
    assert [fault.split(":")[0] for fault in faults] == [f"blob {second[:16]}", "finra.otc_transparency"]
    assert f"its bytes {first[:16]} are gone" in faults[1]


def test_doctor_finds_responses_without_a_content_and_no_others(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    run_one(db, open_api(keep_wire=True))
    assert gaps.orphans(db) == []
    db.execute("UPDATE finra_otc_transparency_response SET capture_id = 'nobody'")
    (gap,) = gaps.orphans(db)
    assert gap.what == "finra_otc_transparency_response has rows of 1 captures that do not exist: nobody"
    assert gaps.remove_orphans(db) == 1
    assert (count(db), gaps.orphans(db)) == (0, [])


def test_a_copy_has_responses_bodies_and_daily_lists(db: Database, fake: FinraFake, open_api: OpenApi, tmp_path: Path) -> None:
    from market_spine.app import daily_list
    from market_spine.core import daily_lists

    source = open_api(keep_wire=True)
    run_one(db, source)
    daily_list.take(Run(db, FRIDAY, clock.moment_of(FRIDAY), "x"), source)
    there = databases.connect(str(tmp_path / "there.db"))
    copy.copy(db, there, clock.utc_now())
    assert kept(there) == kept(db)
    assert bodies(there, kept(there)) == bodies(db, kept(db))
    assert daily_lists.list_all(there) == daily_lists.list_all(db) != []
    assert list(verify.verify(there, deep=True)) == []
    there.close()


def test_a_content_that_is_carried_over_to_a_later_day_has_its_responses_there(
    db: Database, fake: FinraFake, open_api: OpenApi
) -> None:
    run_one(db, open_api())
    fake.revise(FRIDAY, date(2026, 9, 7), "T1", more_trades)
    run_one(db, open_api(), only="ingest")  # type: ignore[arg-type]
    run_one(db, open_api(), FRIDAY + timedelta(days=1))
    carried = kept(db, FIRST.replace("20261002", "20261003"), 2)
    assert [one._replace(capture_id=FIRST) for one in carried] == kept(db, ingest_no=2) != []


def test_a_store_of_the_schema_before_is_upgraded_and_says_that_nothing_was_recorded(
    new_target: str, fake: FinraFake, open_api: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = databases.connect(new_target)
    with monkeypatch.context() as earlier:
        known = migrations.migrations(db.engine)
        earlier.setattr(migrations, "migrations", lambda engine: tuple(m for m in known if m.number < 9))
        migrations.apply(db, clock.utc_now())
    assert not db.has_table("finra_otc_transparency_response")
    migrations.apply(db, clock.utc_now())
    assert kept(db) == []
    run_one(db, open_api())
    assert len(kept(db)) == 1
    db.close()
