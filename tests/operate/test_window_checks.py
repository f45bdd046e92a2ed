"""What verify and doctor find about windows, and what their commands make of it."""

from __future__ import annotations

import shlex
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.commands import run_here
from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine.app import scheduler
from market_spine.core import windows as tables
from market_spine.db import Database
from market_spine.operate import doctor, gaps, prune
from market_spine.operate.verify import verify
from market_spine.operate.windows import keep
from market_spine.partition import NMS_TIER_1, OTC
from market_spine.query import as_of, windows

WEEKS = tuple(WEEK - timedelta(weeks=back) for back in reversed(range(5)))
LAST = f"window of 3 weeks to {WEEK} / OTC"


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """Five weeks of one tier, with windows of two and three weeks; the last week was restated, and an older one is withdrawn."""
    made = Desk(tmp_path / "files", db)
    for n, week in enumerate(WEEKS):
        made.publish(week, OTC, (*REVISED, ("OWN", "MPID", "A VENUE", 100 + n, 1)))
    made.run(FRIDAYS[0], weeks=WEEKS, tiers=(OTC,))
    keep(made.context(FRIDAYS[0]), (2, 3))
    made.publish(WEEK, OTC, REVISED)
    made.run(FRIDAYS[1], weeks=WEEKS, tiers=(OTC,))
    return made


def faults(desk: Desk) -> list[str]:
    return [str(fault) for fault in verify(desk.db) if "window" in str(fault)]


def missing(desk: Desk) -> list[gaps.Gap]:
    return [gap for gap in gaps.find_gaps(desk.context(FRIDAYS[1]), WEEKS, (OTC,)) if gap.kind is gaps.Kind.WINDOWS]


def test_what_a_run_made_is_right(desk: Desk) -> None:
    assert (faults(desk), missing(desk)) == ([], [])


CHANGES = [
    pytest.param("UPDATE finra_otc_transparency_window_tier SET hhi = 0.5", f"{LAST}: has 0.5 as hhi, its captures give ", True, id="HHI"),
    pytest.param(
        "UPDATE finra_otc_transparency_window_tier SET total_shares = total_shares + 1", f"{LAST}: has ", True, id="shares"
    ),
    pytest.param(
        "UPDATE finra_otc_transparency_window_venue SET slope = slope + 1",
        f"{LAST}: has figures of venues that its captures do not give: ", True, id="a venue",
    ),
    pytest.param("DELETE FROM finra_otc_transparency_window_venue", f"{LAST}: has figures of venues ", True, id="no venues"),
    pytest.param(
        "UPDATE finra_otc_transparency_window SET inputs_hash = 'x'", f"{LAST}: is filed under x, and its captures are ", False, id="hash"
    ),
    pytest.param("DELETE FROM finra_otc_transparency_window_tier", f"{LAST}: has no figures", False, id="no figures"),
]


@pytest.mark.parametrize(("change", "fault", "is_rebuilt"), CHANGES)
def test_a_window_that_its_captures_do_not_give_is_named(desk: Desk, change: str, fault: str, is_rebuilt: bool) -> None:
    (_, key) = max((each.made_at, each.window_key) for each in tables.between(desk.db, str(WEEK), str(WEEK)) if each.length == 3)
    desk.db.execute(f"{change} WHERE window_key = {key}")
    named = [each for each in verify(desk.db) if str(each).startswith(fault)]
    assert len(named) == 1, faults(desk)
    assert named[0].remedy == (f"spine rebuild {WEEK}" if is_rebuilt else "spine help recovery")


def test_the_command_repairs_the_figures(desk: Desk, target: str, tmp_path: Path) -> None:
    password = {"PGPASSWORD": urlsplit(target).password or "" if "://" in target else ""}
    desk.db.execute("UPDATE finra_otc_transparency_window_tier SET hhi = 0.5")
    checked = run_here(["spine", "verify", "--db", target], tmp_path, {})
    assert checked.exit_code == 1
    for _ in WEEKS:
        line = checked.stdout.splitlines()[-1]
        run_here([*shlex.split(line.removeprefix("next: "))], tmp_path, password | {"MARKET_SPINE_RUN_DATE": str(FRIDAYS[1])})
        checked = run_here(["spine", "verify", "--db", target], tmp_path, {})
    assert (checked.exit_code, checked.stdout) == (0, "No faults.\n")


