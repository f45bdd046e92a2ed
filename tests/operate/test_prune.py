"""What prune may remove and what never; the tombstone it leaves; pins."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.db import Database
from market_spine.errors import NotFound, UsageError
from market_spine.operate import prune, rollback, verify
from market_spine.partition import OTC, TIERS
from market_spine.query import history

MUCH_LATER = date(2028, 6, 2)
ID = "finra.otc_transparency:OTC:2025-11-28:"
THIRD = (*REVISED, ("TSLA", "UBSA", "UBS ATS", 9, 1))


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """An OTC partition captured three times."""
    desk = Desk(tmp_path / "files", db)
    for day, lines in zip(FRIDAYS, (PLAIN, REVISED, THIRD), strict=False):
        desk.publish(WEEK, OTC, lines)
        desk.run(day, tiers=[OTC])
    return desk


def planned(desk: Desk, days: int = 730, on: date = MUCH_LATER) -> list[str]:
    return [pruning.entry.run_date for pruning in prune.plan(desk.context(on), days)]


def test_the_current_capture_is_never_pruned(desk: Desk) -> None:
    assert planned(desk) == ["2026-01-09", "2026-01-16"]


@pytest.mark.parametrize(
    ("days", "on", "goes"),
    [
        pytest.param(8, FRIDAYS[2], [], id="shown on the first day kept"),
        pytest.param(7, FRIDAYS[2], ["2026-01-09"], id="superseded before the first day kept ends"),
        pytest.param(8, FRIDAYS[3], ["2026-01-09"], id="the one after it is shown on the first day kept"),
        pytest.param(0, FRIDAYS[3], ["2026-01-09", "2026-01-16"], id="nothing but the present is kept"),
    ],
)
def test_a_capture_is_old_when_no_day_within_the_time_to_keep_shows_it(desk: Desk, days: int, on: date, goes: list[str]) -> None:
    assert planned(desk, days, on) == goes


def test_a_pinned_capture_is_never_pruned(desk: Desk) -> None:
    prune.pin(desk.db, ID + "20260109", "audit", "x", desk.context().now)
    assert planned(desk) == ["2026-01-16"]
    with pytest.raises(UsageError, match=r"'audit' is the pin of .*:20260109"):
        prune.pin(desk.db, ID + "20260116", "audit", "x", desk.context().now)
    prune.unpin(desk.db, "audit", "x", desk.context().now)
    assert planned(desk) == ["2026-01-09", "2026-01-16"]
    with pytest.raises(NotFound, match="is not pinned"):
        prune.unpin(desk.db, ID + "20260109", "x", desk.context().now)


def test_after_a_rollback_the_last_good_one_and_the_newest_stay(desk: Desk) -> None:
    rollback.roll_back(desk.context(FRIDAYS[3]), WEEK, [OTC], "x")
    assert planned(desk) == ["2026-01-09"]
    rollback.roll_back(desk.context(FRIDAYS[3]), WEEK, [OTC], "x")
    rollback.roll_back(desk.context(FRIDAYS[3]), WEEK, [OTC], "x")
    assert planned(desk) == ["2026-01-09", "2026-01-16"]  # none stands: the newest of the withdrawn is kept


def test_a_newest_capture_that_failed_stays_beside_the_last_good_one(desk: Desk) -> None:
    desk.publish(WEEK, OTC, ())
    desk.run(FRIDAYS[3], tiers=[OTC])
    assert planned(desk) == ["2026-01-09", "2026-01-16"]
    prune.prune(desk.context(MUCH_LATER), 730, "space")
    assert desk.run(FRIDAYS[3], tiers=[OTC]).exit_code in (1, 2)  # still refused, not new
    assert [e.state for e in history.list_captures(desk.db)] == ["pruned", "pruned", "current", "unfinished"]


def test_a_tombstone_stays_and_everything_else_of_the_capture_goes(desk: Desk) -> None:
    before = {e.capture_id: e for e in history.list_captures(desk.db)}
    prune.prune(desk.context(MUCH_LATER), 730, "policy 7.2")
    rows = desk.db.execute(
        """
        SELECT capture_id, content_hash, row_count, total_shares, run_date, pruned_at, rule, reason FROM core_tombstones
        ORDER BY capture_id
        """
    ).fetchall()
    assert [(r[0][-8:], r[2], r[3], r[4], r[5][:10], r[7]) for r in rows] == [
        ("20260109", 4, 2000.5, "2026-01-09", "2028-06-02", "policy 7.2"),
        ("20260116", 4, 2370, "2026-01-16", "2028-06-02", "policy 7.2"),
    ]
    assert all(r[1][:16] == before[r[0]].content_hash for r in rows)
    assert {r[6] for r in rows} == {"older than 730 days on 2028-06-02; not current, last good, newest or pinned"}
    for table, left in (("volume", 5), ("venue_measure", 3), ("tier_measure", 1), ("capture", 1), ("raw", 1)):
        count = {
            "volume": "SELECT COUNT(*) FROM finra_otc_transparency_volume",
            "venue_measure": "SELECT COUNT(*) FROM finra_otc_transparency_venue_measure",
            "tier_measure": "SELECT COUNT(*) FROM finra_otc_transparency_tier_measure",
            "capture": "SELECT COUNT(*) FROM finra_otc_transparency_capture",
            "raw": "SELECT COUNT(*) FROM finra_otc_transparency_raw",
        }[table]
        assert desk.db.execute(count).fetchone() == (left,), table
    assert desk.db.execute("SELECT DISTINCT capture_id FROM core_manifest").fetchall() == [(ID + "20260123",)]
    assert list(verify.verify(desk.db, deep=True)) == []
    assert planned(desk) == []


def test_bytes_that_another_capture_has_too_stay(desk: Desk) -> None:
    desk.publish(WEEK, OTC, PLAIN)  # the first content again
    desk.run(FRIDAYS[3], tiers=[OTC])
    sizes = {p.entry.run_date: p.bytes for p in prune.plan(desk.context(MUCH_LATER), 730)}
    assert sizes["2026-01-09"] == 0 and sizes["2026-01-16"] > 0
    prune.prune(desk.context(MUCH_LATER), 730, "space")
    assert list(verify.verify(desk.db, deep=True)) == []


def test_a_pruned_key_is_never_given_to_another_capture(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "old", db)
    for day, lines in ((FRIDAYS[3], PLAIN), (FRIDAYS[0], REVISED)):  # an older day replayed last has the highest key
        desk.publish(WEEK, OTC, lines)
        desk.run(day, tiers=[OTC])
    gone = prune.prune(desk.context(FRIDAYS[3]), 0, "space")
    assert [p.entry.run_date for p in gone] == ["2026-01-09"]
    desk.publish(WEEK + timedelta(weeks=1), OTC)
    desk.run(FRIDAYS[3], [WEEK + timedelta(weeks=1)], [OTC])
    keys = [e.capture_key for e in history.list_captures(desk.db) if e.state != "pruned"]
    assert gone[0].entry.capture_key not in keys


def test_the_commands_need_a_reason_and_rehearse_without_writing(desk: Desk, target: str, run_command: RunCommand) -> None:
    asked = ("spine", "prune", "--older-than", "30", "--run-date", "2026-06-05", "--db", target)
    assert run_command(*asked).stderr.startswith("Error: a prune needs a reason. Try: spine prune --older-than 30 --dry-run")
    rehearsed = json.loads(run_command(*asked, "--dry-run", "--json").stdout)
    assert [c["run_date"] for c in rehearsed["captures"]] == ["2026-01-09", "2026-01-16"]
    assert desk.db.execute("SELECT COUNT(*) FROM core_executions").fetchone() == (0,)
    pinned = run_command("spine", "pin", "OTC:2025-11-28:20260109", "audit", "--db", target)
    assert pinned.stdout == f"{ID}20260109 is pinned as audit\n"
    done = run_command(*asked, "--reason", "space", env={"MARKET_SPINE_ACTOR": "ada"})
    assert done.stdout.splitlines()[-1].startswith("pruned 1 capture, 4 rows, ")
    assert run_command("spine", "pin", "audit", "--db", target).exit_code == 2
    assert run_command("spine", "pin", "audit", "--remove", "--db", target).exit_code == 0
    rows = desk.db.execute("SELECT action, target FROM core_operator_actions ORDER BY id").fetchall()
    assert [action for action, _ in rows] == ["pin", "prune", "unpin"]
    assert desk.db.execute("SELECT pruned_by FROM core_tombstones").fetchall() == [("ada",)]


def test_week_level_results_outlive_the_captures_they_were_made_from(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "whole", db)
    desk.publish_weeks([WEEK])
    desk.run(FRIDAYS[0])
    desk.publish_weeks([WEEK], REVISED)
    desk.run(FRIDAYS[1])
    prune.prune(desk.context(MUCH_LATER), 730, "space")
    totals = db.execute("SELECT capture_id, total_shares FROM finra_otc_transparency_weekly_totals ORDER BY 1").fetchall()
    assert [(capture_id[-8:], shares) for capture_id, shares in totals] == [("20260109", 3 * 2000.5), ("20260116", 3 * 2370)]
    assert list(verify.verify(db, deep=True)) == []
    assert db.execute("SELECT COUNT(*) FROM core_tombstones").fetchone() == (len(TIERS),)
