"""How weeks and tiers may be written, what still works as it was once written, and dry runs."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from support import database_picture as picture
from support.commands import RunCommand
from support.desk import FRIDAYS, OTC, REVISED, WEEK, Desk, restated

from market_spine.cli import grammar
from market_spine.db import Database
from market_spine.errors import InvalidWeek, UnknownTier, UsageError

pytestmark = pytest.mark.one_engine

D1, D2, D3 = date(2025, 12, 12), date(2025, 12, 19), date(2025, 12, 26)


@pytest.mark.parametrize(
    ("text", "weeks"),
    [
        pytest.param("2025-12-26", (D3,), id="one"),
        pytest.param("2025-12-26,2025-12-12", (D3, D1), id="a list, in its order"),
        pytest.param("2025-12-12..2025-12-26", (D1, D2, D3), id="a range"),
        pytest.param("2025-12-26..2025-12-12", (D1, D2, D3), id="a range backwards"),
        pytest.param("2025-12-26, 2025-12-12 .. 2025-12-26", (D3, D1, D2), id="both, each once"),
        pytest.param("latest", (grammar.LATEST,), id="latest"),
    ],
)
def test_weeks(text: str, weeks: tuple[date, ...]) -> None:
    assert grammar.weeks_of(text) == weeks


@pytest.mark.parametrize("text", ["", ",", "2025-12-25..2025-12-26", "..", "2025-12-26..latest", "newest"])
def test_what_is_not_a_week(text: str) -> None:
    with pytest.raises(InvalidWeek):
        grammar.weeks_of(text)


@pytest.mark.parametrize(
    ("text", "tiers"),
    [("T1", ("NMS_TIER_1",)), ("otce,t2", ("NMS_TIER_2", "OTC")), ("otc", ("OTC",)), ("nms_tier_1,T1", ("NMS_TIER_1",))],
)
def test_tiers(text: str, tiers: tuple[str, ...]) -> None:
    assert grammar.tiers_of(text) == tiers


def test_what_is_not_a_tier() -> None:
    with pytest.raises(UnknownTier):
        grammar.tiers_of("T3")
    with pytest.raises(UsageError):
        grammar.count_or_weeks("0")


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return restated(tmp_path / "files", db)


NEW_AND_OLD = [
    pytest.param(("captures", "latest", "OTCE"), ("captures", str(WEEK), "OTC"), id="latest"),
    pytest.param(("query", "hhi", "--weeks", "latest", "--tiers", "T1"), ("query", "hhi", "--week", str(WEEK), "--tier", "NMS_TIER_1"), id="query"),
    pytest.param(("doctor", "--last", "2"), ("doctor", "--weeks", "2"), id="doctor, a count"),
    pytest.param(("doctor", "--weeks", f"{WEEK}..2025-12-05"), ("doctor", "--from", str(WEEK), "--to", "2025-12-05"), id="doctor, a range"),
    pytest.param(("calendar", "--last", "2"), ("calendar", "--weeks", "2"), id="calendar"),
]


@pytest.mark.parametrize(("new", "old"), NEW_AND_OLD)
def test_the_old_spelling_says_the_same(
    desk: Desk, target: str, run_command: RunCommand, new: tuple[str, ...], old: tuple[str, ...]
) -> None:
    database = () if new[0] == "calendar" else ("--db", target)
    day = ("--run-date", str(FRIDAYS[1])) if new[0] in ("doctor", "calendar") else ()
    said = [run_command("spine", *words, *database, *day) for words in (new, old)]
    assert (said[0].stdout, said[0].exit_code) == (said[1].stdout, said[1].exit_code), said[0].stderr
    assert said[0].stdout


@pytest.mark.parametrize(("command", "option"), [("query", "--week,"), ("anomalies", "--week,"), ("doctor", "--from"), ("run", "--tier")])
def test_an_old_spelling_is_not_shown(run_command: RunCommand, command: str, option: str) -> None:
    options = run_command("spine", command, "--help").stdout.partition("Options:")[2].partition("Examples:")[0]
    assert option not in options


def test_a_pipeline_takes_its_week_and_tier_as_positions_or_options(desk: Desk, target: str, run_command: RunCommand) -> None:
    options = ("--data-dir", desk.folder, "--db", target, "--run-date", str(FRIDAYS[2]))
    new = run_command("spine", "run", "ingest_week", "latest", "OTCE", *options)
    old = run_command("spine", "run", "ingest_week", "--week", str(WEEK), "--tier", "OTC", *options)
    assert (new.exit_code, new.stdout) == (0, old.stdout), new.stderr
    assert run_command("spine", "run", "ingest_week", "--db", target).stderr == "Error: Missing argument 'WEEK'. Try: spine run --help\n"


def test_a_mistyped_command_suggests_the_right_one(run_command: RunCommand) -> None:
    assert run_command("spine", "statsu", "--json").stderr == "Error: there is no command 'statsu'. Try: spine status --json\n"
    assert "Try: spine --help" in run_command("spine", "zzz").stderr


def test_help_names_the_environment_variable_of_an_option(run_command: RunCommand) -> None:
    assert "MARKET_SPINE_DB" in run_command("spine", "status", "--help").stdout
    assert "MARKET_SPINE_LOOKBACK_WEEKS" in run_command("run_finra_weekly_schedule", "--help").stdout


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)]
)
def test_colour_can_be_forced_and_forbidden(
    desk: Desk, target: str, run_command: RunCommand, environment: dict[str, str], coloured: bool
) -> None:
    assert ("\x1b[" in run_command("spine", "captures", "--db", target, env=environment).stdout) is coloured


DRY = [
    pytest.param(("rollback", "latest", "OTC", "--reason", "faulty"), id="rollback"),
    pytest.param(("rebuild", "latest"), id="rebuild"),
    pytest.param(("backfill", "--weeks", f"{WEEK}..2025-12-05"), id="backfill"),
    pytest.param(("doctor", "--weeks", f"{WEEK}..2025-12-05", "--fix"), id="doctor --fix"),
]


@pytest.mark.parametrize("words", DRY)
def test_a_dry_run_changes_nothing_and_says_what_it_would_do(
    desk: Desk, target: str, run_command: RunCommand, words: tuple[str, ...]
) -> None:
    desk.publish(WEEK, OTC, REVISED[:3])
    source = ("--data-dir", desk.folder) if words[0] in ("backfill", "doctor") else ()
    before = (picture.views(desk.db), desk.db.execute("SELECT size FROM core_event_head").fetchone())
    done = run_command("spine", *words, "--dry-run", "--db", target, "--run-date", str(FRIDAYS[2]), *source)
    assert done.exit_code in (0, 1), done.stderr
    assert "rolled back" in done.stdout or "No database writes performed." in done.stdout
    assert (picture.views(desk.db), desk.db.execute("SELECT size FROM core_event_head").fetchone()) == before
    (runs,) = desk.db.execute("SELECT COUNT(*) FROM core_executions").fetchone()
    assert runs == 0
    assert run_command("spine", *words, "--db", target, "--run-date", str(FRIDAYS[2]), *source).exit_code in (0, 1, 2)


def complete(run_command: RunCommand, begun: str, target: str) -> list[str]:
    asked = {"_SPINE_COMPLETE": "bash_complete", "COMP_WORDS": begun, "COMP_CWORD": str(begun.count(" ")), "MARKET_SPINE_DB": target}
    return [line.partition(",")[2] for line in run_command("spine", env=asked).stdout.splitlines() if line]


def test_weeks_captures_and_anomalies_are_completed(desk: Desk, target: str, run_command: RunCommand) -> None:
    assert complete(run_command, "spine captures 2025", target) == [str(WEEK)]
    assert complete(run_command, "spine query hhi --tiers OTC,NMS", target) == ["OTC,NMS_TIER_1", "OTC,NMS_TIER_2"]
    assert complete(run_command, "spine pin OTC", target) == [f"OTC:{WEEK}:20260116", f"OTC:{WEEK}:20260109"]
    raised = ("raise", str(WEEK), "--severity", "WARN", "--reason", "x", "--db", target, "--run-date", str(FRIDAYS[1]))
    number = run_command("spine", *raised).stdout.split()[1]
    assert number in complete(run_command, "spine resolve ", target)
    assert complete(run_command, "spine retry 2", "/nowhere/at/all.db") == []


def test_the_weekly_run_is_completed_too(run_command: RunCommand) -> None:
    asked = {"_RUN_FINRA_WEEKLY_SCHEDULE_COMPLETE": "bash_complete", "COMP_WORDS": "run_finra_weekly_schedule --only", "COMP_CWORD": "1"}
    assert run_command("run_finra_weekly_schedule", env=asked).stdout == "plain,--only-stage\n"
    assert "_RUN_FINRA_WEEKLY_SCHEDULE_COMPLETE" in run_command("spine", "completion", "bash").stdout
