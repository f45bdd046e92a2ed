"""Rollback and its undo: what becomes current, what is made again, what readiness says, and that nothing is lost."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk, restated

from market_spine.app.scheduler import evaluate_readiness
from market_spine.core import captures
from market_spine.db import Database, redact
from market_spine.errors import NotFound
from market_spine.operate import rollback
from market_spine.outcome import Phase, Status
from market_spine.partition import OTC, TIERS, Partition

OF_OTC = Partition(WEEK, OTC)
CAPTURE = "finra.otc_transparency:OTC:2025-11-28:"


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return restated(tmp_path / "files", db)


def current(desk: Desk) -> str | None:
    found = captures.current(desk.db, OF_OTC)
    return found[0][-8:] if found else None


def total(desk: Desk) -> float:
    (shares,) = desk.db.execute("SELECT total_shares FROM finra_otc_transparency_weekly_totals_latest").fetchone()
    return float(shares)


def readiness(desk: Desk) -> tuple[int, str | None]:
    is_ready, issues = desk.db.execute(
        "SELECT is_ready, blocking_issues FROM core_data_readiness WHERE json_extract(partition_key, '$.tier') IS NULL"
    ).fetchone()
    return is_ready, issues


def everything(desk: Desk) -> list[object]:
    db = desk.db
    return [
        db.execute("SELECT * FROM finra_otc_transparency_volume ORDER BY 1, 2, 3").fetchall(),
        db.execute("SELECT content_hash, size FROM finra_otc_transparency_raw ORDER BY 1").fetchall(),
        db.execute("SELECT * FROM finra_otc_transparency_venue_measure ORDER BY 1, 2").fetchall(),
    ]


def shares(lines: tuple[tuple[str, str, str, float, int], ...]) -> float:
    return sum(line[3] for line in lines)


def test_the_previous_good_capture_becomes_current_and_the_weeks_results_follow(desk: Desk) -> None:
    before = everything(desk)
    assert (current(desk), total(desk)) == ("20260116", 2 * shares(PLAIN) + shares(REVISED))
    done = rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, [OTC], "faulty file")
    assert [(c.before, c.after) for c in done.changes] == [(CAPTURE + "20260116", CAPTURE + "20260109")]
    assert (current(desk), total(desk)) == ("20260109", 3 * shares(PLAIN))
    assert readiness(desk) == (0, '["Manual rollback: OTC: faulty file"]')
    assert everything(desk) == before


def test_undo_brings_it_back_with_the_results_it_had(desk: Desk) -> None:
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, [OTC], "faulty file")
    done = rollback.undo(desk.context(FRIDAYS[3]), WEEK, [OTC], "it was right after all")
    assert [(c.before, c.after) for c in done.changes] == [(CAPTURE + "20260109", CAPTURE + "20260116")]
    assert (current(desk), total(desk)) == ("20260116", 2 * shares(PLAIN) + shares(REVISED))
    assert readiness(desk) == (1, None)
    weekly = [o for o in done.outcomes if o.phase is Phase.CALC]
    assert [o.status for o in weekly] == [Status.SKIPPED]  # the result of these three captures was there


def test_the_same_content_stays_withdrawn_without_force(desk: Desk) -> None:
    rollback.roll_back(desk.context(FRIDAYS[1]), WEEK, [OTC], "faulty file")
    result = desk.run(FRIDAYS[2])
    assert result.count(Phase.INGEST, Status.SKIPPED) == 3
    assert current(desk) == "20260109"
    assert readiness(desk)[0] == 0
    desk.run(FRIDAYS[3], force=True)
    assert current(desk) == "20260130"
    assert readiness(desk) == (1, None)


def test_a_good_capture_ends_the_rollback(desk: Desk) -> None:
    rollback.roll_back(desk.context(FRIDAYS[1]), WEEK, [OTC], "faulty file")
    desk.publish(WEEK, OTC, (*PLAIN, ("TSLA", "UBSA", "UBS ATS", 7, 1)))
    desk.run(FRIDAYS[2])
    assert current(desk) == "20260123"
    assert readiness(desk) == (1, None)


def test_a_forced_replay_of_the_withdrawn_day_stands_again_only_once_it_is_normalized(desk: Desk) -> None:
    rollback.roll_back(desk.context(FRIDAYS[1]), WEEK, [OTC], "faulty file")
    desk.run(FRIDAYS[1], tiers=[OTC], only="ingest", force=True)
    assert current(desk) == "20260109"
    desk.run(FRIDAYS[1], tiers=[OTC])
    assert current(desk) == "20260116"
    assert evaluate_readiness(WEEK, desk.db) == (True, [])


def test_rolling_back_twice_goes_back_two_captures_and_undo_comes_back_one_by_one(desk: Desk) -> None:
    for at in (2, 3):
        rollback.roll_back(desk.context(FRIDAYS[at]), WEEK, [OTC], f"no {at}")
    assert current(desk) is None
    assert readiness(desk) == (0, '["Manual rollback: OTC: no 2", "Manual rollback: OTC: no 3", "Missing tiers: OTC"]')
    for expected in ("20260109", "20260116"):
        rollback.undo(desk.context(FRIDAYS[3]), WEEK, [OTC], "again")
        assert current(desk) == expected


def test_without_a_tier_every_tier_is_withdrawn(desk: Desk) -> None:
    done = rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, TIERS, "all of it")
    assert [c.after is None for c in done.changes] == [True, True, False]
    assert desk.db.execute("SELECT COUNT(*) FROM finra_otc_transparency_current").fetchone() == (1,)


def test_nothing_to_withdraw_or_to_undo_is_said(desk: Desk) -> None:
    other = date(2025, 11, 21)
    with pytest.raises(NotFound, match="2025-11-21 / OTC has no current capture"):
        rollback.roll_back(desk.context(), other, [OTC], "x")
    with pytest.raises(NotFound, match="no withdrawn capture"):
        rollback.undo(desk.context(), WEEK, [OTC], "x")


def test_who_and_why_are_recorded(desk: Desk, target: str, run_command: RunCommand) -> None:
    arguments = ("--db", target, "--run-date", "2026-01-23")
    actor = {"MARKET_SPINE_ACTOR": "ada"}
    missing = run_command("spine", "rollback", WEEK.isoformat(), "OTC", *arguments)
    assert (missing.exit_code, missing.stderr) == (
        2, f'Error: a rollback needs a reason. Try: spine rollback 2025-11-28 OTC --reason "…" --db {redact(target)}\n'
    )
    done = run_command("spine", "rollback", WEEK.isoformat(), "otc", "--reason", "faulty file", *arguments, env=actor)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        "2025-11-28 / OTC: …:20260116 was current, …:20260109 is now",
        "2025-11-28: → Week totals and tier split are up to date",
        "2025-11-28: ⚠ Not ready: Manual rollback: OTC: faulty file",
        f"a good capture replaces it; to undo: spine rollback 2025-11-28 OTC --undo --db {redact(target)}",
    ]
    undone = run_command("spine", "rollback", WEEK.isoformat(), "--undo", "--json", *arguments, env=actor)
    document = json.loads(undone.stdout)
    assert document["schema_version"] == 1
    assert [change["is_current"] for change in document["changes"]] == [CAPTURE + "20260116"]
    rows = desk.db.execute("SELECT actor, action, target, reason FROM core_operator_actions ORDER BY id").fetchall()
    assert [tuple(row) for row in rows] == [
        ("ada", "rollback", CAPTURE + "20260116", "faulty file"),
        ("ada", "rollback --undo", CAPTURE + "20260116", "undo"),
    ]
    executions = desk.db.execute("SELECT pipeline, exit_code FROM core_executions ORDER BY started_at, execution_id").fetchall()
    assert [tuple(row) for row in executions] == [("rollback", 0), ("rollback", 0)]
