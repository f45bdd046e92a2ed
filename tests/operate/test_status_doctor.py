"""How weeks stand, what is not there, and the command for it: as values on both engines, and as an operator sees it."""

from __future__ import annotations

import json
import shlex
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.core import contents, executions
from market_spine.core.anomalies import record_anomaly
from market_spine.db import Database, redact
from market_spine.operate import doctor, gaps, rollback, status
from market_spine.operate.verify import verify
from market_spine.outcome import Phase
from market_spine.partition import DOMAIN, NMS_TIER_1, NMS_TIER_2, OTC, partition_key

DUE_T1, DUE_OTHERS = date(2025, 12, 15), date(2025, 12, 29)  # of WEEK
DAY = FRIDAYS[1]


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return Desk(tmp_path / "files", db)


def cells(desk: Desk, on: date = DAY) -> list[str]:
    return [str(cell) for cell in status.examine(desk.context(on), [WEEK])[0].cells]


def found(desk: Desk, on: date = DAY, *, deep: bool = False) -> list[tuple[str, str | None, str]]:
    return [(gap.kind.value, gap.tier, gap.command) for gap in gaps.find_gaps(desk.context(on), [WEEK], deep=deep)]


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (DUE_T1 - timedelta(days=1), ["awaiting", "awaiting", "awaiting"]),
        (DUE_T1, ["due", "awaiting", "awaiting"]),
        (DUE_T1 + timedelta(days=1), ["late", "awaiting", "awaiting"]),
        (DUE_T1 + timedelta(days=2), ["missing", "awaiting", "awaiting"]),
        (DUE_OTHERS, ["missing", "due", "due"]),
        (DUE_OTHERS + timedelta(days=2), ["missing", "missing", "missing"]),
    ],
    ids=str,
)
@pytest.mark.one_engine
def test_what_is_absent_is_awaited_late_or_missing_by_its_day(desk: Desk, on: date, expected: list[str]) -> None:
    assert cells(desk, on) == expected
    assert len(found(desk, on)) == sum(cell != "awaiting" for cell in expected)


def test_what_is_missing_is_asked_where_the_newest_run_asked(desk: Desk) -> None:
    def asked_of(source: str, hour: int) -> None:
        now = datetime(2026, 1, 9, hour, tzinfo=timezone.utc)
        executions.start(desk.db, f"run-{hour}", "weekly_schedule", DAY, {"source": source}, now)

    command = f"spine backfill --weeks {WEEK} --tiers {NMS_TIER_1}"
    assert found(desk)[0][2] == command
    asked_of("api", 9)
    executions.start(desk.db, "run-rebuild", "rebuild", DAY, {}, datetime(2026, 1, 9, 10, tzinfo=timezone.utc))
    assert found(desk)[0][2] == f"{command} --source api"
    assert status.next_command(status.examine(desk.context(DAY), [WEEK])) == f"{command} --source api"
    asked_of("file", 11)
    assert found(desk)[0][2] == command