def test_a_pruned_week_is_no_fault(desk: Desk) -> None:
    assert prune.prune(desk.context(FRIDAYS[1] + timedelta(days=900)), 30, "space")
    assert faults(desk) == []


def lose(desk: Desk) -> None:
    """Windows that are gone, though the log of events has been followed to its end."""
    for table in ("", "_input", "_tier", "_venue"):
        desk.db.execute(f"DELETE FROM finra_otc_transparency_window{table}")


def test_windows_that_are_missing_are_named_with_the_command_that_makes_them(desk: Desk, target: str, tmp_path: Path) -> None:
    lose(desk)
    (gap,) = missing(desk)
    assert gap.what == f"7 windows are not made; the first is the window of 2 weeks to {WEEKS[1]} / OTC"
    assert gap.command == "spine windows --lengths 2,3"
    assert faults(desk)[:1] == [f"window of 2 weeks to {WEEKS[1]} / OTC: is not made"]
    made = run_here([*shlex.split(str(gap.command)), "--db", target], tmp_path, {"MARKET_SPINE_RUN_DATE": str(FRIDAYS[1])})
    assert made.stdout == "Windows of 2, 3 weeks are kept; made 7\n"
    assert (faults(desk), missing(desk)) == ([], [])


def test_what_the_next_run_makes_is_a_gap_and_no_fault(desk: Desk) -> None:
    """As after an upgrade, or where a run was killed before it made them."""
    lose(desk)
    tables.follow(desk.db, 0, (2, 3))
    assert (len(missing(desk)), faults(desk)) == (1, [])
    desk.run(FRIDAYS[2], weeks=WEEKS, tiers=(OTC,))
    assert (missing(desk), faults(desk)) == ([], [])


def test_doctor_makes_them_too(desk: Desk) -> None:
    lose(desk)
    run = desk.context(FRIDAYS[1])
    run.dry = True
    doctor.fix(run, desk.source, missing(desk))
    assert missing(desk)
    doctor.fix(desk.context(FRIDAYS[1]), desk.source, missing(desk))
    assert (faults(desk), missing(desk)) == ([], [])


def test_what_cannot_be_made_is_not_missing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another tier has no weeks; a week that is not measured makes its own gap."""
    desk.publish(WEEK, OTC, (*REVISED, ("NEW", "MPID", "A VENUE", 5, 1)))
    with monkeypatch.context() as patch:
        patch.setattr(scheduler.calc, "measure", lambda run, capture: None)
        desk.run(FRIDAYS[2], weeks=WEEKS, tiers=(OTC,), only="normalize")
    assert missing(desk) == []
    assert NMS_TIER_1 not in " ".join(faults(desk))


def test_the_reason_is_the_same_today_and_as_of_today(desk: Desk) -> None:
    """A day is answered later as it was answered then, byte for byte."""
    lose(desk)
    reasons = {windows.select(desk.db, [WEEK], (OTC,), 3, before)[0].reason for before in (None, as_of.end_of(FRIDAYS[1]))}
    assert reasons == {"not made yet"}


def test_the_reason_stands_whole_at_the_end(desk: Desk, target: str, tmp_path: Path) -> None:
    ran = run_here(["spine", "windows", str(WEEKS[1]), "OTC", "--db", target], tmp_path, {"COLUMNS": "80"})
    lines = ran.stdout.splitlines()
    assert lines[0].split() == ["window", "to", "weeks", "state", "inputs", "made", "at", "HHI", "shares", "reason"]
    absent = WEEKS[0] - timedelta(weeks=1)
    assert [line.split(maxsplit=3)[2:] for line in lines if "missing" in line] == [["missing", f"{absent} OTC missing"]]


def test_other_weeks_are_left_alone(desk: Desk) -> None:
    lose(desk)
    assert gaps.missing_windows(desk.db, []) == []
    assert gaps.missing_windows(desk.db, [date(2020, 1, 3)]) == []
