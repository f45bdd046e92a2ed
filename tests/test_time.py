"""A run has one day, New York's at its beginning or the one of --run-date, whatever the clock and the machine do meanwhile."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from freezegun import freeze_time
from support import weekly_files
from support.commands import RunCommand

from market_spine import clock
from market_spine.cli.exit import guarded
from market_spine.cli.weekly import command
from market_spine.db import connect

WEEK = "2025-12-26"
ZONES = ("UTC", "Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kathmandu", "Pacific/Pago_Pago", "No/Such_Zone", "EST5EDT", "")


@contextlib.contextmanager
def machine_in(zone: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


def captures(target: str) -> list[str]:
    with contextlib.closing(connect(target)) as db:
        return [row[0] for row in db.execute("SELECT capture_id FROM finra_otc_transparency_capture ORDER BY capture_id")]


def run_here(target: str, folder: Path, *more: str) -> list[str]:
    """The capture ids of a run in this process, whose clock a test may set."""
    weekly_files.write_week(folder, WEEK)
    assert guarded(command, ["--db", target, "--data-dir", str(folder), "--weeks", WEEK, "-q", *more]) == 0
    return captures(target)


def ids(day: str) -> list[str]:
    return [f"finra.otc_transparency:{tier}:{WEEK}:{day}" for tier in ("NMS_TIER_1", "NMS_TIER_2", "OTC")]


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        pytest.param("2026-01-31T04:59:59", "2026-01-30", id="a second before midnight in New York"),
        pytest.param("2026-01-31T05:00:00", "2026-01-31", id="midnight in New York"),
        pytest.param("2026-01-31T00:00:00", "2026-01-30", id="midnight in UTC"),
        pytest.param("2026-03-08T04:59:59", "2026-03-07", id="before the day of spring"),
        pytest.param("2026-03-08T06:59:59", "2026-03-08", id="before the hour that is left out"),
        pytest.param("2026-03-08T07:00:00", "2026-03-08", id="after the hour that is left out"),
        pytest.param("2026-03-09T03:59:59", "2026-03-08", id="midnight is an hour earlier now"),
        pytest.param("2026-03-09T04:00:00", "2026-03-09", id="and so the next day begins"),
        pytest.param("2026-11-01T05:30:00", "2026-11-01", id="the hour that comes twice, first"),
        pytest.param("2026-11-01T06:30:00", "2026-11-01", id="the hour that comes twice, second"),
        pytest.param("2026-11-02T04:59:59", "2026-11-01", id="midnight is an hour later now"),
    ],
)
def test_the_day_of_a_moment_is_new_york_s_in_every_time_zone(moment: str, day: str) -> None:
    for zone in ZONES:
        with machine_in(zone), freeze_time(moment):
            assert clock.market_date() == date.fromisoformat(day), zone


@pytest.mark.parametrize(
    ("start", "day", "end"),
    [
        pytest.param("2026-01-31T04:59:55", "20260130", "2026-01-31T05", id="across midnight in New York"),
        pytest.param("2026-01-30T23:59:55", "20260130", "2026-01-31T00", id="across midnight in UTC"),
        pytest.param("2026-03-08T06:59:55", "20260308", "2026-03-08T07", id="across the hour of spring"),
        pytest.param("2026-11-01T05:59:55", "20261101", "2026-11-01T06", id="across the hour of autumn"),
    ],
)
def test_a_run_keeps_the_day_on_which_it_began(tmp_path: Path, start: str, day: str, end: str) -> None:
    target = str(tmp_path / "spine.db")
    with freeze_time(start, auto_tick_seconds=1):  # every look at the clock takes a second
        assert run_here(target, tmp_path / "files") == ids(day)
        ended = clock.utc_now().isoformat()
    assert ended[:13] == end, "the run was over before the hour"


def test_a_replayed_day_gives_what_that_day_gave(tmp_path: Path) -> None:
    with freeze_time("2026-01-30T15:00:00"):
        that_day = run_here(str(tmp_path / "that.db"), tmp_path / "files")
    for moment in ("2026-01-31T04:59:59", "2026-03-08T07:00:00", "2027-06-01T12:00:00"):
        with freeze_time(moment), machine_in("Asia/Kathmandu"):
            target = str(tmp_path / f"{moment[:10]}.db")
            assert run_here(target, tmp_path / "files", "--run-date", "2026-01-30") == that_day == ids("20260130")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles", "nonsense"])
def test_the_command_gives_the_same_ids_in_every_zone(run_command: RunCommand, target: str, tmp_path: Path, zone: str) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    arguments = ("--db", target, "--data-dir", tmp_path / "files", "--weeks", WEEK, "--run-date", "2026-01-30")
    done = run_command("run_finra_weekly_schedule", *arguments, env={"TZ": zone})
    assert (done.exit_code, captures(target)) == (0, ids("20260130")), done.stderr
