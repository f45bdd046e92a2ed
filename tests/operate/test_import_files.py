"""Files under any name: their week and tier are found from their rows, shown, and only then taken."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import DESCRIPTION, HEADER, PLAIN, REVISED, WEEK, Desk

from market_spine.calendar.publication import EXCHANGE
from market_spine.core import captures
from market_spine.db import Database
from market_spine.errors import UsageError
from market_spine.operate.import_files import propose, week_of
from market_spine.parse.identity import Identity, identify
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, Partition


def days(*given: tuple[str, int]) -> Identity:
    counted = Counter({date.fromisoformat(day): count for day, count in given})
    return Identity(counted.total(), Counter(), Counter(), counted)


@pytest.mark.parametrize(
    ("seen", "tier", "week"),
    [
        pytest.param(days(("2025-12-15", 5328)), OTC, "2025-11-14", id="OTC, 31 days before"),
        pytest.param(days(("2025-12-15", 10)), NMS_TIER_1, "2025-11-28", id="tier 1, 17 days before"),
        pytest.param(days(("2026-01-20", 10)), NMS_TIER_2, "2025-12-19", id="a Tuesday after a holiday"),
        pytest.param(days(("2025-12-15", 10), ("2026-01-28", 90)), NMS_TIER_1, "2025-11-28", id="most rows revised later"),
        pytest.param(days(("2025-12-17", 10)), NMS_TIER_1, None, id="a day without publication"),
        pytest.param(days(), NMS_TIER_1, None, id="no date"),
        pytest.param(Identity(3, Counter(), Counter({date(2025, 12, 12): 3}), Counter()), OTC, "2025-12-12", id="named"),
        pytest.param(Identity(2, Counter(), Counter({WEEK: 1, date(2025, 12, 12): 1}), Counter()), OTC, None, id="two named"),
    ],
)
def test_the_week_follows_from_the_rows(seen: Identity, tier: str, week: str | None) -> None:
    found, because = week_of(seen, tier, EXCHANGE)
    assert (str(found) if found else None) == week
    assert because


def test_the_shipped_files_say_their_own_week(fixtures_dir: Path) -> None:
    for path in sorted(fixtures_dir.iterdir()):
        found = propose(path, None, None, EXCHANGE)
        assert path.name.startswith(f"{found.partition.tier.lower()}_week_{found.partition.week}")


def test_real_files_are_recognized(samples_dir: Path) -> None:
    found = {path.name: propose(path, None, None, EXCHANGE).partition for path in sorted(samples_dir.glob("otc_*.csv"))}
    assert found == {
        "otc_20251215.csv": Partition(date(2025, 11, 14), OTC), "otc_20251229.csv": Partition(date(2025, 11, 28), OTC),
    }


def test_a_quoted_file_with_commas_is_read_too() -> None:
    header = HEADER.replace("|", '","')
    content = f'"{header}"\n"NMS Tier 1","A","A, Inc.","UBS ATS","UBSA","10.0","1","2025-12-15"\n'.encode()
    assert identify(content) == Identity(1, Counter({NMS_TIER_1: 1}), Counter(), Counter({date(2025, 12, 15): 1}))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """FINRA's own names, in a folder that no run reads."""
    made = Desk(tmp_path / "made", None)  # type: ignore[arg-type]
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    made.publish(WEEK, OTC).rename(downloads / "otc_20251229.csv")
    made.publish(WEEK, NMS_TIER_1).rename(downloads / "nms1 (1).txt")
    return downloads


@pytest.mark.one_engine
def test_files_get_the_names_that_runs_look_for_and_are_current(
    files: Path, target: str, db: Database, tmp_path: Path, run_command: RunCommand
) -> None:
    options = ("--data-dir", tmp_path / "data", "--db", target, "--run-date", "2026-01-09")
    asked = run_command("spine", "import", *files.iterdir(), *options)
    assert (asked.exit_code, "nobody can confirm" in asked.stderr, (tmp_path / "data").exists()) == (2, True, False)
    shown = run_command("spine", "import", *files.iterdir(), "--dry-run", *options)
    assert (shown.exit_code, str(WEEK) in shown.stdout, (tmp_path / "data").exists()) == (0, True, False)
    done = run_command("spine", "import", *files.iterdir(), "--yes", *options)
    assert done.exit_code == 0, done.stderr
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names == {f"otc_week_{WEEK}.csv", f"nms_tier_1_week_{WEEK}.txt"}
    assert captures.current(db, Partition(WEEK, OTC)) is not None
    actions = db.execute("SELECT action, target FROM core_operator_actions ORDER BY target").fetchall()
    assert [action for action, _ in actions] == ["import", "import"]
    again = run_command("run_finra_weekly_schedule", "--weeks", str(WEEK), "--tiers", "OTC,NMS_TIER_1", *options)
    assert "Skipped (unchanged): 2" in again.stdout


