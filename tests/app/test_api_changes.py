"""What FINRA changes without saying so: every partition has its turn, and a change found in one tier is looked for in the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import status
from stand_ins.finra_rows import Row
from support.schedules import ingested, schedule

from market_spine import clock
from market_spine.app.context import Run
from market_spine.app.scheduler import Result
from market_spine.app.source.api import ApiSource
from market_spine.db import Database
from market_spine.operate import rollback
from market_spine.outcome import Phase, Reason, Status
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, Partition, weeks_back

pytestmark = pytest.mark.one_engine

FRIDAY = date(2026, 10, 2)
WHOLE = date(2026, 8, 28)  # the one week of the first window that has all its tiers
MONDAY = WHOLE - timedelta(days=4)
CODE = {NMS_TIER_1: "T1", NMS_TIER_2: "T2", OTC: "OTCE"}

OpenApi = Callable[..., ApiSource]
OnFriday = Callable[..., Result]


@pytest.fixture
def on_friday(db: Database, fake: FinraFake, open_api: OpenApi) -> OnFriday:
    """A weekly run so many weeks after the first Friday, while FINRA publishes as it does."""
    fake.fill(weeks=0, ahead=16, rows=12)

    def run(weeks_later: int, **options: object) -> Result:
        fake.today = FRIDAY + timedelta(weeks=weeks_later)
        return schedule(db, open_api(), fake.today, **options)  # type: ignore[arg-type]

    return run


def rename(row: Row) -> None:
    row["issueName"] = "Renamed without a date, Inc."


def more_shares(row: Row) -> None:
    row["totalWeeklyShareQuantity"] += 1000


def fewer_shares(row: Row) -> None:
    row["totalWeeklyShareQuantity"] -= 1000


def shares_of(db: Database, symbol: str, tier: str) -> list[float]:
    sql = (
        "SELECT total_shares FROM finra_otc_transparency_symbol_summary_latest WHERE week_ending = ? AND symbol = ? AND tier = ?"
    )
    return [float(row[0]) for row in db.execute(sql, (WHOLE.isoformat(), symbol, tier))]


def when_found(on_friday: OnFriday, where: str, weeks: range) -> int | None:
    """In which week's run the partition is taken anew."""
    for n in weeks:
        result = on_friday(n)
        assert result.exit_code == 0, n
        if ingested(result).get(where, (None, None))[0] is Status.DONE:
            return n
    return None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what is asked of FINRA does not depend on it
@pytest.mark.parametrize(("tier", "changed_in_week"), [(NMS_TIER_1, 3), (NMS_TIER_2, 0), (OTC, 0), (OTC, 8)])
def test_an_undated_change_is_found_within_four_runs(
    fake: FinraFake, on_friday: OnFriday, tier: str, changed_in_week: int
) -> None:
    for n in range(changed_in_week + 1):
        assert on_friday(n).exit_code == 0
    rename(fake.rows(MONDAY, CODE[tier])[0])
    found = when_found(on_friday, f"{WHOLE} / {tier}", range(changed_in_week + 1, changed_in_week + 5))
    assert found is not None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("captures", [False, True], ids=["compared what is stored", "captured and withdrawn"])
def test_what_a_run_of_a_mistyped_year_compared_has_its_turn_within_four_runs(
    db: Database, fake: FinraFake, open_api: OpenApi, on_friday: OnFriday, captures: bool
) -> None:
    on_friday(0)
    if captures:
        fake.revise(FRIDAY, MONDAY, "OTCE", more_shares)
    mistyped = FRIDAY.replace(year=2126)
    schedule(db, open_api(), mistyped, weeks=weeks_back(6, FRIDAY), rehash_share=1)
    if captures:
        fake.revise(FRIDAY, MONDAY, "OTCE", fewer_shares)
        rollback.withdraw_future(Run(db, FRIDAY, clock.moment_of(FRIDAY), "withdraws"), "a typing error")
    rename(fake.rows(MONDAY, "OTCE")[0])
    assert when_found(on_friday, f"{WHOLE} / {OTC}", range(1, 5)) is not None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_withdrawn_week_without_other_data_takes_an_undated_change_in_the_next_run(
    db: Database, fake: FinraFake, on_friday: OnFriday
) -> None:
    on_friday(0)
    rollback.roll_back(Run(db, FRIDAY, clock.moment_of(FRIDAY), "withdraws"), WHOLE, [OTC], "wrong figures")
    where = f"{WHOLE} / {OTC}"
    unchanged = on_friday(1, rehash_share=0)
    assert (unchanged.exit_code, ingested(unchanged)[where][0]) == (1, Status.FAILED)
    more_shares(fake.rows(MONDAY, "OTCE")[0])  # neither its date nor its number of rows says so
    corrected = on_friday(2, rehash_share=0)
    assert (corrected.exit_code, ingested(corrected)[where][0]) == (0, Status.DONE)


