"""The four phases on FINRA's API: what a Friday looks like, what is asked when nothing changed, what comes late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta

import pytest
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import cut, data, html, status, tier, total
from stand_ins.finra_rows import Row
from support.schedules import ingested, open_anomalies, schedule

from market_spine.app.source.api import ApiSource
from market_spine.calendar.tiers import CODE_OF_TIER
from market_spine.db import Database
from market_spine.errors import ConfigurationError
from market_spine.outcome import Phase, Status
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS, Partition

pytestmark = pytest.mark.one_engine

FRIDAY = date(2026, 10, 2)
WHOLE = date(2026, 8, 28)  # the one week of the window that has all its tiers
T1_WEEK = date(2026, 9, 11)

OpenApi = Callable[..., ApiSource]


def more_trades(row: Row) -> None:
    row["totalWeeklyTradeCount"] += 1


def captures(db: Database) -> list[str]:
    rows = db.execute("SELECT capture_id FROM finra_otc_transparency_capture ORDER BY capture_key").fetchall()
    return [row[0].partition(":")[2] for row in rows]


def test_on_a_friday_what_is_due_comes_and_nothing_fails(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    result = schedule(db, open_api(), FRIDAY)
    assert result.exit_code == 0
    assert result.count(Phase.INGEST, Status.DONE) == 5  # three weeks of Tier 1, one of each other
    assert result.count(Phase.INGEST, Status.AWAITING) == 13
    assert not [outcome for outcome in result.outcomes if outcome.status is Status.FAILED]
    assert [outcome.week_ending for outcome in result.of(Phase.READINESS) if outcome.status is Status.READY] == [WHOLE]
    assert {found[0] for found in open_anomalies(db)} <= {"WARN"}


def test_every_oddity_of_the_real_data_becomes_a_row_and_only_the_blank_symbol_a_reject(
    db: Database, fake: FinraFake, open_api: OpenApi
) -> None:
    schedule(db, open_api(), FRIDAY, weeks=[WHOLE])
    rows = db.execute(
        "SELECT tier, symbol, product_type, issue_name, venue_class, venue_name, total_shares "
        "FROM finra_otc_transparency_normalized ORDER BY tier, symbol, product_type, issue_name, venue_class, venue_name"
    ).fetchall()
    tier_1 = [tuple(row[1:]) for row in rows if row[0] == NMS_TIER_1]
    assert len(tier_1) == 53
    assert [row[2] for row in tier_1 if row[0] == "RNA"] == [
        "Atrium Therapeutics, Inc. Common Stock",
        "Avidity Biosciences, Inc. Common Stock",
    ]
    assert [row[1] for row in tier_1 if row[0] == "FITB"] == ["CTS", "UTP"]
    assert [row[5] for row in tier_1 if row[0] in ("ABCW", "ABCw")] in ([1, 900], [900, 1])
    assert {row[5] for row in tier_1 if row[0] == "FRAC"} == {89697.17156, 0.000001}
    assert [row[4] for row in tier_1 if row[0] == "BRK.B" and row[3] == "OTC"] == ["CITADEL SECURITIES LLC", "De Minimis Firms"]
    assert {row[0] for row in rows if row[1] == "MOVED"} == set(TIERS)
    rejects = db.execute("SELECT reason FROM core_rejects").fetchall()
    assert [row[0] for row in rejects] == ["blank symbol"] * 3


def test_a_winter_of_fridays_with_two_holiday_mondays_exits_0(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.today = date(2026, 1, 2)
    fake.fill(weeks=10, rows=10, tiers=("T1", "OTCE"), ahead=9)
    source = open_api()
    for friday in (date(2026, 1, 2) + timedelta(weeks=n) for n in range(9)):
        fake.today = friday
        window = [friday - timedelta(weeks=n) for n in (2, 3, 4, 5)]
        result = schedule(db, source, friday, tiers=(NMS_TIER_1, OTC), weeks=window, sweeps=False)
        assert result.exit_code == 0, friday
        assert result.count(Phase.INGEST, Status.FAILED, Status.LATE) == 0


def test_when_nothing_changed_a_run_makes_at_most_two_requests_a_partition(
    db: Database, fake: FinraFake, open_api: OpenApi
) -> None:
    schedule(db, open_api(), FRIDAY)
    fake.seen.clear()
    fake.require_token = True
    result = schedule(db, open_api(**fake.login), FRIDAY + timedelta(days=1))
    assert result.count(Phase.INGEST, Status.SKIPPED) == 5
    assert len(fake.seen) <= 2 * 18
    assert len(fake.asked(data)) <= 18 + 1  # one each, and the sweep


def test_only_what_has_its_turn_takes_a_request_a_page(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.page_max = 20  # 54 rows of firms: three pages
    schedule(db, open_api(), FRIDAY)
    fake.seen.clear()
    later = FRIDAY + timedelta(days=1)
    assert schedule(db, open_api(), later).count(Phase.INGEST, Status.SKIPPED) == 5
    asked = Counter((seen.week, seen.tier) for seen in fake.asked())
    weeks = [(week, NMS_TIER_1) for week in (T1_WEEK, date(2026, 9, 4), WHOLE)]
    held = [Partition(*pair) for pair in (*weeks, (WHOLE, NMS_TIER_2), (WHOLE, OTC))]
    assert sorted(asked[str(p.monday), CODE_OF_TIER[p.tier]] for p in held) == [1, 1, 1, 3, 3]


def test_what_finra_calls_unchanged_is_not_downloaded(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    schedule(db, open_api(), FRIDAY)
    fake.seen.clear()
    schedule(db, open_api(), FRIDAY + timedelta(days=1), weeks=[WHOLE, T1_WEEK], rehash_share=0)
    held = [seen for seen in fake.asked() if (seen.week, seen.tier) not in {("2026-09-07", "T2"), ("2026-09-07", "OTCE")}]
    assert [seen.body["limit"] for seen in held] == [1] * 4
    message = db.execute("SELECT message FROM core_anomalies WHERE category = 'UNCHANGED' ORDER BY id").fetchone()[0]
    assert message == "Skipped: Source unchanged since 2026-09-14 00:00"


def test_a_revision_in_the_window_is_taken(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    schedule(db, open_api(), FRIDAY)
    fake.revise(date(2026, 10, 6), date(2026, 9, 7), "T1", more_trades)
    fake.today = date(2026, 10, 9)
    result = schedule(db, open_api(), date(2026, 10, 9), rehash_share=0)
    assert ingested(result)[f"{T1_WEEK} / {NMS_TIER_1}"] == (Status.DONE, "CHANGED")
    assert ingested(result)[f"{date(2026, 9, 4)} / {NMS_TIER_1}"] == (Status.SKIPPED, "unchanged")


def test_a_row_deleted_without_a_date_is_noticed_at_once(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    schedule(db, open_api(), FRIDAY)
    fake.rows(date(2026, 9, 7), "T1").pop(0)
    result = schedule(db, open_api(), FRIDAY + timedelta(days=1), rehash_share=0)
    assert ingested(result)[f"{T1_WEEK} / {NMS_TIER_1}"] == (Status.DONE, "CHANGED")


# --- The sweep --------------------------------------------------------------------------------------------------------


@pytest.fixture
def history(db: Database, fake: FinraFake, open_api: OpenApi) -> Callable[[date], None]:
    """Weekly runs up to a Friday, from FRIDAY on, with FINRA publishing as it does."""
    fake.fill(weeks=0, ahead=14)

    def run_to(day: date) -> None:
        friday = FRIDAY
        while friday <= day:
            fake.today = friday
            assert schedule(db, open_api(), friday, tiers=(NMS_TIER_1,)).exit_code == 0
            friday += timedelta(weeks=1)

    return run_to


def test_a_revision_outside_the_window_is_found_and_its_week_made_again(
    db: Database, fake: FinraFake, open_api: OpenApi, history: Callable[[date], None]
) -> None:
    history(date(2026, 11, 13))
    fake.revise(date(2026, 11, 17), date(2026, 8, 24), "T1", more_trades)
    fake.today = date(2026, 11, 20)
    fake.seen.clear()
    dry = schedule(db, open_api(), fake.today, tiers=(NMS_TIER_1,), dry=True)
    (asked,) = (seen.body for seen in fake.asked() if "dateRangeFilters" in seen.body)
    assert asked["dateRangeFilters"][0]["startDate"] == "2026-11-13"  # the last sweep
    weeks = {one["compareType"]: one["fieldValue"] for one in asked["compareFilters"]}
    assert weeks == {"GTE": "2026-08-24", "LTE": "2026-10-05"}  # from the oldest week held to the last before the window
    result = schedule(db, open_api(), fake.today, tiers=(NMS_TIER_1,))
    assert ingested(result)[f"{WHOLE} / {NMS_TIER_1}"] == (Status.DONE, "REVISED")
    assert ingested(dry) == ingested(result)
    assert WHOLE in [outcome.week_ending for outcome in result.of(Phase.READINESS)]
    again = schedule(db, open_api(), fake.today, tiers=(NMS_TIER_1,))
    assert again.count(Phase.INGEST, Status.DONE) == 0


def test_without_the_sweep_it_stays_unseen(
    db: Database, fake: FinraFake, open_api: OpenApi, history: Callable[[date], None]
) -> None:
    history(date(2026, 11, 13))
    fake.revise(date(2026, 11, 17), date(2026, 8, 24), "T1", more_trades)
    fake.today = date(2026, 11, 20)
    result = schedule(db, open_api(), fake.today, tiers=(NMS_TIER_1,), sweeps=False)
    assert f"{WHOLE} / {NMS_TIER_1}" not in ingested(result)


def test_a_sweep_that_failed_is_a_warning_and_is_made_up_for(
    db: Database, fake: FinraFake, open_api: OpenApi, history: Callable[[date], None]
) -> None:
    history(date(2026, 11, 13))
    fake.revise(date(2026, 11, 17), date(2026, 8, 24), "T1", more_trades)
    fake.today = date(2026, 11, 20)
    fake.fail(status(503), when=lambda seen: "dateRangeFilters" in seen.body)
    result = schedule(db, open_api(), fake.today, tiers=(NMS_TIER_1,))
    assert result.exit_code == 0
    assert result.of(Phase.INGEST)[0].category == "SWEEP_FAILED"
    assert ("WARN", "SWEEP_FAILED") in [found[:2] for found in open_anomalies(db)]
    fake.heal()
    fake.today = date(2026, 11, 27)
    result = schedule(db, open_api(), fake.today, tiers=(NMS_TIER_1,))
    assert ingested(result)[f"{WHOLE} / {NMS_TIER_1}"] == (Status.DONE, "REVISED")
    assert "SWEEP_FAILED" not in [found[1] for found in open_anomalies(db)]


def test_a_revised_partition_that_failed_is_asked_for_again_though_it_has_left_every_window(
    db: Database, fake: FinraFake, open_api: OpenApi, history: Callable[[date], None]
) -> None:
    history(date(2026, 11, 13))
    fake.revise(date(2026, 11, 17), date(2026, 8, 24), "T1", more_trades)
    fake.today = date(2026, 11, 20)
    fake.fail(status(503), when=lambda seen: seen.week == "2026-08-24")
    assert schedule(db, open_api(), fake.today, tiers=(NMS_TIER_1,)).exit_code == 1
    fake.heal()
    fake.today = date(2026, 12, 4)
    result = schedule(db, open_api(), fake.today, tiers=(NMS_TIER_1,))
    assert ingested(result)[f"{WHOLE} / {NMS_TIER_1}"] == (Status.DONE, "REVISED")


def test_a_partition_published_after_it_left_the_window_is_found(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.fill(weeks=0, ahead=2)
    for row in fake.rows(date(2026, 8, 31), "T2"):
        row["initialPublishedDate"] = row["lastUpdateDate"] = "2026-10-14"  # nine days after it was due
    assert schedule(db, open_api(), FRIDAY).exit_code == 0
    fake.today = date(2026, 10, 9)
    missed = schedule(db, open_api(), fake.today)
    assert ingested(missed)[f"2026-09-04 / {NMS_TIER_2}"][0] is Status.FAILED
    fake.today = date(2026, 10, 16)
    assert ingested(schedule(db, open_api(), fake.today))[f"2026-09-04 / {NMS_TIER_2}"] == (Status.DONE, "NEW")


# --- Faults -----------------------------------------------------------------------------------------------------------


def test_one_tier_down_fails_alone_and_is_well_again_by_itself(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.fail(status(503), when=tier("T2"))
    result = schedule(db, open_api(), FRIDAY)
    assert result.exit_code == 1
    assert {outcome.where for outcome in result.outcomes if outcome.status is Status.FAILED} == {f"{WHOLE} / {NMS_TIER_2}"}
    assert result.count(Phase.INGEST, Status.DONE) == 4
    errors = [found for found in open_anomalies(db) if found[0] == "ERROR"]
    assert errors == [("ERROR", "SOURCE_UNAVAILABLE", Partition(WHOLE, NMS_TIER_2).key)]
    fake.heal()
    assert schedule(db, open_api(), FRIDAY + timedelta(days=1)).exit_code == 0
    assert [found for found in open_anomalies(db) if found[0] == "ERROR"] == []
    note = db.execute("SELECT resolution_note FROM core_anomalies WHERE severity = 'ERROR'").fetchone()[0]
    assert note == "ingested as finra.otc_transparency:NMS_TIER_2:2026-08-28:20261003"


def test_a_service_that_is_down_altogether_is_critical(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    fake.fail(status(503))
    result = schedule(db, open_api(), FRIDAY)
    assert result.exit_code == 2
    assert result.count(Phase.INGEST, Status.FAILED) == 5


SPOILED = [("a web page", html), ("a compression that breaks off", cut("gzip")), ("a total that moves", total(1))]


@pytest.mark.parametrize("fault", [s[1] for s in SPOILED], ids=[s[0] for s in SPOILED])
def test_nothing_partial_is_stored(db: Database, fake: FinraFake, open_api: OpenApi, fault: Callable[..., object]) -> None:
    fake.page_max = 20
    fake.fail(fault, when=lambda seen: seen.tier == "T1" and seen.offset > 0)  # type: ignore[arg-type]
    result = schedule(db, open_api(), FRIDAY, weeks=[WHOLE])
    assert result.exit_code == 1
    assert captures(db) == ["NMS_TIER_2:2026-08-28:20261002", "OTC:2026-08-28:20261002"]
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_raw").fetchone()[0] == 2 * 2  # each with its firm totals


def test_a_refused_credential_ends_the_run(db: Database, fake: FinraFake, open_api: OpenApi) -> None:
    source = open_api(**{**fake.login, "MARKET_SPINE_FINRA_CLIENT_SECRET": "no"})
    with pytest.raises(ConfigurationError, match="Invalid Credentials"):
        schedule(db, source, FRIDAY)
    assert len(fake.seen) == 1