def test_what_would_be_lost_is_not_replaced(files: Path, target: str, tmp_path: Path, run_command: RunCommand) -> None:
    options = ("--data-dir", tmp_path / "data", "--db", target, "--yes", "--run-date", "2026-01-09")
    unseen = Desk(tmp_path / "data", None).publish(WEEK, OTC, REVISED)  # type: ignore[arg-type]
    refused = run_command("spine", "import", files / "otc_20251229.csv", *options)
    assert (refused.exit_code, "another content that was never stored" in refused.stderr) == (2, True)
    assert f"Try: mv {unseen} '{unseen}~'" in refused.stderr
    stored = run_command("run_finra_weekly_schedule", "--weeks", str(WEEK), "--tiers", "OTC", *options[:4], *options[5:])
    assert (stored.exit_code, unseen.exists()) == (0, True)
    replaced = run_command("spine", "import", files / "otc_20251229.csv", *options)
    assert (replaced.exit_code, unseen.exists()) == (0, False), replaced.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == [f"otc_week_{WEEK}.csv"]


@pytest.mark.one_engine
def test_a_good_file_replaces_an_empty_one(files: Path, target: str, tmp_path: Path, run_command: RunCommand) -> None:
    """No run stores an empty file, so waiting for one to do so would never end."""
    options = ("--data-dir", tmp_path / "data", "--db", target, "--run-date", "2026-01-09")
    empty = Desk(tmp_path / "data", None).publish(WEEK, OTC)  # type: ignore[arg-type]
    empty.write_bytes(b"")
    failed = run_command("run_finra_weekly_schedule", "--weeks", str(WEEK), "--tiers", "OTC", *options)
    assert (failed.exit_code, "EMPTY_FILE" in failed.stderr) == (2, True)
    taken = run_command("spine", "import", files / "otc_20251229.csv", "--yes", *options)
    assert (taken.exit_code, empty.exists()) == (0, False), taken.stderr


@pytest.mark.one_engine
def test_a_week_may_be_named_and_a_foreign_file_is_refused(files: Path, target: str, run_command: RunCommand, tmp_path: Path) -> None:
    odd = files / "odd.csv.gz"
    rows = [f"{DESCRIPTION[OTC]}|{s}|{s} Inc.|{v}|{m}|{q}|{t}|2026-01-07" for s, m, v, q, t in PLAIN]
    odd.write_bytes(gzip.compress("\n".join([HEADER, *rows, ""]).encode()))
    options = ("--db", target, "--run-date", "2026-01-09", "--data-dir", tmp_path / "data", "--yes")
    unsaid = run_command("spine", "import", odd, *options)
    assert (unsaid.exit_code, f"Try: spine import {odd} --week FRIDAY" in unsaid.stderr) == (2, True)
    assert run_command("spine", "import", odd, "--week", str(WEEK), *options).exit_code == 0
    (files / "notes.csv").write_text("a,b\n1,2\n")
    foreign = run_command("spine", "import", files / "notes.csv", *options)
    assert (foreign.exit_code, "is not a FINRA header" in foreign.stderr) == (2, True)
    twice = run_command("spine", "import", files / "otc_20251229.csv", odd, "--week", str(WEEK), *options)
    assert (twice.exit_code, "are both of" in twice.stderr) == (2, True)


def test_rows_of_two_tiers_need_a_tier(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    path.write_text("\n".join([HEADER, "OTC|A|A|UBS|UBSA|1|1|2025-12-29", "NMS Tier 1|B|B|UBS|UBSA|1|1|2025-12-29", ""]))
    with pytest.raises(UsageError, match="its rows name NMS_TIER_1 and OTC"):
        propose(path, None, None, EXCHANGE)
