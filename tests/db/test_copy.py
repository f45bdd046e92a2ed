"""`spine db copy`: from either engine to either, verified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import database_picture, weekly_files
from support.commands import RunCommand

from market_spine import db as databases
from market_spine.db import Database

WEEK = "2025-12-26"


def fill(run_command: RunCommand, target: str, tmp_path: Path) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    rows = weekly_files.lines("OTC", symbols=30)
    rows[4] = rows[4].replace("|S001|", "||").replace("Inc.", "In\\c.\t")
    rows[9] = rows[9].replace("|1000|", "|1000.000001|")
    weekly_files.write(tmp_path / "files", WEEK, "OTC", rows)
    done = run_command(
        "run_finra_weekly_schedule", "--db", target, "--data-dir", tmp_path / "files", "--weeks", WEEK, "--run-date", "2026-01-30"
    )
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_there_and_back_again(run_command: RunCommand, tmp_path: Path, new_target: str) -> None:
    here, back = str(tmp_path / "here.db"), str(tmp_path / "back.db")
    fill(run_command, here, tmp_path)
    there = run_command("spine", "db", "copy", here, new_target, "--json")
    assert there.exit_code == 0, there.stderr
    again = run_command("spine", "db", "copy", new_target, back, "--json")
    assert again.exit_code == 0, again.stderr
    digests = [{t["table"]: (t["rows"], t["digest"]) for t in json.loads(done.stdout)["tables"]} for done in (there, again)]
    assert digests[0] == digests[1]
    assert digests[0]["finra_otc_transparency_volume"][0] == 149
    pictures = []
    for place in (here, new_target, back):
        db = databases.connect(place)
        pictures.append(database_picture.everything(db))
        db.close()
    assert pictures[0] == pictures[1] == pictures[2]
    checkpoint = tmp_path / "checkpoint.txt"
    checkpoint.write_text(run_command("spine", "audit", "checkpoint", "--db", here).stdout, "utf-8")
    for place in (new_target, back):
        audited = run_command("spine", "audit", "verify", "--against", checkpoint, "--db", place)
        assert audited.exit_code == 0, audited.stdout


def test_the_copy_goes_on_where_the_original_stood(run_command: RunCommand, tmp_path: Path, new_target: str) -> None:
    here = str(tmp_path / "here.db")
    fill(run_command, here, tmp_path)
    assert run_command("spine", "db", "copy", here, new_target).exit_code == 0
    weekly_files.write(
        tmp_path / "files", WEEK, "OTC", [*weekly_files.lines("OTC", symbols=31), "OTC|NEW|New Inc.|NEWV ATS|NEWV|5|1|2026-01-26"]
    )
    done = run_command(
        "run_finra_weekly_schedule",
        "--db",
        new_target,
        "--data-dir",
        tmp_path / "files",
        "--weeks",
        WEEK,
        "--run-date",
        "2026-01-31",
    )
    assert done.exit_code == 0, done.stderr
    assert "Skipped (unchanged): 2" in done.stdout


def test_a_database_that_holds_something_is_never_copied_over(
    run_command: RunCommand, tmp_path: Path, target: str, db: Database
) -> None:
    here = str(tmp_path / "here.db")
    fill(run_command, here, tmp_path)
    with db.transaction():
        db.execute("INSERT INTO finra_otc_transparency_issue (symbol, issue_name, product_type) VALUES ('A', 'B', '')")
    done = run_command("spine", "db", "copy", here, target)
    assert done.exit_code == 2
    assert "is not empty" in done.stderr
    assert db.execute("SELECT COUNT(*) FROM core_manifest").fetchone() == (0,)


def test_a_source_that_is_not_there_is_said_so(run_command: RunCommand, tmp_path: Path, new_target: str) -> None:
    done = run_command("spine", "db", "copy", tmp_path / "absent.db", new_target)
    assert done.exit_code == 2
    assert "nothing is stored in" in done.stderr
    assert not (tmp_path / "absent.db").exists()
