"""The pipelines by name: what each makes, what each waits for, and that together they equal a weekly run."""

from __future__ import annotations

import itertools
import random
from datetime import date
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.app.pipelines import PIPELINES, run_pipeline
from market_spine.db import Database
from market_spine.errors import PrerequisiteMissing, UnknownTier, UsageError
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import DOMAIN, NMS_TIER_1, NMS_TIER_2, OTC, TIERS

VIEWS = ("normalized", "venue_share", "hhi", "symbol_summary", "weekly_totals", "tier_split")


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return Desk(tmp_path / "files", db)


def go(desk: Desk, name: str, tier: str | None = None, run_date: date = FRIDAYS[0], *, force: bool = False) -> list[Outcome]:
    return run_pipeline(f"finra.otc_transparency.{name}", desk.context(run_date, force=force), desk.source(), WEEK, tier)


def rows(desk: Desk, view: str) -> list[tuple[object, ...]]:
    texts = {
        "normalized": "SELECT * FROM finra_otc_transparency_normalized ORDER BY 1, 4, 7, 8, 9, 10",
        "venue_share": "SELECT * FROM finra_otc_transparency_venue_share ORDER BY 1, 4, 5, 6, 7",
        "hhi": "SELECT * FROM finra_otc_transparency_hhi ORDER BY 1, 4, 5",
        "symbol_summary": "SELECT * FROM finra_otc_transparency_symbol_summary ORDER BY 1, 4",
        "weekly_totals": "SELECT * FROM finra_otc_transparency_weekly_totals ORDER BY 1",
        "tier_split": "SELECT * FROM finra_otc_transparency_tier_split ORDER BY 1, 3",
    }
    return desk.db.execute(texts[view]).fetchall()


@pytest.mark.parametrize(
    ("done", "asked", "missing", "then"),
    [
        ((), "normalize_week", "RAW", "ingest_week"),
        ((), "compute_hhi", "RAW", "ingest_week"),
        (("ingest_week",), "compute_venue_volume", "NORMALIZED", "normalize_week"),
        (("ingest_week",), "compute_venue_share", "NORMALIZED", "normalize_week"),
    ],
)
def test_a_missing_prerequisite_names_the_command_that_makes_it(
    desk: Desk, done: tuple[str, ...], asked: str, missing: str, then: str
) -> None:
    desk.publish(WEEK, OTC)
    for name in done:
        go(desk, name, OTC)
    with pytest.raises(PrerequisiteMissing, match=f"prerequisite missing: {missing} of 2025-11-28 / OTC") as caught:
        go(desk, asked, OTC)
    assert caught.value.hint == f"spine run finra.otc_transparency.{then} 2025-11-28 OTC"
    assert desk.db.execute("SELECT COUNT(*) FROM core_anomalies").fetchone()[0] == 0


@pytest.mark.parametrize("name", ["compute_tier_split", "compute_weekly_totals"])
def test_a_week_waits_for_every_tier_to_be_measured(desk: Desk, name: str) -> None:
    desk.publish_weeks([WEEK])
    for tier in TIERS:
        go(desk, "ingest_week", tier)
        go(desk, "normalize_week", tier)
    go(desk, "compute_hhi", NMS_TIER_1)
    with pytest.raises(PrerequisiteMissing, match="CALC of 2025-11-28 / NMS_TIER_2") as caught:
        go(desk, name)
    assert caught.value.hint == "spine run finra.otc_transparency.compute_venue_volume 2025-11-28 NMS_TIER_2"


def test_any_order_that_respects_the_prerequisites_ends_where_a_weekly_run_ends(desk: Desk, tmp_path: Path) -> None:
    from market_spine.db import connect
    from market_spine.db.migrations import prepare

    desk.publish_weeks([WEEK])
    waiting = [(name, None if p.of_week else tier) for (name, p), tier in itertools.product(PIPELINES.items(), TIERS)]
    random.Random(6).shuffle(waiting)
    while waiting:
        name, tier = waiting.pop(0)
        try:
            go(desk, name, tier)
        except PrerequisiteMissing:
            waiting.append((name, tier))
    other = connect(str(tmp_path / "other.db"))
    prepare(other)
    once = Desk(desk.folder, other)
    once.run()
    assert {view: rows(desk, view) for view in VIEWS} == {view: rows(once, view) for view in VIEWS}
    assert desk.db.execute("SELECT is_ready FROM core_data_readiness").fetchall() == [(1,)] * 4  # the week and its tiers
    other.close()