@pytest.mark.parametrize(("left", "right"), [(NMS_TIER_1, NMS_TIER_2), (NMS_TIER_2, NMS_TIER_1)], ids=["up", "down"])
def test_a_symbol_that_moves_between_tiers_is_never_counted_twice(
    db: Database, fake: FinraFake, on_friday: OnFriday, left: str, right: str
) -> None:
    on_friday(0)
    shares = sum(shares_of(db, "T00000", NMS_TIER_1))
    fake.move("T00000", MONDAY, CODE[left], CODE[right])
    for n in range(1, 5):
        result = on_friday(n)
        taken = {where for where, how in ingested(result).items() if how[1] in (Reason.CHANGED, Reason.REVISED)}
        assert taken in (set(), {f"{WHOLE} / {left}", f"{WHOLE} / {right}"})
        if taken:
            break
    assert shares_of(db, "T00000", left) == []
    assert shares_of(db, "T00000", right) == [2 * shares]


@pytest.mark.parametrize("weeks_later", [0, 1], ids=["in the window", "outside it"])
def test_a_change_in_one_tier_has_the_others_compared_in_the_same_run(
    fake: FinraFake, on_friday: OnFriday, weeks_later: int
) -> None:
    on_friday(0)
    rename(fake.rows(MONDAY, "T2")[0])  # neither its date nor its number of rows says so
    fake.revise(FRIDAY, MONDAY, "OTCE", more_shares)
    dry, run = (on_friday(weeks_later, rehash_share=0, dry=dry) for dry in (True, False))
    assert ingested(dry) == ingested(run)
    taken = {outcome.tier for outcome in run.of(Phase.INGEST) if outcome.reason in (Reason.CHANGED, Reason.REVISED)}
    assert taken == {NMS_TIER_2, OTC}
    assert sum(outcome.where == f"{WHOLE} / {NMS_TIER_1}" for outcome in run.of(Phase.INGEST)) == 1


def test_what_a_run_did_not_come_to_is_compared_by_the_next_one(fake: FinraFake, on_friday: OnFriday) -> None:
    """The change in one tier is stored, and the run ends before the others are compared: the store shows it, not a memory."""
    on_friday(0)
    rename(fake.rows(MONDAY, "T2")[0])
    fake.revise(FRIDAY, MONDAY, "OTCE", more_shares)
    fake.fail(status(503), when=lambda seen: seen.is_data and seen.tier == "T2")
    on_friday(1, rehash_share=0)
    fake.heal()
    run = on_friday(2, rehash_share=0)
    assert {o.where for o in run.of(Phase.INGEST) if o.reason in (Reason.CHANGED, Reason.REVISED)} == {f"{WHOLE} / {NMS_TIER_2}"}
    assert f"{WHOLE} / {NMS_TIER_2}" not in ingested(on_friday(3, rehash_share=0))


def test_a_deletion_without_a_date_is_found_after_the_week_has_left_the_window(
    db: Database, fake: FinraFake, on_friday: OnFriday
) -> None:
    for n in range(3):
        on_friday(n)
    rows = fake.rows(MONDAY, "OTCE")
    rows[:] = [row for row in rows if row["issueSymbolIdentifier"] != "ABCw"]
    assert when_found(on_friday, f"{WHOLE} / {OTC}", range(3, 7)) is not None
    assert shares_of(db, "ABCw", OTC) == []


