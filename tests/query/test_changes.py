"""The feed of changes and the story of a week: nothing missed, nothing twice, and in words a person reads."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, REVISED, WEEK, Desk, ready_week

from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.db import Database, connect
from market_spine.operate import rollback
from market_spine.partition import NMS_TIER_1, OTC, TIERS
from market_spine.query import changes


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    desk = ready_week(tmp_path / "files", db)
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    return desk


def test_the_story_of_a_week_names_the_restatement_with_its_figures(desk: Desk) -> None:
    story = list(changes.story(changes.of_week(desk.db, WEEK)))
    assert "2026-01-16 12:00  2025-11-28 / OTC: restated: 4 → 4 rows, +369.5 shares" in story
    assert story[-2:] == ["2026-01-16 12:00  2025-11-28: week totals and tier split", "2026-01-16 12:00  2025-11-28: ready"]
    assert sum("2025-11-28: " in line and "ready" in line for line in story) == 1  # the last judgement of a run


def test_of_a_tier_only_its_own_and_the_weeks_events_are_told(desk: Desk) -> None:
    told = {entry["subject"] for entry in changes.of_week(desk.db, WEEK, (OTC,))}
    assert told == {str(WEEK), f"{WEEK}/{OTC}"}
    assert {entry["subject"] for entry in changes.of_week(desk.db, WEEK)} == {str(WEEK), *(f"{WEEK}/{t}" for t in TIERS)}


def test_an_unchanged_run_is_one_event(run_command: RunCommand, target: str, tmp_path: Path, db: Database) -> None:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    run = ("run_finra_weekly_schedule", "--data-dir", desk.folder, "--weeks", str(WEEK), "--run-date", "2026-01-09")
    run_command(*run, "--db", target)
    before = events.head(db).size
    run_command(*run, "--db", target)
    (entry,) = changes.since(db, before, 100)
    assert (entry["kind"], entry["body"]["exit_code"], entry["body"]["pipeline"]) == ("run.finished", 0, "weekly_schedule")


def test_a_reader_that_goes_on_from_its_cursor_arrives_at_the_end(desk: Desk) -> None:
    cursor, seen = 0, []
    while found := changes.since(desk.db, cursor, 7):
        seen += [entry["seq"] for entry in found]
        cursor = found[-1]["seq"]
    assert seen == list(range(1, events.head(desk.db).size + 1))
    assert changes.since(desk.db, cursor, 7) == []


def test_eight_writers_and_a_reader_with_a_cursor_miss_nothing(target: str, db: Database) -> None:
    """Each writer commits its own events; numbers follow the commits, so the reader's cursor never passes one over."""
    first = events.head(db).size
    start, done = threading.Barrier(9), threading.Event()

    def write(number: int) -> None:
        own = connect(target)
        start.wait()
        for turn in range(12):
            with own.transaction():
                events.record(own, Kind.CAPTURE_PINNED, f"{number}", "2026-01-09T00:00:00+00:00", turn=turn)
        own.close()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    waiter = threading.Thread(target=lambda: ([writer.join() for writer in writers], done.set()))
    for thread in (*writers, waiter):
        thread.start()
    start.wait()
    cursor, seen = first, []
    while True:
        over = done.is_set()  # asked before the last look
        found = changes.since(db, cursor, 5)
        seen += found
        cursor = found[-1]["seq"] if found else cursor
        if over and not found:
            break
    assert [entry["seq"] for entry in seen] == list(range(first + 1, first + 97))
    assert {(entry["subject"], entry["body"]["turn"]) for entry in seen} == {(str(n), t) for n in range(8) for t in range(12)}


def test_the_commands_print_them(desk: Desk, run_command: RunCommand, target: str) -> None:
    size = events.head(desk.db).size
    document = json.loads(run_command("spine", "changes", "--since", "0", "--json", "--db", target).stdout)
    assert (len(document["events"]), document["cursor"]) == (size, size)
    after = json.loads(run_command("spine", "changes", "--since", str(size), "--json", "--db", target).stdout)
    assert (after["events"], after["cursor"]) == ([], size)
    lines = run_command("spine", "changes", "--limit", "3", "--db", target).stdout.splitlines()
    assert len(lines) == 3
    story = run_command("spine", "log", str(WEEK), OTC, "--db", target).stdout
    assert "restated: 4 → 4 rows" in story
    assert "NMS_TIER_1:" not in story


def test_status_and_anomalies_as_of_a_day_are_what_was_printed(desk: Desk, run_command: RunCommand, target: str) -> None:
    desk.publish(WEEK, NMS_TIER_1, REVISED[:1])  # shrunken: refused
    desk.run(FRIDAYS[2])
    commands, past = (("status", "--weeks", "9", "--json"), ("anomalies", "--unresolved", "--json")), str(FRIDAYS[2])
    then = [run_command("spine", *command, "--run-date", past, "--db", target).stdout for command in commands]
    assert "SHRUNK_CAPTURE" in then[1]
    rollback.roll_back(desk.context(FRIDAYS[3]), WEEK, TIERS, "wrong")
    desk.publish(WEEK, OTC, REVISED[:1])
    desk.run(FRIDAYS[3])
    assert [run_command("spine", *command, "--as-of", past, "--db", target).stdout for command in commands] == then


def test_before_the_log_there_is_nothing_to_tell(desk: Desk, run_command: RunCommand, target: str) -> None:
    done = run_command("spine", "status", "--as-of", "2020-01-01", "--db", target)
    assert done.exit_code == 2
    assert "what was known before it is not recorded" in done.stderr