def test_a_restated_tier_brings_the_weeks_results_along(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    desk.run()
    before = desk.db.execute("SELECT total_shares FROM finra_otc_transparency_weekly_totals_latest").fetchone()[0]
    desk.publish(WEEK, OTC, REVISED)
    for name in ("ingest_week", "normalize_week"):
        go(desk, name, OTC, FRIDAYS[1])
    assert rows(desk, "weekly_totals")[0][2] == before
    outcomes = go(desk, "compute_venue_volume", OTC, FRIDAYS[1])
    assert [(o.tier, o.phase) for o in outcomes] == [(OTC, Phase.CALC), (None, Phase.CALC), (None, Phase.READINESS)]
    after = desk.db.execute("SELECT total_shares FROM finra_otc_transparency_weekly_totals_latest").fetchone()[0]
    assert after - before == sum(r[3] for r in REVISED) - sum(r[3] for r in PLAIN)


def test_the_second_of_a_tiers_computations_finds_it_measured_and_force_measures_again(desk: Desk) -> None:
    desk.publish(WEEK, OTC)
    go(desk, "ingest_week", OTC)
    go(desk, "normalize_week", OTC)
    assert go(desk, "compute_venue_share", OTC)[0].status is Status.DONE
    assert go(desk, "compute_hhi", OTC)[0].status is Status.SKIPPED
    assert go(desk, "compute_hhi", OTC, force=True)[0].status is Status.DONE


def test_a_failed_restatement_does_not_keep_the_standing_capture_from_being_measured(desk: Desk) -> None:
    desk.publish(WEEK, OTC)
    desk.run(tiers=[OTC])
    desk.publish(WEEK, OTC, ())
    go(desk, "ingest_week", OTC, FRIDAYS[1])
    assert go(desk, "normalize_week", OTC, FRIDAYS[1])[0].category == "NO_ROWS"
    assert go(desk, "compute_hhi", OTC, FRIDAYS[1])[0].message == "Already measured"


def test_without_a_tier_a_pipeline_takes_those_that_are_ready_for_it(desk: Desk) -> None:
    desk.publish(WEEK, OTC)
    desk.publish(WEEK, NMS_TIER_2)
    desk.run(only="ingest")
    done = [o.tier for o in go(desk, "normalize_week") if o.phase is Phase.NORMALIZE]
    assert done == [NMS_TIER_2, OTC]


@pytest.mark.parametrize(
    ("name", "tier", "error", "says"),
    [
        ("compute_everything", None, UsageError, "there is no pipeline"),
        ("compute_weekly_totals", OTC, UsageError, "takes no tier"),
        ("ingest_week", "T1", UnknownTier, "unknown tier"),
    ],
)
def test_what_makes_no_sense_is_said(desk: Desk, name: str, tier: str | None, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        go(desk, name, tier)


def test_the_command_keeps_why_and_says_what_comes_next_when_it_fails(desk: Desk, target: str, run_command: RunCommand) -> None:
    asked = ("spine", "run", f"{DOMAIN}.ingest_week", "--week", str(WEEK), "--tier", "OTC", "--db", target)
    on = ("--data-dir", desk.folder, "--run-date", "2026-01-09")
    missing = run_command(*asked, *on, "--reason", "the file came late")
    assert missing.exit_code == 2
    assert missing.stdout.splitlines()[-1].startswith("next: spine retry 20")
    desk.publish(WEEK, OTC)
    done = run_command(*asked, *on)
    assert (done.exit_code, "next:" in done.stdout) == (0, False)
    actions = desk.db.execute("SELECT action, target, reason FROM core_operator_actions ORDER BY id").fetchall()
    named = f"{DOMAIN}.ingest_week {WEEK} / OTC"
    assert [tuple(row) for row in actions] == [("run", named, "the file came late"), ("run", named, "run")]
