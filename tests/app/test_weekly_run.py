"""The shipped command on files: what a user runs, on both engines, judged by what the database then holds."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from support import database_picture, weekly_files
from support.commands import Finished, RunCommand

from market_spine import db as databases
from market_spine.db import Database

RUN = "run_finra_weekly_schedule"
WEEK = "2025-12-26"
DAY, NEXT_DAY = "2026-01-30", "2026-01-31"


def weekly(run_command: RunCommand, target: str, folder: Path, *more: str, day: str = DAY, weeks: str = WEEK) -> Finished:
    return run_command(RUN, "--db", target, "--data-dir", folder, "--weeks", weeks, "--run-date", day, *more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weekly_files.write_week(tmp_path / "files", WEEK)
    return tmp_path / "files"


def figures(stdout: str) -> dict[str, str]:
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in stdout.splitlines()) if value}


def test_a_week_goes_all_the_way_to_ready(run_command: RunCommand, new_target: str, folder: Path) -> None:
    done = weekly(run_command, new_target, folder)
    assert done.exit_code == 0, done.stderr
    told = figures(done.stdout)
    assert (told["Ingested"], told["Normalized"], told["Calculations OK"], told["Weeks ready"]) == ("3", "3", "1", "1")
    assert "2025-12-26 / OTC: ✓ Ingested 30 rows (NEW, capture …:20260130)" in done.stderr
    assert done.stdout.splitlines()[-1] == "Exit code: 0"


@pytest.mark.one_engine
def test_the_summary_has_the_shape_the_runbook_knows(run_command: RunCommand, target: str, folder: Path) -> None:
    rule = "=" * 70
    expected = f"""SUMMARY
{rule}
Target weeks:         2025-12-26
Weeks processed:      1
Total partitions:     3 (1 weeks × 3 tiers)

Ingestion:
  Ingested:           3
  Skipped (unchanged): 0
  Failed:             0

Normalization:
  Normalized:         3
  Failed:             0

Analytics:
  Calculations OK:    1
  Calculations failed: 0

Readiness:
  Weeks:              1 ready, 0 awaiting, 0 blocked
  Weeks ready:        1
  Weeks not ready:    0

