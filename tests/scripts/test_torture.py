"""A few rounds of kill -9 at random moments, and some of every other fault. Hundreds: `python scripts/torture.py`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import weekly_files
from support.commands import RunCommand
from torture import log_kills, promises
from torture.rounds import chaos, torture

from market_spine.db import Database

on_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "engine", "rounds"),
    [
        pytest.param("kill", "sqlite", 2, id="kill -9, SQLite"),
        pytest.param("kill", "postgresql", 1, id="kill -9, PostgreSQL"),
        pytest.param("signal", "sqlite", 1, id="SIGTERM and SIGINT"),
        pytest.param("disk", "sqlite", 1, id="the disk is full"),
        pytest.param("disk", "postgresql", 1, id="the server's disk is full", marks=on_root),
        pytest.param("server", "postgresql", 1, id="the server crashes"),
    ],
)
def test_broken_at_random_moments_nothing_is_lost_doubled_or_half_visible(fault: str, engine: str, rounds: int) -> None:
    told = torture(fault, engine, rounds, seed=20)

    assert told["faults"] == []
    assert told["rounds"] == rounds
    assert told["looks"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_killed_command_leaves_no_change_without_its_event(engine: str) -> None:
    done = log_kills.kill(engine, 6, seed=3)
    assert (done["faults"], done["killed"]) == ([], 6)


BREAKAGES = {
    "a normalized capture has all its rows": "DELETE FROM finra_otc_transparency_volume WHERE issue_id = 1",
    "no rows stand without their capture being normalized": "UPDATE finra_otc_transparency_capture SET normalized_at = NULL",
    "a capture's rows sum to its total": "UPDATE finra_otc_transparency_capture SET total_shares = total_shares + 1",
    "the manifest and the captures agree": "DELETE FROM core_manifest WHERE stage = 'NORMALIZED'",
    "every capture has its RAW row and its bytes": "DELETE FROM finra_otc_transparency_raw",
    "every manifest row of a tier has its capture": "DELETE FROM finra_otc_transparency_capture WHERE tier = 'OTC'",
    "a tier is measured as a whole or not at all": "DELETE FROM finra_otc_transparency_tier_measure",
    "a venue share of a tier sums to one": "UPDATE finra_otc_transparency_venue_measure SET share = share + 0.01",
    "a week has its three tiers and its manifest row": "DELETE FROM finra_otc_transparency_week_tier WHERE tier = 'OTC'",
    "a ready week has three current captures": "UPDATE finra_otc_transparency_capture SET withdrawn_at = '2026' WHERE tier = 'OTC'",
}


def test_what_breaks_a_promise_is_found(run_command: RunCommand, target: str, db: Database, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    weekly_files.write_week(folder, "2025-12-26")
    assert run_command("run_finra_weekly_schedule", "--db", target, "--data-dir", folder, "--weeks", "2025-12-26").exit_code == 0
    assert promises.broken(db) == []
    for promise, breakage in BREAKAGES.items():
        db.execute("BEGIN")
        db.execute(breakage)
        found = [rows for name, query in promises.PROMISES.items() if (rows := db.execute(query).fetchall()) and name == promise]
        db.rollback()
        assert found, promise


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_with_everything_at_once_every_answer_is_right(engine: str) -> None:
    happened = chaos(engine, 1, seed=3)

    assert happened["faults"] == []
    assert happened["strikes"]
