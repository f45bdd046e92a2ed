"""A range of weeks in one command, stopped and taken up again; and what failed in a run, repeated."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, REVISED, WEEK, Desk
from support.gates import DEADLINE
from support.listeners import http_listener

from market_spine.app.plan import ALL_PHASES, only, phases_of
from market_spine.db import Database
from market_spine.errors import NotFound, UsageError
from market_spine.operate import backfill, retry
from market_spine.outcome import Phase
from market_spine.partition import NMS_TIER_1, OTC, TIERS

WEEKS = [WEEK + timedelta(weeks=n) for n in range(3)]
RUN_DATE = date(2026, 2, 6)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks(WEEKS)
    return desk


def go(desk: Desk, weeks: list[date] = WEEKS, *, missing_only: bool = False, on: date = RUN_DATE) -> list[backfill.WeekDone]:
    told = backfill.backfill(desk.context(on), desk.source(), weeks, TIERS, lambda o: None, missing_only=missing_only)
    return [week for week, _ in told]


def test_weeks_come_oldest_first_and_a_reversed_range_is_refused() -> None:
    assert backfill.weeks_between(WEEKS[0], WEEKS[2]) == WEEKS
    assert backfill.weeks_between(WEEK, WEEK) == [WEEK]
    with pytest.raises(UsageError, match="is after"):
        backfill.weeks_between(WEEKS[1], WEEKS[0])


def test_a_range_ends_ready_and_again_changes_nothing(desk: Desk) -> None:
    assert [(w.ingested, w.blocking, w.exit_code) for w in go(desk)] == [(3, (), 0)] * 3
    assert [(w.ingested, w.skipped) for w in go(desk)] == [(0, 3)] * 3
    assert [w.tiers for w in go(desk, missing_only=True)] == [()] * 3


def test_it_takes_up_what_was_stopped_at_any_stage(desk: Desk) -> None:
    desk.run(RUN_DATE, WEEKS[:1])
    desk.run(RUN_DATE, WEEKS[1:2], only="ingest")
    desk.run(RUN_DATE, WEEKS[1:2], [OTC], only="normalize")
    done = go(desk, missing_only=True)
    assert [(w.tiers, w.ingested, w.blocking) for w in done] == [((), 0, ()), (TIERS, 0, ()), (TIERS, 3, ())]


def test_missing_only_makes_a_weeks_results_that_are_not_there(desk: Desk) -> None:
    go(desk, WEEKS[:1])
    with desk.db.transaction():
        desk.db.execute("DELETE FROM core_manifest WHERE capture_id LIKE '%:WEEK:%'")
        desk.db.execute("DELETE FROM finra_otc_transparency_week")
    assert go(desk, WEEKS[:1], missing_only=True)[0].blocking == ()
    assert desk.db.execute("SELECT COUNT(*) FROM finra_otc_transparency_weekly_totals_latest").fetchone() == (1,)


def test_one_bad_week_stops_no_other(desk: Desk) -> None:
    desk.publish(WEEKS[0], OTC).write_bytes(b"")
    done = go(desk)
    assert [(w.ingested, w.failed, w.exit_code) for w in done] == [(2, 1, 1), (3, 0, 0), (3, 0, 0)]


def test_the_command_and_its_door_end_with_the_next_command(desk: Desk, target: str, run_command: RunCommand) -> None:
    desk.publish(WEEKS[1], OTC).write_bytes(b"")
    on = ("--db", target, "--run-date", str(RUN_DATE), "--data-dir", desk.folder)
    first = run_command("spine", "backfill", "--from", str(WEEKS[0]), "--to", str(WEEKS[2]), *on, "--json")
    document = json.loads(first.stdout)
    assert (first.exit_code, [week["is_ready"] for week in document["weeks"]]) == (1, [True, False, True])
    door = [sys.executable, str(ROOT / "scripts" / "backfill_range.py"), "--from", str(WEEKS[1] - timedelta(days=3)), "--to", str(WEEKS[1] + timedelta(days=6))]
    text = subprocess.run([*door, *map(str, on)], capture_output=True, text=True, timeout=DEADLINE, check=False).stdout.splitlines()
    assert text[0] == "2025-12-05: ✗ 2 unchanged, 1 failed; not ready: Missing tiers: OTC  [1/1]"
    assert text[1].startswith("  OTC: EMPTY_FILE: ") and text[1].endswith("; an empty file is never a publication")
    assert text[2] == "needs other content from FINRA: 2025-12-05 / OTC (EMPTY_FILE)"
    assert text[3].startswith("next: spine retry 20")
    failures = [[(f["tier"], f["phase"], f["reason"]) for f in week["failures"]] for week in document["weeks"]]
    assert failures == [[], [(OTC, "ingest", "EMPTY_FILE")], []]
    desk.publish(WEEKS[1], OTC)
    later = RUN_DATE + timedelta(days=3)
    again = run_command("spine", "retry", document["run_id"], "--db", target, "--run-date", str(later))
    assert again.exit_code == 0, again.stderr
    assert [line for line in again.stdout.splitlines() if "✓ Ingested" in line] == [
        "2025-12-05 / OTC: ✓ Ingested 4 rows (NEW, capture …:20260209)"
    ]
    assert "2025-12-05: ✓ Ready" in again.stdout and "2025-11-28" not in again.stdout


WAYS = {
    "the source failed": ({"phase": "ingest", "reason": "EMPTY_FILE"}, [((OTC,), "all")]),
    "content was refused": ({"phase": "normalize", "reason": "NO_ROWS"}, [((OTC,), "all")]),
    "bytes are damaged": ({"phase": "normalize", "reason": "RAW_DAMAGED"}, [((OTC,), "all")]),
    "the program failed": ({"phase": "normalize", "reason": "UNEXPECTED"}, [((OTC,), "normalize"), ((OTC,), "calc")]),
    "the connection was lost": ({"phase": "normalize", "reason": "DATABASE_LOST"}, [((OTC,), "normalize"), ((OTC,), "calc")]),
    "the measures failed": ({"phase": "calc", "reason": "UNEXPECTED"}, [((OTC,), "normalize"), ((OTC,), "calc")]),
}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("entry", "expected"), WAYS.values(), ids=WAYS)
def test_a_retry_asks_the_source_for_what_the_source_must_change(
    db: Database, entry: dict[str, str], expected: list[tuple[tuple[str, ...], str]]
) -> None:
    failed = {"week_ending": str(WEEK), "tier": OTC, "outcome": "failed", **entry}
    skipped = {"week_ending": str(WEEK), "tier": NMS_TIER_1, "outcome": "skipped", "phase": "ingest"}
    remember(db, "run-1", {"partitions": [skipped, failed]})
    found = retry.find_failed(db, "run-1").weeks[WEEK]
    assert [(plan.tiers, plan.phases) for plan in found.plans(WEEK)] == [(tiers, phases_of(word)) for tiers, word in expected]
    assert bool(found.damaged) is (entry["reason"] == "RAW_DAMAGED")


def test_a_retry_repeats_the_weeks_that_failed_oldest_first(db: Database) -> None:
    entries = [
        {"week_ending": "2025-12-05", "tier": OTC, "phase": "ingest", "outcome": "failed"},
        {"week_ending": "2025-11-28", "tier": OTC, "phase": "ingest", "outcome": "skipped"},
        {"week_ending": "2025-11-21", "tier": None, "phase": "calc", "outcome": "failed"},
    ]
    remember(db, "run-1", {"partitions": entries})
    found = retry.find_failed(db, "run-1")
    plans = [(str(p.weeks[0]), p.tiers, p.phases) for week, failed in found.weeks.items() for p in failed.plans(week)]
    assert plans == [("2025-11-21", (), only(Phase.CALC)), ("2025-12-05", (OTC,), ALL_PHASES)]


def test_a_run_that_never_finished_is_repeated_whole(db: Database) -> None:
    remember(db, "killed", None)
    plans = [p for week, failed in retry.find_failed(db, "killed").weeks.items() for p in failed.plans(week)]
    assert [(p.weeks, p.tiers, p.phases) for p in plans] == [((WEEK,), (OTC,), ALL_PHASES)]


def test_what_cannot_be_retried_is_said(db: Database) -> None:
    with pytest.raises(NotFound, match="there is no run x"):
        retry.find_failed(db, "x")
    remember(db, "r", None, "rollback")
    with pytest.raises(UsageError, match="r was a rollback"):
        retry.find_failed(db, "r")


def test_a_retry_of_refused_content_takes_the_file_that_replaced_it(desk: Desk, target: str, run_command: RunCommand) -> None:
    desk.run(RUN_DATE - timedelta(days=7), [WEEK], [OTC])
    on = ("--db", target, "--run-date", str(RUN_DATE))
    desk.publish(WEEK, OTC, REVISED[:1])
    weekly = ("--data-dir", desk.folder, "--weeks", str(WEEK), "--tiers", OTC, "--min-kept-percent", "90")
    run_id = json.loads(run_command("run_finra_weekly_schedule", *on, *weekly, "--json").stdout)["run_id"]
    again = run_command("spine", "retry", run_id, *on)
    assert (again.exit_code, again.stdout.count("SHRUNK_CAPTURE: ")) == (1, 1)
    assert f"\nnext: spine gates explain {WEEK} OTC " in again.stdout
    desk.publish(WEEK, OTC, REVISED)
    assert run_command("spine", "retry", run_id, *on).exit_code == 0
    assert desk.db.execute("SELECT SUM(total_shares) FROM finra_otc_transparency_normalized_latest").fetchone() == (2370,)


def remember(db: Database, execution_id: str, outcomes: object, pipeline: str = "weekly_schedule") -> None:
    arguments = {"weeks": [str(WEEK)], "tiers": [OTC]}
    with db.transaction():
        db.execute(
            """
            INSERT INTO core_executions (execution_id, pipeline, run_date, started_at, version, host, pid, arguments_json,
                                         outcomes_json)
            VALUES (?, ?, ?, ?, 'x', 'x', 1, ?, ?)
            """,
            (execution_id, pipeline, str(FRIDAYS[0]), "2026-01-09T12:00:00+00:00", json.dumps(arguments),
             json.dumps(outcomes) if outcomes else None),
        )


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_who_watches_the_run_hears_of_a_backfill_and_of_its_retry_but_the_dead_mans_switch_does_not(
    desk: Desk, target: str, run_command: RunCommand, tmp_path: Path
) -> None:
    desk.publish(WEEK, OTC).write_bytes(b"")
    with http_listener() as listener:
        hook = listener.url.replace("http://", "json://me:geheim@")
        on = ("--db", target, "--notify", hook, "--metrics-textfile", str(tmp_path / "x.prom"), "--pushgateway", listener.url)
        env = {"MARKET_SPINE_PING_URL": f"{listener.url}/ping"}
        weeks = ("--from", str(WEEK), "--to", str(WEEK), "--run-date", str(RUN_DATE), "--data-dir", desk.folder)
        failed = run_command("spine", "backfill", *weeks, *on, "--json", env=env)
        assert failed.exit_code == 1, failed.stderr
        assert 'anomalies_unresolved{severity="ERROR"} 1.0' in (tmp_path / "x.prom").read_text()
        desk.publish(WEEK, OTC)
        assert run_command("spine", "retry", json.loads(failed.stdout)["run_id"], *on, env=env).exit_code == 0
        assert 'anomalies_unresolved{severity="ERROR"} 0.0' in (tmp_path / "x.prom").read_text()
        told = [request.json["title"] for request in listener.seen if request.path == "/"]
    assert told == [f"Market Spine: EMPTY_FILE {WEEK} / OTC", f"Market Spine: over: EMPTY_FILE {WEEK} / OTC"]
    assert {request.path.partition("?")[0] for request in listener.seen} == {"/", "/metrics/job/market_spine"}
    kept = desk.db.execute("SELECT arguments_json FROM core_executions").fetchall()
    assert "geheim" not in str(kept)