Anomalies:            0 CRITICAL, 0 ERROR, 0 WARN, 0 INFO
{rule}
Exit code: 0
"""
    shown, checkpoint = re.subn(r"\nCheckpoint: {11}market-spine/\w{16} \d+ \S{44}\n", "", weekly(run_command, target, folder).stdout)
    assert (shown, checkpoint) == (expected, 1)


def test_a_second_run_changes_no_row(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    weekly(run_command, target, folder)
    before = database_picture.views(db), database_picture.core(db)["manifest"]
    done = weekly(run_command, target, folder)
    assert done.exit_code == 0
    assert figures(done.stdout)["Skipped (unchanged)"] == "3"
    assert (database_picture.views(db), database_picture.core(db)["manifest"]) == before
    skips = db.execute(
        "SELECT severity, seen_count, resolved_at IS NOT NULL FROM core_anomalies WHERE category = 'UNCHANGED'"
    ).fetchall()
    assert [tuple(map(int, row[1:])) for row in skips] == [(1, 1)] * 3
    weekly(run_command, target, folder)
    counts = db.execute("SELECT seen_count FROM core_anomalies WHERE category = 'UNCHANGED'").fetchall()
    assert [row[0] for row in counts] == [2] * 3


@pytest.mark.parametrize("first", ["ingest", "normalize"], ids=["after ingest", "after normalize"])
def test_what_a_run_left_undone_the_next_one_completes(
    run_command: RunCommand, target: str, folder: Path, db: Database, first: str
) -> None:
    weekly(run_command, target, folder, "--only-stage", "ingest")
    if first == "normalize":
        weekly(run_command, target, folder, "--only-stage", "normalize")
    done = weekly(run_command, target, folder)
    assert done.exit_code == 0
    assert figures(done.stdout)["Weeks ready"] == "1"
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_weekly_totals_latest").fetchone()[0] == 1


def test_a_restatement_stands_beside_the_old_capture(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    weekly(run_command, target, folder)
    week_before = database_picture.views(db)["finra_otc_transparency_weekly_totals"]
    weekly_files.write(folder, WEEK, "OTC", weekly_files.lines("OTC", shares=200))
    done = weekly(run_command, target, folder, day=NEXT_DAY)
    told = figures(done.stdout)
    assert (told["Ingested"], told["Skipped (unchanged)"], told["Weeks ready"]) == ("1", "2", "1")
    assert "(CHANGED, capture …:20260131)" in done.stderr
    old = db.execute(
        "SELECT SUM(total_shares) FROM finra_otc_transparency_normalized "
        "WHERE week_ending = '2025-12-26' AND tier = 'OTC' AND capture_id LIKE '%:20260130'"
    ).fetchone()[0]
    latest = db.execute("SELECT SUM(total_shares) FROM finra_otc_transparency_normalized_latest WHERE tier = 'OTC'").fetchone()[0]
    assert (old, latest) == (46_500, 93_000)
    weeks = database_picture.views(db)["finra_otc_transparency_weekly_totals"]
    assert len(weeks) == 2
    assert week_before[0] in weeks
    assert db.execute("SELECT total_shares FROM finra_otc_transparency_weekly_totals_latest").fetchone()[0] == 186_000


def test_the_same_day_replays_into_the_same_capture(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    weekly(run_command, target, folder)
    weekly_files.write(folder, WEEK, "OTC", weekly_files.lines("OTC", symbols=8))
    assert weekly(run_command, target, folder).exit_code == 0
    captures = db.execute("SELECT capture_id, row_count FROM finra_otc_transparency_capture WHERE tier = 'OTC'").fetchall()
    assert [tuple(row) for row in captures] == [("finra.otc_transparency:OTC:2025-12-26:20260130", 24)]
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_normalized WHERE tier = 'OTC'").fetchone()[0] == 24
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_raw").fetchone()[0] == 4
    split = db.execute("SELECT total_shares FROM finra_otc_transparency_tier_split_latest WHERE tier = 'OTC'").fetchall()
    assert [row[0] for row in split] == [100 * sum(range(1, 25))]


def test_a_bad_replay_never_replaces_a_good_capture(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    weekly(run_command, target, folder)
    before = database_picture.views(db)
    path = weekly_files.write(folder, WEEK, "OTC", ["<html>Sorry</html>"])
    done = weekly(run_command, target, folder)
    assert done.exit_code == 1
    assert database_picture.views(db) == before
    assert figures(done.stdout)["Weeks ready"] == "1"
    weekly_files.write(folder, WEEK, "OTC")
    done = weekly(run_command, target, folder)
    assert done.exit_code == 0, f"{path} is good again"
    assert database_picture.views(db) == before
    open_errors = db.execute("SELECT message FROM core_anomalies WHERE severity = 'ERROR' AND resolved_at IS NULL").fetchall()
    assert open_errors == []


@pytest.mark.one_engine
def test_force_ingests_what_is_unchanged(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    weekly(run_command, target, folder)
    before = database_picture.views(db)
    done = weekly(run_command, target, folder, "--force")
    assert figures(done.stdout)["Ingested"] == "3"
    assert figures(done.stdout)["Normalized"] == "3"
    assert "(FORCED, capture …:20260130)" in done.stderr
    assert database_picture.views(db) == before
    weekly(run_command, target, folder, "--force", day=NEXT_DAY)
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_capture").fetchone()[0] == 6


def test_kept_content_of_an_older_day_leaves_the_newer_capture_current(
    run_command: RunCommand, target: str, folder: Path, db: Database
) -> None:
    weekly(run_command, target, folder, day=NEXT_DAY)
    weekly_files.write(folder, WEEK, "OTC", weekly_files.lines("OTC", shares=300))
    observed = ("--weeks", WEEK, "--as-observed-on", DAY, "--db", target, "--data-dir", folder)
    assert run_command("run_finra_weekly_schedule", *observed).exit_code == 0
    current = db.execute("SELECT run_date FROM finra_otc_transparency_current WHERE tier = 'OTC'").fetchall()
    assert [row[0] for row in current] == [NEXT_DAY]


@pytest.mark.parametrize(
    ("name", "content", "category"),
    [
        ("otc_week_2025-12-26.psv", None, "SOURCE_UNAVAILABLE"),
        ("otc_week_2025-12-26.psv", b"", "EMPTY_FILE"),
        ("otc_week_2025-12-26.psv", weekly_files.HEADER.encode() + b"\n", "NO_ROWS"),
        ("otc_week_2025-12-26.psv", bytes(range(256)) * 40, "NO_HEADER"),
        ("otc_week_2025-12-26.psv", b"<!DOCTYPE html>\n<html><body>Sorry|</body></html>\n", "NO_HEADER"),
        ("otc_week_2025-12-26.psv.gz", gzip.compress(b"x" * 9999)[:-9], "SOURCE_UNREADABLE"),
        ("otc_week_2025-12-26.psv.gz", b"not gzip", "SOURCE_UNREADABLE"),
        (
            "otc_week_2025-12-26.psv",
            "\n".join([weekly_files.HEADER, *weekly_files.lines("OTC")]).replace("|", ";").encode(),
            "NO_HEADER",
        ),
        (
            "otc_week_2025-12-26.psv",
            "\n".join(
                [weekly_files.HEADER, *weekly_files.lines("OTC", 400), "OTC|A|A Inc.|X ATS|X|6,753,871|1|2026-01-26"]
            ).encode(),
            "THOUSANDS_SEPARATOR",
        ),
        (
            "otc_week_2025-12-26.psv",
            "\n".join([weekly_files.HEADER, *weekly_files.lines("NMS_TIER_2")]).encode(),
            "WRONG_PARTITION",
        ),
    ],
    ids=[
        "missing", "empty", "header only", "binary", "HTML", "cut gzip", "no gzip", "semicolons", "thousands comma", "other tier",
    ],
)
@pytest.mark.one_engine
def test_one_bad_partition_harms_no_other(
    run_command: RunCommand, target: str, folder: Path, db: Database, name: str, content: bytes | None, category: str
) -> None:
    (folder / "otc_week_2025-12-26.psv").unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    done = weekly(run_command, target, folder)
    assert done.exit_code == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert f"2025-12-26 / OTC: ✗ {category}" in done.stderr
    assert figures(done.stdout)["Normalized"] == "2"
    found = db.execute("SELECT category FROM core_anomalies WHERE severity = 'ERROR' AND resolved_at IS NULL").fetchall()
    assert [row[0] for row in found] == [category]
    weekly_files.write(folder, WEEK, "OTC", ending=".psv.gz" if name.endswith("gz") else ".psv")
    if name.endswith("gz"):
        (folder / name).write_bytes(gzip.compress((folder / name).read_bytes()))
    done = weekly(run_command, target, folder)
    assert (done.exit_code, figures(done.stdout)["Weeks ready"]) == (0, "1")
    assert db.execute("SELECT COUNT(*) FROM core_anomalies WHERE severity = 'ERROR' AND resolved_at IS NULL").fetchone()[0] == 0


def test_when_every_partition_fails_the_run_is_critical(run_command: RunCommand, target: str, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    assert weekly(run_command, target, tmp_path / "nothing").exit_code == 2


def test_rejects_are_kept_with_line_and_reason(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    rows = weekly_files.lines("OTC", symbols=40)
    rows[3] = rows[3].replace("|S001|", "||")
    weekly_files.write(folder, WEEK, "OTC", rows)
    done = weekly(run_command, target, folder)
    assert done.exit_code == 0
    assert "✓ Normalized 119 rows (1 rejected)" in done.stderr
    assert [tuple(row) for row in db.execute("SELECT line_number, reason, line FROM core_rejects")] == [
        (5, "blank symbol", rows[3])
    ]
    warned = db.execute("SELECT severity, affected_records FROM core_anomalies WHERE category = 'REJECTED_ROWS'").fetchall()
    assert [tuple(row) for row in warned] == [("WARN", 1)]


@pytest.mark.parametrize(("percent", "exit_code"), [("9", 1), ("11", 0)])
def test_too_many_rejects_keep_a_file_from_becoming_current(
    run_command: RunCommand, target: str, folder: Path, db: Database, percent: str, exit_code: int
) -> None:
    rows = weekly_files.lines("OTC")
    rows[:3] = [row.replace("|S000|", "||") for row in rows[:3]]
    weekly_files.write(folder, WEEK, "OTC", rows)
    assert weekly(run_command, target, folder, "--max-reject-percent", percent).exit_code == exit_code
    current = db.execute("SELECT COUNT(*) FROM finra_otc_transparency_current WHERE tier = 'OTC'").fetchone()[0]
    assert current == (exit_code == 0)


def latest_views(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """What is current; a held capture is in the other views."""
    return {name: rows for name, rows in database_picture.views(db).items() if name.endswith("_latest")}


def test_a_shrunken_restatement_waits_for_a_human(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    weekly(run_command, target, folder)
    before = latest_views(db)
    weekly_files.write(folder, WEEK, "OTC", weekly_files.lines("OTC", symbols=4))
    done = weekly(run_command, target, folder, day=NEXT_DAY)
    assert done.exit_code == 1
    assert "SHRUNK_CAPTURE" in done.stderr
    assert latest_views(db) == before
    assert weekly(run_command, target, folder, day=NEXT_DAY).exit_code == 1, "it stays an error until somebody decides"
    assert weekly(run_command, target, folder, "--accept-shrink", day=NEXT_DAY).exit_code == 0
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_normalized_latest WHERE tier = 'OTC'").fetchone()[0] == 12


def test_missing_tiers_leave_the_week_unready_but_the_tier_measured(
    run_command: RunCommand, target: str, folder: Path, db: Database
) -> None:
    done = weekly(run_command, target, folder, "--tiers", "otc")
    assert done.exit_code == 0
    assert "Missing tiers [NMS_TIER_1, NMS_TIER_2], skipping cross-tier calcs" in done.stderr
    assert "Not ready: Missing tiers: NMS_TIER_1, NMS_TIER_2" in done.stderr
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_venue_share_latest").fetchone()[0] == 3
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_weekly_totals").fetchone()[0] == 0


@pytest.mark.one_engine
def test_json_is_one_document_with_every_outcome(run_command: RunCommand, target: str, folder: Path) -> None:
    (folder / "otc_week_2025-12-26.psv").write_bytes(b"")
    done = weekly(run_command, target, folder, "--json")
    document = json.loads(done.stdout)
    assert (document["schema_version"], document["exit_code"], done.exit_code) == (1, 1, 1)
    by_tier = {(p["tier"], p["phase"]): (p["outcome"], p["reason"]) for p in document["partitions"]}
    assert by_tier["NMS_TIER_1", "ingest"] == ("done", "NEW")
    assert by_tier["OTC", "ingest"] == ("failed", "EMPTY_FILE")
    assert document["counts"]["ingested"] == 2
    assert document["readiness"][0]["blocking_issues"] == ["Missing tiers: OTC"]


def test_the_execution_row_tells_how_it_went(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    weekly(run_command, target, folder)
    row = db.execute("SELECT run_date, exit_code, finished_at IS NOT NULL, arguments_json FROM core_executions").fetchone()
    assert (row[0], row[1], int(row[2])) == (DAY, 0, 1)
    assert json.loads(row[3])["weeks"] == [WEEK]


@pytest.mark.one_engine
def test_fail_fast_stops_at_the_first_failure(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    (folder / "nms_tier_1_week_2025-12-26.psv").unlink()
    done = weekly(run_command, target, folder, "--fail-fast")
    assert done.exit_code == 1
    assert db.execute("SELECT COUNT(*) FROM finra_otc_transparency_capture").fetchone()[0] == 0


# ------------------------------------------------------------------------------------------------------------- dry run


def test_a_dry_run_on_nothing_creates_nothing(run_command: RunCommand, tmp_path: Path, folder: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = weekly(run_command, str(tmp_path / "deep" / "new.db"), folder, "--mode", "dry-run")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        "Would process weeks: 2025-12-26", "[DRY-RUN] Would ingest 2025-12-26 / NMS_TIER_1 (NEW)",
    ]
    assert done.stdout.splitlines()[-3:] == [
        "Summary: 3 ingests, 0 skips, 3 to normalize, 4 to calculate", "No database writes performed.", "Exit code: 0",
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_says_what_the_run_then_does(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    weekly(run_command, target, folder)
    weekly_files.write(folder, WEEK, "OTC", weekly_files.lines("OTC", shares=200))
    (folder / "nms_tier_2_week_2025-12-26.psv").unlink()
    before = database_picture.everything(db)
    rehearsed = weekly(run_command, target, folder, "--mode", "dry-run", "--json", day=NEXT_DAY)
    assert database_picture.everything(db) == before
    performed = weekly(run_command, target, folder, "--json", day=NEXT_DAY)

    def ingests(done: Finished) -> list[tuple[str, str, str]]:
        partitions = json.loads(done.stdout)["partitions"]
        return [(p["tier"], p["outcome"], p["reason"]) for p in partitions if p["phase"] == "ingest"]

    assert ingests(rehearsed) == ingests(performed)
    assert rehearsed.exit_code == performed.exit_code == 1


@pytest.mark.one_engine
def test_finras_real_otc_file(run_command: RunCommand, target: str, tmp_path: Path, samples_dir: Path, db: Database) -> None:
    content = (samples_dir / "otc_20251229.csv").read_bytes()
    (tmp_path / "otc_week_2025-11-28.psv").write_bytes(content)
    done = weekly(run_command, target, tmp_path, "--tiers", "OTC", weeks="2025-11-28")
    assert done.exit_code == 0
    assert "Normalized 4,654 rows (1 rejected)" in done.stderr
    assert [row[0] for row in db.execute("SELECT reason FROM core_rejects")] == ["blank symbol"]
    volume: dict[str, int] = defaultdict(int)
    for line in content.decode().splitlines()[1:]:
        fields = line.split("|")
        if fields[1]:
            volume[fields[4]] += int(fields[5])
    shares = {row[0]: row[1] for row in db.execute("SELECT mpid, share FROM finra_otc_transparency_venue_share_latest")}
    assert set(shares) == set(volume)
    assert math.isclose(math.fsum(shares.values()), 1, abs_tol=1e-12)
    total = sum(volume.values())
    assert all(math.isclose(shares[mpid], volume[mpid] / total, rel_tol=1e-12) for mpid in volume)
    hhi = db.execute("SELECT hhi FROM finra_otc_transparency_hhi_latest WHERE scope = 'TIER'").fetchone()[0]
    assert math.isclose(hhi, sum((v / total) ** 2 for v in volume.values()), rel_tol=1e-12)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_both_engines_hold_the_same(run_command: RunCommand, target: str, folder: Path, tmp_path: Path, db: Database) -> None:
    rows = weekly_files.lines("OTC")
    rows[5] = rows[5].replace("|600|", "|600.125001|")
    rows[6] = rows[6].replace("|S002|", "||")
    weekly_files.write(folder, WEEK, "OTC", rows)
    beside = str(tmp_path / "beside.db")
    for place in (target, beside):
        assert weekly(run_command, place, folder, "--max-reject-percent", "10").exit_code == 0
        weekly_files.write(folder, WEEK, "NMS_TIER_1", weekly_files.lines("NMS_TIER_1", shares=150))
        assert weekly(run_command, place, folder, day=NEXT_DAY).exit_code == 0
        weekly_files.write(folder, WEEK, "NMS_TIER_1")
    other = databases.connect(beside)
    here, there = database_picture.everything(db), database_picture.everything(other)
    other.close()
    assert here == there
    assert all(here[view] for view in database_picture.VIEWS)
