"""The weekly command and what it is given: bad options, a newer database, settings of the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import weekly_files
from support.commands import RunCommand

from market_spine.db import Database

RUN, WEEK, DAY = "run_finra_weekly_schedule", "2025-12-26", "2026-01-30"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    weekly_files.write_week(tmp_path / "files", WEEK)
    return tmp_path / "files"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--weeks", "2025/12/26"], "Invalid date format"),
        (["--weeks", "2025-12-22"], "2025-12-22 is a Monday, not a Friday; that week ends on 2025-12-26"),
        (["--tiers", "TIER_9"], "unknown tier 'TIER_9'"),
        (["--lookback-weeks", "0"], "'0' is not a whole number from 1 to 5,200"),
        (["--data-dir", "absent"], "there is no data folder absent"),
        (["--db", "/proc/nothing/here.db"], "no database can be at /proc/nothing/here.db: No such file or directory"),
        (["--db", "."], "is a folder"),
        (["--db", "notes.txt"], "is not a SQLite database"),
        (["--run-date", "yesterday"], "Invalid date format"),
        (["--source", "ftp"], "Invalid value for '--source'"),
        (["--no-such-option"], "No such option"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(run_command: RunCommand, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "notes.txt").write_text("these are notes, not a database\n" * 100)
    before = sorted(tmp_path.rglob("*"))
    done = run_command(RUN, "--data-dir", "data", *arguments, cwd=tmp_path)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_newer_database_is_refused(run_command: RunCommand, target: str, folder: Path, db: Database) -> None:
    with db.transaction():
        db.execute("INSERT INTO core_migrations (number, name, applied_at) VALUES (9999, 'later', '2030-01-01')")
    done = run_command(RUN, "--db", target, "--data-dir", folder, "--weeks", WEEK, "--run-date", DAY)
    assert done.exit_code == 2
    assert "has schema 9999" in done.stderr
    assert db.execute("SELECT COUNT(*) FROM core_executions").fetchone()[0] == 0


def test_options_come_from_the_environment_too(run_command: RunCommand, target: str, folder: Path) -> None:
    env = {"MARKET_SPINE_DB": target, "MARKET_SPINE_DATA_DIR": str(folder), "MARKET_SPINE_WEEKS": WEEK, "MARKET_SPINE_RUN_DATE": DAY,
           "MARKET_SPINE_TIERS": "OTC", "MARKET_SPINE_JSON": "1"}
    document = json.loads(run_command(RUN, env=env).stdout)
    assert (document["tiers"], document["run_date"], document["counts"]["ingested"]) == (["OTC"], DAY, 1)


def test_json_stays_json_when_the_run_cannot_start(run_command: RunCommand, target: str) -> None:
    done = run_command(RUN, "--db", target, "--data-dir", "absent", "--json")
    assert done.exit_code == 2
    assert "there is no data folder" in json.loads(done.stdout)["error"]["message"]