def test_a_revision_that_is_taken_back_is_taken_back_here(db: Database, fake: FinraFake, on_friday: OnFriday) -> None:
    on_friday(0)
    before = shares_of(db, "O00000", OTC)
    fake.take_back(FRIDAY + timedelta(days=10), MONDAY, "OTCE")
    fake.revise(FRIDAY + timedelta(days=3), MONDAY, "OTCE", more_shares)
    on_friday(1, weeks=[WHOLE], rehash_share=0)
    assert shares_of(db, "O00000", OTC) == [before[0] + 1000]
    result = on_friday(2, weeks=[WHOLE], rehash_share=0)
    assert ingested(result)[f"{WHOLE} / {OTC}"] == (Status.DONE, "CHANGED")
    assert shares_of(db, "O00000", OTC) == before


def test_what_is_revised_again_on_the_day_we_looked_is_asked_for_again(
    db: Database, fake: FinraFake, on_friday: OnFriday
) -> None:
    on_friday(0)
    friday = FRIDAY + timedelta(weeks=1)
    before = shares_of(db, "O00000", OTC)[0]
    fake.revise(friday, MONDAY, "OTCE", more_shares)
    on_friday(1, rehash_share=0)
    assert shares_of(db, "O00000", OTC) == [before + 1000]
    more_shares(fake.rows(MONDAY, "OTCE")[0])  # the same day, after the run: its date does not move any more
    result = on_friday(2, rehash_share=0)
    assert ingested(result)[f"{WHOLE} / {OTC}"] == (Status.DONE, "REVISED")
    assert shares_of(db, "O00000", OTC) == [before + 2000]
    fake.seen.clear()
    on_friday(2, rehash_share=0)
    asked = [seen.body["limit"] for seen in fake.asked() if (seen.week, seen.tier) == (str(MONDAY), "OTCE")]
    assert asked in ([], [1])  # since then it was compared: a glance is enough


def test_a_sweep_over_shifting_pages_finds_every_partition(
    fake: FinraFake, on_friday: OnFriday, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market_spine.app.source.api.PAGE_ROWS", 3)
    fake.restless, fake.page_max = True, 3
    for n in range(4):
        on_friday(n)
    for tier in CODE.values():
        fake.revise(FRIDAY + timedelta(days=24), MONDAY, tier, more_shares, rows=3)
    result = on_friday(4, rehash_share=0)
    assert {Partition(WHOLE, tier) for tier in CODE} <= set(result.plan.revised)


def test_what_had_its_turn_and_is_unchanged_is_walked_no_further(fake: FinraFake, on_friday: OnFriday) -> None:
    for n in range(4):
        on_friday(n)
    result = on_friday(4)
    settled = {partition.week_ending for partition in result.plan.turns} - set(result.plan.weeks)
    assert settled
    assert not settled & {outcome.week_ending for outcome in result.outcomes if outcome.phase is not Phase.INGEST}
    assert result.plan.revised == ()


def test_a_dry_run_names_the_same_turns_and_moves(fake: FinraFake, on_friday: OnFriday) -> None:
    for n in range(3):
        on_friday(n)
    fake.move("T00000", MONDAY, "T1", "T2")
    for n in range(3, 7):
        dry, run = on_friday(n, dry=True), on_friday(n)
        assert ingested(dry) == ingested(run)
        assert dry.plan == run.plan


def test_one_partition_that_never_comes_does_not_hold_up_the_sweep(db: Database, fake: FinraFake, on_friday: OnFriday) -> None:
    fake.rows(MONDAY, "OTCE").clear()
    for n in range(3):
        assert on_friday(n, rehash_share=0).exit_code == 1
    swept = db.execute("SELECT tier, swept_through FROM core_sweeps").fetchall()
    assert {tuple(row) for row in swept} == {(tier, str(FRIDAY + timedelta(weeks=2))) for tier in CODE}
