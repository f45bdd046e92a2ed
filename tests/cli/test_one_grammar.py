"""One grammar for all commands: which weeks and tiers a command is about, and what the shell completes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
import pytest
from support.commands import Finished, run_here
from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine.cli import grammar
from market_spine.cli.spine import command as spine
from market_spine.cli.weekly import command as weekly
from market_spine.core.anomalies import record_anomaly
from market_spine.db import Database
from market_spine.partition import NMS_TIER_1, OTC, partition_key

BEFORE, LATER = date(2025, 11, 21), date(2025, 12, 5)
DAY = {"MARKET_SPINE_RUN_DATE": str(FRIDAYS[0])}


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    """Every parameter that is shown, with its command."""

    def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Parameter]]:
        for inner in command.list_commands(click.Context(command)) if isinstance(command, click.Group) else ():
            found = command.get_command(click.Context(command), inner)
            assert found is not None
            yield from walk(f"{name} {inner}", found)
        yield from ((name, param) for param in command.params if not getattr(param, "hidden", False))

    yield from walk("spine", spine)
    yield from walk("run_finra_weekly_schedule", weekly)


def names(param: click.Parameter) -> list[str]:
    """The names that are shown, of an option."""
    return param.shown if isinstance(param, grammar.Renamed) else param.opts


def test_weeks_and_tiers_are_lists_unless_a_command_is_about_one_partition() -> None:
    single = [name for name, param in parameters() if {"--week", "--tier"} & set(names(param))]
    assert set(single) == {"spine import"}, "the files that are named are of one partition, and FILE takes the positions"
    with_weeks = {name for name, param in parameters() if "--weeks" in names(param)}
    with_last = {name for name, param in parameters() if "--last" in names(param)}
    assert with_last - with_weeks == {"spine work enqueue-due", "spine report"}, "what is due, and what is newest, has no name"
    assert with_weeks <= with_last
    counted = [name for name, param in parameters() if "--weeks" in names(param) and isinstance(param.type, click.IntRange)]
    assert counted == []


COMPLETED = ("week", "weeks", "tier", "tiers", "run_id", "anomaly_id", "capture")


def test_the_shell_completes_every_week_tier_run_anomaly_and_capture() -> None:
    silent = [
        f"{name} {param.name}"
        for name, param in parameters()
        if param.name in COMPLETED and param._custom_shell_complete is None
    ]
    assert silent == []


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """Three weeks that are ready."""
    made = Desk(tmp_path / "files", db)
    for n, week in enumerate((BEFORE, WEEK, LATER)):
        made.publish_weeks([week], (*REVISED, ("OWN", "UBSA", "UBS ATS", 10 + n, 1)))
        for tier in ("NMS_TIER_2", OTC):
            made.publish(week, tier, (*REVISED, ("OWN", "UBSA", "UBS ATS", 100 * len(tier) + n, 1)))
    made.run(FRIDAYS[0], weeks=(BEFORE, WEEK, LATER))
    return made


@pytest.fixture
def typed(desk: Desk, target: str, tmp_path: Path) -> Any:
    """What a person types."""

    def run(*words: str, **variables: str) -> Finished:
        database = () if words[1] == "calendar" else ("--db", target)
        return run_here([*words, *database], tmp_path, {**DAY, **variables})

    return run


def weeks_shown(words: tuple[str, ...], done: Finished) -> list[str]:
    """The weeks of a document, as they come."""
    assert done.exit_code in (0, 1), done.stderr
    document = json.loads(done.stdout)
    if words[1] == "trend":
        return [point["week_ending"] for point in document["tiers"][0]["points"]][::-1]
    return list(dict.fromkeys(each["week_ending"] for each in document["weeks" if words[1] == "status" else "partitions"]))


ASKING = [("spine", "status"), ("spine", "trend", "rows"), ("spine", "calendar")]


@pytest.mark.parametrize("words", ASKING, ids=lambda words: words[1])
def test_weeks_are_counted_listed_or_a_range(words: tuple[str, ...], typed: Any) -> None:
    def shown(*more: str, **variables: str) -> list[str]:
        return weeks_shown(words, typed(*words, *more, "--json", **variables))

    variable = f"MARKET_SPINE_{words[1].upper()}_WEEKS"
    assert shown("--weeks", f"{BEFORE}..{LATER}") == shown("--weeks", f"{WEEK},{LATER},{BEFORE}") == [str(LATER), str(WEEK), str(BEFORE)]
    assert len(shown("--last", "9")) == len(shown("--weeks", "9")) == len(shown(**{variable: "9"})) == 9
    assert len(shown("--last", "8", **{variable: "9"})) == 8
    both = typed(*words, "--last", "3", "--weeks", str(WEEK))
    assert (both.exit_code, both.stderr) == (2, "Error: --last and --weeks exclude each other. Try: leave one of them out\n")
    latest = typed(*words, "--weeks", "latest", "--json")
    if words[1] == "calendar":
        assert "this command reads no database. Try: name the week" in latest.stderr
    else:
        assert weeks_shown(words, latest) == [str(LATER)]


def test_anomalies_and_items_are_listed_of_several_weeks(desk: Desk, typed: Any) -> None:
    for week in (BEFORE, WEEK, LATER):
        key = partition_key(str(week), OTC)
        record_anomaly(desk.db, domain="finra.otc_transparency", severity="WARN", category="RAISED", message=str(week), partition_key=key)
        typed("spine", "work", "enqueue", "ingest_week", str(week), "OTC")
    for weeks, expected in ((f"{BEFORE}..{WEEK}", {BEFORE, WEEK}), (f"{LATER},{BEFORE}", {BEFORE, LATER}), ("latest", {LATER})):
        for option in ("--weeks", "--week"):
            listed = json.loads(typed("spine", "anomalies", "--severity", "WARN", option, weeks, "--json").stdout)["anomalies"]
            assert {each["message"] for each in listed} == set(map(str, expected))
            items = json.loads(typed("spine", "work", "list", option, weeks, "--json").stdout)["items"]
            assert {item["partition_key"]["week_ending"] for item in items} == set(map(str, expected))


def test_a_difference_understands_latest_and_finras_names(desk: Desk, typed: Any) -> None:
    desk.publish(LATER, NMS_TIER_1, REVISED)
    desk.run(FRIDAYS[1], weeks=(LATER,))
    short, long = typed("spine", "diff", "latest", "T1"), typed("spine", "diff", str(LATER), NMS_TIER_1)
    assert (short.exit_code, short.stdout) == (0, long.stdout)


def test_the_last_week_of_a_list_or_range_is_completed(desk: Desk, target: str) -> None:
    ctx = click.Context(spine.get_command(click.Context(spine), "card"))  # type: ignore[arg-type]
    ctx.params["db"] = target
    param = next(iter(ctx.command.params))
    assert grammar.complete_week(ctx, param, f"{BEFORE},2025-11-2") == [f"{BEFORE},{WEEK}", f"{BEFORE},{BEFORE}"]
    assert grammar.complete_week(ctx, param, f"{BEFORE}..2025-12") == [f"{BEFORE}..{LATER}"]
    assert grammar.complete_week(ctx, param, "la") == ["latest"]
