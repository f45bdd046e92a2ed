"""What a person raises: it keeps a week from being ready until a person resolves it; and looking at one anomaly, or at rejects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk, ready_week

from market_spine import clock
from market_spine.app.readiness import look
from market_spine.core import replay
from market_spine.core.events import lines
from market_spine.db import Database
from market_spine.errors import InvalidWeek, NotFound
from market_spine.operate import anomalies
from market_spine.partition import NMS_TIER_1, OTC
from market_spine.query import rejects

NOW = clock.moment_of(FRIDAYS[0])


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return ready_week(tmp_path / "files", db)


def ready(desk: Desk) -> tuple[bool, bool, bool]:
    """The week, its Tier 1 and its OTC tier."""
    judged = look(WEEK, desk.db, NOW)
    return not judged.week.issues(), not judged.tiers[NMS_TIER_1].issues(), not judged.tiers[OTC].issues()


@pytest.mark.parametrize(
    ("severity", "tier", "expected"),
    [
        pytest.param("CRITICAL", OTC, (False, True, False), id="critical of a tier"),
        pytest.param("CRITICAL", None, (False, False, False), id="critical of the week"),
        pytest.param("ERROR", OTC, (True, True, True), id="error"),
    ],
)
def test_what_is_raised_blocks_by_its_severity(desk: Desk, severity: str, tier: str | None, expected: tuple[bool, ...]) -> None:
    raised = anomalies.raise_anomaly(desk.db, WEEK, tier, severity, "a faulty file", NOW)
    assert (raised.severity, raised.category, raised.week, raised.tier) == (severity, "RAISED", str(WEEK), tier)
    assert ready(desk) == expected
    stored = desk.db.execute("SELECT is_ready FROM core_data_readiness WHERE partition_key = ?", (f'{{"week_ending": "{WEEK}"}}',))
    assert [bool(is_ready) for (is_ready,) in stored] == [expected[0]]


def test_no_later_run_closes_it_and_a_person_does(desk: Desk) -> None:
    raised = anomalies.raise_anomaly(desk.db, WEEK, OTC, "CRITICAL", "a faulty file", NOW)
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    assert ready(desk) == (False, True, False)
    anomalies.resolve(desk.db, raised.id, "FINRA sent another", clock.moment_of(FRIDAYS[1]))
    assert ready(desk) == (True, True, True)


def test_it_is_an_event_and_an_action(desk: Desk) -> None:
    raised = anomalies.raise_anomaly(desk.db, WEEK, OTC, "CRITICAL", "a faulty file", NOW)
    assert replay.differences(desk.db, replay.replay(lines(desk.db))) == []
    actions = desk.db.execute("SELECT action, target, reason FROM core_operator_actions").fetchall()
    assert [tuple(action) for action in actions] == [("raise", f"anomaly {raised.id}", "a faulty file")]


def test_a_week_is_a_friday(desk: Desk) -> None:
    with pytest.raises(InvalidWeek, match="2025-11-28"):
        anomalies.raise_anomaly(desk.db, WEEK.replace(day=27), OTC, "ERROR", "x", NOW)


def test_the_commands_say_how_it_is_closed(desk: Desk, target: str, run_command: RunCommand) -> None:
    day = ("--run-date", str(FRIDAYS[0]), "--db", target)
    raised = run_command("spine", "raise", str(WEEK), "OTC", "--severity", "critical", "--reason", "a faulty file", *day)
    number = raised.stdout.split()[1]
    assert raised.stdout.splitlines()[-1].startswith(f"to close it: spine resolve {number} --note 'looked at' --db ")
    shown = run_command("spine", "anomalies", "show", number, *day)
    assert "severity:            CRITICAL\n" in shown.stdout
    assert f"next: spine resolve {number} " in shown.stdout
    assert json.loads(run_command("spine", "anomalies", "show", number, "--json", *day).stdout)["anomaly"]["state"] == "open"
    assert run_command("spine", "resolve", number, "--note", "done", *day).exit_code == 0
    missing = run_command("spine", "anomalies", "show", "99999", *day)
    assert (missing.exit_code, "there is no anomaly 99999" in missing.stderr) == (2, True)


def test_rejects_are_listed_by_line(desk: Desk, target: str, run_command: RunCommand) -> None:
    good = [(f"S{n}", "UBSA", "UBS ATS", 5.0, 1) for n in range(40)]
    desk.publish(WEEK, OTC, (*PLAIN, ("", "UBSA", "UBS ATS", 5, 1), *good))
    desk.run(FRIDAYS[1])
    (one,) = rejects.list_rejects(desk.db, f"finra.otc_transparency:OTC:{WEEK}:{FRIDAYS[1]:%Y%m%d}")
    assert (one.line_number, one.reason) == (6, "blank symbol")
    listed = run_command("spine", "rejects", str(WEEK), "OTC", "--db", target)
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == ["line", "6"]
    clean = run_command("spine", "rejects", str(WEEK), "OTC", "--capture", f"OTC:{WEEK}:{FRIDAYS[0]:%Y%m%d}", "--db", target)
    assert clean.stdout.endswith(": no rejected lines\n")
    document = json.loads(run_command("spine", "rejects", str(WEEK), "OTC", "--json", "--db", target).stdout)
    assert (document["total"], document["rejects"][0]["line_number"]) == (1, 6)
    other = run_command("spine", "rejects", "2025-12-05", "OTC", "--db", target)
    assert (other.exit_code, "has no capture" in other.stderr) == (2, True)


def test_an_anomaly_that_is_not_stored_is_not_found(db: Database) -> None:
    with pytest.raises(NotFound):
        anomalies.find(db, 1)
