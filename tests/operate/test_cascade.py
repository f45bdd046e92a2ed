"""When a capture becomes current, exactly the week-level results that used the old one are made again; writes are counted."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.db import Database
from market_spine.operate import rollback
from market_spine.partition import OTC

WEEKS = tuple(WEEK + timedelta(weeks=n) for n in range(3))
RESTATED = WEEKS[1]

SQLITE_TRIGGERS = """
CREATE TRIGGER seen_week_insert AFTER INSERT ON finra_otc_transparency_week BEGIN
    INSERT INTO written (tbl, week) VALUES ('week', NEW.week_ending); END;
CREATE TRIGGER seen_week_update AFTER UPDATE ON finra_otc_transparency_week BEGIN
    INSERT INTO written (tbl, week) VALUES ('week', NEW.week_ending); END;
CREATE TRIGGER seen_week_delete AFTER DELETE ON finra_otc_transparency_week BEGIN
    INSERT INTO written (tbl, week) VALUES ('week', OLD.week_ending); END;
CREATE TRIGGER seen_tier_insert AFTER INSERT ON finra_otc_transparency_week_tier BEGIN
    INSERT INTO written (tbl, week) SELECT 'tier', week_ending FROM finra_otc_transparency_week WHERE week_key = NEW.week_key; END;
CREATE TRIGGER seen_tier_delete AFTER DELETE ON finra_otc_transparency_week_tier BEGIN
    INSERT INTO written (tbl, week) SELECT 'tier', week_ending FROM finra_otc_transparency_week WHERE week_key = OLD.week_key; END;
"""
POSTGRES_TRIGGERS = """
CREATE FUNCTION seen_week() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO written (tbl, week) VALUES ('week', COALESCE(NEW.week_ending, OLD.week_ending)); RETURN NULL; END $$;
CREATE FUNCTION seen_tier() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO written (tbl, week) SELECT 'tier', week_ending FROM finra_otc_transparency_week
        WHERE week_key = COALESCE(NEW.week_key, OLD.week_key); RETURN NULL; END $$;
CREATE TRIGGER seen_week AFTER INSERT OR UPDATE OR DELETE ON finra_otc_transparency_week
    FOR EACH ROW EXECUTE FUNCTION seen_week();
CREATE TRIGGER seen_tier AFTER INSERT OR UPDATE OR DELETE ON finra_otc_transparency_week_tier
    FOR EACH ROW EXECUTE FUNCTION seen_tier();
"""


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """Three ready weeks, and triggers that note every write to a week-level result from now on."""
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks(WEEKS)
    desk.run(FRIDAYS[0], WEEKS)
    with db.transaction():
        db.execute("CREATE TABLE written (tbl TEXT, week TEXT)")
        db.run_script(SQLITE_TRIGGERS if db.engine == "sqlite" else POSTGRES_TRIGGERS)
    return desk


def writes(desk: Desk) -> dict[tuple[str, str], int]:
    """How many rows were written since the last question, by table and week."""
    rows = desk.db.execute("SELECT tbl, week, COUNT(*) FROM written GROUP BY tbl, week ORDER BY tbl, week").fetchall()
    with desk.db.transaction():
        desk.db.execute("DELETE FROM written")
    return {(table, week): count for table, week, count in rows}


def made(week: date) -> dict[tuple[str, str], int]:
    """One result of a week: its totals and three tiers."""
    return {("tier", str(week)): 3, ("week", str(week)): 1}


def test_a_run_in_which_nothing_changed_writes_no_result(desk: Desk) -> None:
    desk.run(FRIDAYS[1], WEEKS)
    assert writes(desk) == {}


def test_only_the_restated_weeks_result_is_made_again_in_the_same_run(desk: Desk) -> None:
    desk.publish(RESTATED, OTC, REVISED)
    desk.run(FRIDAYS[1], WEEKS)
    assert writes(desk) == made(RESTATED)
    desk.run(FRIDAYS[2], WEEKS)
    assert writes(desk) == {}


def test_a_refused_restatement_writes_no_result(desk: Desk) -> None:
    desk.publish(RESTATED, OTC, ())
    desk.run(FRIDAYS[1], WEEKS)
    assert writes(desk) == {}


def test_a_rollback_to_captures_that_have_a_result_brings_it_back_without_a_write(desk: Desk) -> None:
    desk.publish(RESTATED, OTC, REVISED)
    desk.run(FRIDAYS[1], WEEKS)
    writes(desk)
    rollback.roll_back(desk.context(FRIDAYS[2]), RESTATED, [OTC], "x")
    assert writes(desk) == {}
    (total,) = desk.db.execute(
        "SELECT total_shares FROM finra_otc_transparency_weekly_totals_latest WHERE week_ending = ?", (str(RESTATED),)
    ).fetchone()
    assert total == 3 * sum(line[3] for line in PLAIN)


def test_a_rollback_to_a_combination_that_never_was_makes_that_weeks_result_only(desk: Desk) -> None:
    for tier in (OTC, "NMS_TIER_1"):
        desk.publish(RESTATED, tier, REVISED)
    desk.run(FRIDAYS[1], WEEKS)
    writes(desk)
    rollback.roll_back(desk.context(FRIDAYS[2]), RESTATED, [OTC], "x")
    assert writes(desk) == made(RESTATED)