def test_a_whole_week_is_ready_and_has_no_gap(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    desk.run()
    rows = status.examine(desk.context(DAY), [WEEK])
    assert (rows[0].is_ready, rows[0].blocks, status.next_command(rows)) == (True, [], None)
    assert cells(desk) == ["ready"] * 3
    assert found(desk) == []


def test_a_restated_tier_counts_its_revisions_and_a_withdrawn_one_says_so(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    desk.run()
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    assert cells(desk) == ["ready", "ready", "ready (revised 1)"]
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, [OTC], "faulty")
    row = status.examine(desk.context(FRIDAYS[2]), [WEEK])[0]
    assert str(row.cells[2]) == "withdrawn (CALC)"
    assert (row.is_ready, row.blocks) == (False, ["OTC: withdrawn (faulty); a good capture is awaited"])
    rollback.undo(desk.context(FRIDAYS[2]), WEEK, [OTC], "x")
    assert cells(desk) == ["ready", "ready", "ready (revised 1)"]


@pytest.mark.parametrize(
    ("stages", "cell", "gap"),
    [
        (("ingest",), "pending (RAW)", ("NORMALIZED", OTC, "spine run finra.otc_transparency.normalize_week")),
        (("ingest", "normalize"), "pending (NORMALIZED)", ("CALC", OTC, "spine run finra.otc_transparency.compute_venue_volume")),
    ],
)
def test_a_stage_left_undone_names_the_pipeline_for_it(
    desk: Desk, stages: tuple[str, ...], cell: str, gap: tuple[str, str, str]
) -> None:
    desk.publish(WEEK, OTC)
    for stage in stages:
        desk.run(tiers=[OTC], only=stage)
    assert cells(desk)[2] == cell
    kind, tier, command = next(of for of in found(desk) if of[1] == OTC)
    assert (kind, tier, command) == (gap[0], gap[1], f"{gap[2]} 2025-11-28 OTC")


def test_a_refused_file_fails_the_cell_unless_a_good_capture_stands(desk: Desk) -> None:
    desk.publish(WEEK, OTC, ())
    desk.run(tiers=[OTC])
    assert cells(desk)[2] == "failed (RAW)"
    desk.publish(WEEK, OTC)
    desk.run(FRIDAYS[1])
    assert cells(desk)[2] == "ready"
    desk.publish(WEEK, OTC, PLAIN[:0])
    desk.run(FRIDAYS[2])
    cell = status.examine(desk.context(FRIDAYS[2]), [WEEK])[0].cells[2]
    assert (str(cell), cell.problem) == ("ready !", "NO_ROWS: no good row in 0 lines; fetch the file again")


def test_a_critical_anomaly_fails_its_tier(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    desk.run()
    record_anomaly(
        desk.db, domain=DOMAIN, severity="CRITICAL", category="RULE", message="odd", now=desk.context().now,
        partition_key=partition_key(str(WEEK), NMS_TIER_2),
    )
    assert cells(desk) == ["ready", "failed (CALC)", "ready"]


def test_stale_week_results_are_a_gap(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    desk.run()
    desk.publish(WEEK, OTC, REVISED)
    for stage in ("ingest", "normalize"):
        desk.run(FRIDAYS[1], tiers=[OTC], only=stage)
    with desk.db.transaction():
        desk.db.execute("DELETE FROM finra_otc_transparency_week_tier")
        desk.db.execute("DELETE FROM finra_otc_transparency_week")
    desk.run(FRIDAYS[1], tiers=[OTC], only="readiness")
    kinds = [kind for kind, _, _ in found(desk)]
    assert kinds == ["CALC"]
    assert doctor.fix(desk.context(DAY), desk.source, gaps.find_gaps(desk.context(DAY), [WEEK]))
    assert found(desk) == []
    with desk.db.transaction():
        desk.db.execute("DELETE FROM finra_otc_transparency_week")
    assert found(desk) == [("WEEK", None, "spine run finra.otc_transparency.compute_weekly_totals 2025-11-28")]


ORPHANS = {
    "volume": "INSERT INTO finra_otc_transparency_volume (capture_key, issue_id, venue_id, total_shares, total_trades)"
    " VALUES (77, 1, 1, 1, 1)",
    "venue_measure": "INSERT INTO finra_otc_transparency_venue_measure (capture_key, venue_id, total_shares, total_trades,"
    " symbol_count, rank) VALUES (77, 1, 1, 1, 1, 1)",
    "symbol_measure": "INSERT INTO finra_otc_transparency_symbol_measure (capture_key, issue_id, total_shares, ats_shares,"
    " total_trades, venue_count) VALUES (77, 1, 1, 1, 1, 1)",
    "core_manifest": "INSERT INTO core_manifest (domain, stage, partition_key, capture_id, captured_at, created_at) VALUES"
    " ('finra.otc_transparency', 'RAW', '{\"week_ending\": \"2025-11-28\", \"tier\": \"OTC\"}', 'no:such', 'x', 'x')",
}


@pytest.mark.parametrize(("table", "statement"), ORPHANS.items(), ids=ORPHANS)
def test_rows_without_a_capture_are_found_and_removed(desk: Desk, table: str, statement: str) -> None:
    desk.publish_weeks([WEEK])
    desk.run()
    with desk.db.transaction():
        desk.db.execute(statement)
    orphans = [gap for gap in gaps.find_gaps(desk.context(DAY), [WEEK]) if gap.kind is gaps.Kind.ORPHANS]
    assert len(orphans) == 1 and table in orphans[0].what
    doctor.fix(desk.context(DAY), desk.source, orphans)
    assert found(desk) == []
    assert desk.db.execute("SELECT COUNT(*) FROM finra_otc_transparency_normalized").fetchone() == (3 * len(PLAIN),)


def test_damaged_bytes_are_a_gap_and_fetched_again(desk: Desk) -> None:
    desk.publish_weeks([WEEK], PLAIN)
    desk.run(DAY)
    with desk.db.transaction():
        desk.db.execute("UPDATE finra_otc_transparency_raw SET content = SUBSTR(content, 1, 20)")
    command = "spine backfill --weeks 2025-11-28 --tiers NMS_TIER_1 --force"
    assert (found(desk), found(desk, deep=True)[0]) == ([], ("BYTES", NMS_TIER_1, command))
    doctor.fix(desk.context(DAY), desk.source, gaps.find_gaps(desk.context(DAY), [WEEK], deep=True))
    assert found(desk, deep=True) == []


def test_bytes_that_are_gone_are_a_gap_without_reading_the_others(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.publish_weeks([WEEK], PLAIN)
    desk.run(DAY)
    with desk.db.transaction():
        desk.db.execute(
            "DELETE FROM finra_otc_transparency_raw WHERE content_hash IN "
            "(SELECT content_hash FROM finra_otc_transparency_capture WHERE tier = 'OTC')"
        )
    monkeypatch.setattr(contents, "read_raw", None)
    assert found(desk) == [("BYTES", OTC, f"spine backfill --weeks {WEEK} --tiers {OTC} --force")]


def test_verify_names_the_doctor_that_hashes(desk: Desk, target: str, run_command: RunCommand) -> None:
    desk.publish_weeks([WEEK], PLAIN)
    desk.run(DAY)
    with desk.db.transaction():
        desk.db.execute("UPDATE finra_otc_transparency_raw SET content = SUBSTR(content, 1, 20)")
    command = f"spine doctor --weeks {WEEK} --deep"
    assert {fault.remedy for fault in verify(desk.db) if fault.where.startswith("blob")} == {command}
    deep = run_command(*shlex.split(command), "--json", "--db", target)
    assert {gap["kind"] for gap in json.loads(deep.stdout)["gaps"]} == {"BYTES"}


@pytest.mark.one_engine
def test_the_commands_show_a_grid_a_list_and_mend(desk: Desk, target: str, run_command: RunCommand) -> None:
    desk.publish_weeks([WEEK])
    desk.run(tiers=[OTC], only="ingest")
    on = ("--run-date", str(DAY), "--db", target)
    text = run_command("spine", "status", "--weeks", "8", *on).stdout
    line = next(line for line in text.splitlines() if line.startswith("2025-11-28"))
    assert line.split("  ")[1:] and "missing" in line and "pending (RAW)" in line
    command = "spine run finra.otc_transparency.normalize_week 2025-11-28 OTC"
    assert f"\nnext: {command} --db {redact(target)}\n" in text
    document = json.loads(run_command("spine", "status", "--weeks", "8", "--json", *on).stdout)
    states = {week["week_ending"]: [tier["state"] for tier in week["tiers"]] for week in document["weeks"]}
    assert states["2025-11-28"] == ["missing", "missing", "pending"]
    asked = ("spine", "doctor", "--from", str(WEEK), "--to", str(WEEK), "--data-dir", desk.folder, *on)
    sick = run_command(*asked)
    assert (sick.exit_code, len(sick.stdout.splitlines())) == (1, 5)
    fetch = f"spine backfill --weeks {WEEK} --tiers {NMS_TIER_1}"
    assert sick.stdout.splitlines()[-1] == f"next: {fetch} --db {redact(target)} --data-dir {desk.folder}"
    mended = run_command(*asked, "--fix")
    assert (mended.exit_code, mended.stdout.splitlines()[-1]) == (0, "No gaps."), mended.stdout + mended.stderr
    assert json.loads(run_command(*asked, "--json").stdout) == {"schema_version": 1, "gaps": [], "exit_code": 0}
    assert run_command("spine", "doctor", "--from", str(WEEK), *on).exit_code == 2
    with desk.db.transaction():
        desk.db.execute("DELETE FROM core_migrations WHERE number > 2")
    old = run_command(*asked)
    assert (old.exit_code, old.stdout.splitlines()[-1]) == (1, f"next: spine db migrate --db {redact(target)}")


def test_a_lost_raw_row_is_written_again_from_the_bytes(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    desk.run()
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    before = raw_rows_of(desk)
    with desk.db.transaction():
        desk.db.execute("DELETE FROM core_manifest WHERE stage = 'RAW' AND capture_id LIKE ?", ("%:OTC:%",))
    assert [gap[0] for gap in found(desk) if gap[1] == OTC] == ["MANIFEST", "MANIFEST"]
    doctor.fix(desk.context(DAY), desk.source, gaps.find_gaps(desk.context(DAY), [WEEK]))
    assert raw_rows_of(desk) == before
    assert found(desk) == []
    assert list(verify(desk.db, deep=True)) == []
    assert {outcome.reason for outcome in desk.run(FRIDAYS[2]).of(Phase.INGEST)} == {"unchanged"}


def raw_rows_of(desk: Desk) -> list[tuple[object, ...]]:
    """The RAW rows without what only the run that took the capture knew: why it did, and what the source said of its date."""
    rows = desk.db.execute(
        "SELECT capture_id, row_count, captured_at, metadata_json FROM core_manifest WHERE stage = 'RAW' ORDER BY capture_id"
    ).fetchall()
    return [(*own, {**json.loads(metadata), "reason": None, "source_last_updated": None}) for *own, metadata in rows]


def test_a_raw_row_whose_bytes_are_gone_too_needs_a_backup(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    desk.run()
    with desk.db.transaction():
        desk.db.execute("DELETE FROM core_manifest WHERE stage = 'RAW' AND capture_id LIKE ?", ("%:OTC:%",))
        desk.db.execute(
            "DELETE FROM finra_otc_transparency_raw WHERE content_hash IN "
            "(SELECT content_hash FROM finra_otc_transparency_capture WHERE tier = 'OTC')"
        )
    assert ("BYTES", OTC, f"spine backfill --weeks {WEEK} --tiers {OTC} --force") in found(desk)
