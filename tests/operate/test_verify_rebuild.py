"""Deliberate damage: verify finds each kind, rebuild mends what the bytes can mend and leaves the rest as it is."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine.app.context import Limits
from market_spine.db import Database, redact
from market_spine.operate import rollback, verify
from market_spine.operate.anomalies import list_anomalies
from market_spine.operate.rebuild import rebuild
from market_spine.partition import OTC, TIERS
from market_spine.query import answer
from market_spine.query.answer import Question
from market_spine.query.views import VIEWS

LATER = date(2026, 3, 6)
ID = "finra.otc_transparency:OTC:2025-11-28:20260116"


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """Two weeks, one tier restated with a rejected line, one capture withdrawn."""
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK, WEEK + timedelta(weeks=1)])
    weeks = (WEEK, WEEK + timedelta(weeks=1))
    desk.run(FRIDAYS[0], weeks)
    desk.publish(WEEK, OTC, (*REVISED, ("", "UBSA", "UBS ATS", 5, 1)))
    desk.run(FRIDAYS[1], weeks, limits=Limits(max_reject_ratio=0.5))
    rollback.roll_back(desk.context(FRIDAYS[2]), weeks[1], [OTC], "why")
    assert faults(desk) == []
    return desk


def faults(desk: Desk, *, deep: bool = True) -> list[str]:
    return [str(fault) for fault in verify.verify(desk.db, deep=deep)]


def views(desk: Desk) -> list[str]:
    return ["".join(answer.as_csv(view, answer.answer(desk.db, Question(view)))) for view in VIEWS.values()]


def core(desk: Desk) -> list[object]:
    """What a rebuild must not touch: when things were known, what stands against them, and what they were made from."""
    statements = (
        "SELECT * FROM core_anomalies ORDER BY id",
        "SELECT * FROM finra_otc_transparency_capture ORDER BY capture_key",
        "SELECT * FROM finra_otc_transparency_week ORDER BY week_key",
        "SELECT domain, stage, partition_key, capture_id, row_count, metadata_json, created_at FROM core_manifest ORDER BY id",
    )
    return [desk.db.execute(statement).fetchall() for statement in statements]


def test_a_rebuild_changes_nothing_but_the_moment_it_was_made(desk: Desk) -> None:
    before, known = views(desk), core(desk)
    done = rebuild(desk.context(LATER), None)
    assert [(o.week_ending.day, o.tier, o.capture_id and o.capture_id[-8:]) for o in done][:6] == [
        (28, "NMS_TIER_1", "20260109"),
        (28, "NMS_TIER_2", "20260109"),
        (28, "OTC", "20260109"),
        (28, "OTC", "20260116"),
        (28, None, "20260109"),
        (28, None, "20260116"),
    ]
    assert (views(desk), core(desk)) == (before, known)


DAMAGE = {
    "a row's shares": (
        "UPDATE finra_otc_transparency_volume SET total_shares = total_shares + 1 WHERE total_shares = 1500",
        f"{ID}: its rows sum to 2,371 shares, the capture says 2,370",
    ),
    "two rows exchanged": (
        "UPDATE finra_otc_transparency_volume SET total_shares = 2000 - total_shares WHERE total_shares IN (1500, 500)"
        " AND capture_key = (SELECT MAX(capture_key) FROM finra_otc_transparency_capture)",
        f"{ID}: 4 rows are not those of its bytes",
    ),
    "rows deleted": (
        "DELETE FROM finra_otc_transparency_volume WHERE total_shares = 70",
        f"{ID}: has 3 rows, the capture says 4",
    ),
    "measures deleted": (
        "DELETE FROM finra_otc_transparency_venue_measure WHERE total_shares = 1500",
        f"{ID}: the venues sum to 870 shares, its rows to 2,370",
    ),
    "the tier's total": (
        "UPDATE finra_otc_transparency_tier_measure SET total_shares = 1 WHERE total_shares = 2370",
        f"{ID}: the tier sum to 1 shares, its rows to 2,370",
    ),
    "a week's total": (
        "UPDATE finra_otc_transparency_week SET total_shares = 7 WHERE run_date = '2026-01-16'",
        "finra.otc_transparency:WEEK:2025-11-28:20260116: its tiers sum to 6,371 shares, the week says 7",
    ),
    "a week's split": (
        "DELETE FROM finra_otc_transparency_week_tier WHERE tier = 'OTC' AND total_shares = 2370",
        "finra.otc_transparency:WEEK:2025-11-28:20260116: its tiers sum to 4,001 shares, the week says 6,371",
    ),
    "an issue's symbol": (
        "UPDATE finra_otc_transparency_issue SET symbol = 'NVDIA' WHERE symbol = 'NVDA'",
        f"{ID}: 2 rows are not those of its bytes",
    ),
}


@pytest.mark.parametrize(("statement", "said"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_rows_are_found_and_rebuilt_from_the_bytes(desk: Desk, statement: str, said: str) -> None:
    before = views(desk)
    with desk.db.transaction():
        desk.db.execute(statement)
    assert said in faults(desk)
    rebuild(desk.context(LATER), WEEK)
    assert faults(desk) == []
    assert views(desk) == before


BLOBS = {
    "cut": (
        "UPDATE finra_otc_transparency_raw SET content = SUBSTR(content, 1, LENGTH(content) - 9) WHERE content_hash = ?",
        "damaged|hash",
    ),
    "gone": ("DELETE FROM finra_otc_transparency_raw WHERE content_hash = ?", "are gone"),
}


@pytest.mark.parametrize(("statement", "said"), BLOBS.values(), ids=BLOBS)
def test_damaged_bytes_are_found_rebuild_keeps_the_rows_and_a_forced_ingest_mends_them(
    desk: Desk, statement: str, said: str
) -> None:
    import re

    before = views(desk)
    (content_hash,) = desk.db.execute(
        "SELECT content_hash FROM finra_otc_transparency_capture WHERE capture_id = ?", (ID,)
    ).fetchone()
    with desk.db.transaction():
        desk.db.execute(statement, (content_hash,))
    found = [fault for fault in faults(desk, deep=False) if re.search(said, fault)]
    assert len(found) == 1 and content_hash[:16] in found[0]
    done = rebuild(desk.context(LATER), WEEK)
    assert [(o.status.value, o.category) for o in done if o.capture_id == ID] == [("failed", "RAW_DAMAGED")]
    assert views(desk) == before
    open_ = [a.category for a in list_anomalies(desk.db, unresolved=True) if a.severity == "ERROR"]
    assert open_ == ["RAW_DAMAGED"]
    desk.run(FRIDAYS[1], force=True, tiers=[OTC], limits=Limits(max_reject_ratio=0.5))
    assert faults(desk) == []
    rebuild(desk.context(LATER), WEEK)
    assert [a.category for a in list_anomalies(desk.db, unresolved=True) if a.severity == "ERROR"] == []


def test_lost_bytes_fail_their_partition_and_no_other_however_many_there_are(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "many", db)
    weeks = [WEEK, WEEK + timedelta(weeks=1)]
    desk.publish_weeks(weeks)
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[0], weeks, only="ingest")
    with db.transaction():
        db.execute(
            """
            DELETE FROM finra_otc_transparency_raw WHERE content_hash =
                (SELECT content_hash FROM finra_otc_transparency_capture WHERE week_ending = ? AND tier = ?)
            """,
            (str(WEEK), OTC),
        )
    result = desk.run(FRIDAYS[0], weeks, only="normalize")
    failed = [(o.where, o.category) for o in result.outcomes if o.status.value == "failed"]
    assert failed == [("2025-11-28 / OTC", "RAW_DAMAGED")]
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_current").fetchone() == (5,)


def test_what_waits_for_a_run_is_left_to_it(desk: Desk) -> None:
    desk.publish(WEEK, OTC, ())
    desk.run(FRIDAYS[1], only="ingest")  # a replay that will not be usable
    desk.publish(WEEK, TIERS[0], REVISED)
    desk.run(FRIDAYS[3], only="ingest")
    before = views(desk)
    done = rebuild(desk.context(LATER), WEEK)
    assert {o.capture_id[-8:] for o in done if o.tier == OTC and o.capture_id} == {"20260109", "20260116"}
    assert views(desk) == before
    assert faults(desk) == []


@pytest.mark.one_engine
def test_the_commands_say_a_line_a_fault_and_exit_1(desk: Desk, target: str, run_command: RunCommand) -> None:
    assert run_command("spine", "verify", "--db", target).stdout == "No faults.\n"
    with desk.db.transaction():
        desk.db.execute("DELETE FROM finra_otc_transparency_volume WHERE total_shares = 70")
    told = run_command("spine", "verify", "--db", target)
    assert (told.exit_code, told.stdout.splitlines()[0]) == (1, DAMAGE["rows deleted"][1])
    assert told.stdout.splitlines()[-1] == f"next: spine rebuild 2025-11-28 --db {redact(target)}"
    document = json.loads(run_command("spine", "verify", "--json", "--db", target).stdout)
    assert document["exit_code"] == 1 and document["faults"][0]["remedy"] == "spine rebuild 2025-11-28"
    mended = run_command("spine", "rebuild", str(WEEK), "--db", target, "--reason", "lost rows")
    assert mended.exit_code == 0, mended.stderr
    assert run_command("spine", "verify", "--deep", "--db", target).exit_code == 0
    assert desk.db.execute("SELECT action, target, reason FROM core_operator_actions WHERE action = 'rebuild'").fetchall() == [
        ("rebuild", "2025-11-28", "lost rows")
    ]
