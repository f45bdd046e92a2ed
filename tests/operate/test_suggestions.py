"""Every command the program prints, pasted as printed into the real program: the state moves on, and nothing runs in a circle.

They are carried out in this process, where there are hundreds; a real shell is asked where it matters (`office.shell`).
"""

from __future__ import annotations

import json
import os
import shlex
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.commands import Finished, RunCommand, run_here
from support.database_picture import core
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.app import normalize
from market_spine.core.locks import run_lock
from market_spine.db import Database
from market_spine.operate import prune, rollback
from market_spine.partition import NMS_TIER_1, OTC, TIERS

DAY = FRIDAYS[0]
WEEKS = [WEEK + timedelta(weeks=n) for n in range(7)]
LOOKS = ("spine status --weeks {}", "spine doctor --weeks {} --deep", "spine anomalies --unresolved", "spine verify")
STEPS = 8  # more than these to repair one week are a circle
PLAIN_WORDS = ("needs other content from FINRA: ", "LATE_DATA: not there yet", "only a backup")


@dataclass
class Office:
    """A desk whose weeks are ready, and the shell of the operator who looks after it."""

    desk: Desk
    target: str
    home: Path
    shell: RunCommand | None = None
    day: date = DAY
    grace_days: int = 1

    def paste(self, line: str) -> Finished:
        """What a person does with a printed command."""
        scripts = sysconfig.get_path("scripts")
        env = {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "MARKET_SPINE_RUN_DATE": str(self.day)}
        env["MARKET_SPINE_GRACE_DAYS"] = str(self.grace_days)
        env["PGPASSWORD"] = urlsplit(self.target).password or "" if "://" in self.target else ""
        words = shlex.split(line)
        finished = self.shell("/bin/sh", "-c", line, env=env) if self.shell else run_here(words, self.home, env)
        assert finished.exit_code in (0, 1, 2) and "Error:" not in finished.stderr, f"{line}\n{finished}"
        return finished

    def look(self, command: str) -> Finished:
        weeks = (self.day - WEEK).days // 7 + 1  # from the day back to the week
        return self.paste(f"{command.format(weeks)} --db '{self.target}'")

    def week(self) -> dict[str, Any]:
        document = json.loads(self.look("spine status --weeks {} --json").stdout)
        return next(week for week in document["weeks"] if week["week_ending"] == str(WEEK))

    def weekly(self, more: str = "") -> Finished:
        return self.paste(f"run_finra_weekly_schedule --weeks {WEEK} --data-dir '{self.desk.folder}' --db '{self.target}' {more}")

    def change(self, statement: str) -> None:
        with self.desk.db.transaction():
            self.desk.db.execute(statement)

    def state(self) -> object:
        """Everything that tells one state of the store from another."""
        picture = core(self.desk.db)
        captures = self.desk.db.execute("SELECT capture_id, content_hash, normalized_at FROM finra_otc_transparency_capture")
        results = self.desk.db.execute("SELECT capture_id FROM finra_otc_transparency_week").fetchall()
        volume = self.desk.db.execute("SELECT COUNT(*) FROM finra_otc_transparency_volume").fetchone()
        return {**picture, "captures": sorted(map(str, captures)), "results": sorted(map(str, results)), "volume": volume[0]}


@pytest.fixture
def office(db: Database, target: str, tmp_path: Path) -> Office:
    desk = Desk(tmp_path / "the files", db)  # a blank, as people have them
    for n, week in enumerate(WEEKS):
        desk.publish_weeks([week], (*PLAIN, (f"WEEK{n}", "UBSA", "UBS ATS", 100 + n, 1)))
    desk.run(DAY, WEEKS[1:])
    return Office(desk, target, tmp_path)


def next_of(finished: Finished) -> str | None:
    lines = [line for line in finished.stdout.splitlines() if line.startswith("next: ")]
    return lines[-1].removeprefix("next: ") if lines else None


def suggested(office: Office) -> list[str]:
    """Every command that the cells of the grid and the gaps name."""
    gaps = json.loads(office.look("spine doctor --weeks {} --deep --json").stdout)["gaps"]
    found = [entry["command"] for entry in gaps + office.week()["tiers"]]
    return [f"{command} --db '{office.target}'" for command in dict.fromkeys(found) if command]


# ------------------------------------------------------------------------------------------------------------ the states


def file_of(office: Office, tier: str = OTC) -> Path:
    return office.desk.folder / f"{tier.lower()}_week_{WEEK}.psv"


def missing(office: Office) -> None:
    file_of(office).unlink()
    office.weekly()


def late(office: Office) -> None:
    file_of(office).unlink()
    office.grace_days = 60
    office.weekly()


def empty_file(office: Office) -> None:
    file_of(office).write_bytes(b"")
    office.weekly()


def no_rows(office: Office) -> None:
    office.desk.publish(WEEK, OTC, ())
    office.weekly()


def rejects(office: Office) -> None:
    path = office.desk.publish(WEEK, OTC)
    path.write_text(path.read_text().replace("|10|", "|x|").replace("|5|", "|y|"))
    office.weekly()


def two_files(office: Office) -> None:
    file_of(office).with_suffix(".csv").write_text("x")
    office.weekly()


def shrunk(office: Office) -> None:
    office.weekly()
    office.day = FRIDAYS[1]
    office.desk.publish(WEEK, OTC, PLAIN[:1])
    office.weekly()


def program_failed(office: Office) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault")

    office.weekly("--only-stage ingest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalize, "_normalize", fail)
        office.desk.run(DAY, [WEEK], only="normalize")


def only_ingested(office: Office) -> None:
    office.weekly("--only-stage ingest")


def only_normalized(office: Office) -> None:
    office.weekly("--only-stage ingest")
    office.weekly("--only-stage normalize")


def withdrawn(office: Office) -> None:
    office.weekly()
    rollback.roll_back(office.desk.context(DAY), WEEK, [OTC], "faulty")
    assert office.weekly().exit_code == 1, "the source still shows only what was withdrawn"


def withdrawn_over_a_good_one(office: Office) -> None:
    office.weekly()
    office.day = FRIDAYS[1]
    office.desk.publish(WEEK, OTC, REVISED)
    office.weekly()
    rollback.roll_back(office.desk.context(FRIDAYS[1]), WEEK, [OTC], "faulty")


def pruned(office: Office) -> None:
    withdrawn_over_a_good_one(office)
    office.desk.publish(WEEK, OTC, ())
    office.day = FRIDAYS[2]
    office.weekly()
    prune.prune(office.desk.context(FRIDAYS[3]), 0, "old")


DAMAGE = """
UPDATE finra_otc_transparency_raw SET content = SUBSTR(content, 1, 20) WHERE content_hash IN
    (SELECT content_hash FROM finra_otc_transparency_capture WHERE tier = 'OTC' AND week_ending = '2025-11-28')
"""


def damaged(office: Office) -> None:
    office.weekly()
    office.change(DAMAGE)


def damaged_before_it_was_normalized(office: Office) -> None:
    office.weekly("--only-stage ingest")
    office.change(DAMAGE)
    office.weekly("--only-stage normalize")


def orphans(office: Office) -> None:
    office.weekly()
    office.change(
        "INSERT INTO finra_otc_transparency_volume (capture_key, issue_id, venue_id, total_shares, total_trades)"
        " VALUES (7777, 1, 1, 1, 1)"
    )


def lost_manifest_row(office: Office) -> None:
    office.weekly()
    office.change("DELETE FROM core_manifest WHERE stage = 'RAW' AND capture_id LIKE '%:OTC:2025-11-28:%'")


def lost_result(office: Office) -> None:
    office.weekly()
    office.change("DELETE FROM finra_otc_transparency_week WHERE week_ending = '2025-11-28'")


def wrong_judgement(office: Office) -> None:
    office.weekly()
    office.change("UPDATE core_data_readiness SET is_ready = 0 WHERE partition_key LIKE '%2025-11-28%'")


State = Callable[[Office], None]
BAD_SOURCE: tuple[State, ...] = (missing, late, empty_file, no_rows, rejects, two_files, shrunk, withdrawn, pruned)
GOOD_SOURCE: tuple[State, ...] = (
    program_failed, only_ingested, only_normalized, withdrawn_over_a_good_one, damaged, damaged_before_it_was_normalized,
    orphans, lost_manifest_row, lost_result, wrong_judgement,
)


def cure(office: Office) -> None:
    """FINRA publishes a good file at last."""
    file_of(office).with_suffix(".csv").unlink(missing_ok=True)
    office.desk.publish(WEEK, OTC, (*REVISED, ("TSLA", "UBSA", "UBS ATS", 7, 1)))


def follow(office: Office, look: str) -> int:
    """Pastes what is suggested until nothing is; answers how many commands that took."""
    done: list[str] = []
    while (command := next_of(office.look(look))) is not None:
        before = office.state()
        while command is not None:
            assert len(done) < STEPS, f"a circle: {done}"
            done.append(command)
            command = next_of(office.paste(command))
        assert office.state() != before, f"{done[-1]} changed nothing"
    return len(done)


# ------------------------------------------------------------------------------------------------------------- the tests


@pytest.mark.one_engine
@pytest.mark.parametrize("state", BAD_SOURCE, ids=lambda state: state.__name__)
def test_where_only_finra_can_help_a_command_says_so_and_then_repairs(office: Office, state: State) -> None:
    state(office)
    commands = suggested(office)
    assert commands
    for command in commands:
        before, finished = office.state(), office.paste(command)
        assert any(words in finished.stdout for words in PLAIN_WORDS) or office.state() != before, f"{command}\n{finished}"
    cure(office)
    assert sum(follow(office, look) for look in LOOKS) > 0
    assert office.week()["is_ready"] or state is late


@pytest.mark.one_engine
@pytest.mark.parametrize("state", GOOD_SOURCE, ids=lambda state: state.__name__)
def test_what_is_suggested_ends_with_the_week_ready(office: Office, state: State) -> None:
    state(office)
    if state is withdrawn_over_a_good_one:
        cure(office)
    assert sum(follow(office, look) for look in LOOKS) > 0
    assert office.week()["is_ready"]


@pytest.mark.one_engine
def test_doctor_takes_the_file_that_replaced_a_refused_one(office: Office, run_command: RunCommand) -> None:
    office.shell = run_command
    no_rows(office)
    office.desk.publish(WEEK, OTC)
    fixed = office.paste(f"spine doctor --weeks 7 --fix --data-dir '{office.desk.folder}' --db '{office.target}'")
    assert (fixed.exit_code, fixed.stdout.splitlines()[-1]) == (0, "No gaps."), fixed


def test_nothing_is_suggested_for_what_is_awaited(office: Office) -> None:
    for tier in TIERS:
        file_of(office, tier).unlink()
    office.day = date(2025, 12, 12)
    assert [next_of(office.look(look)) for look in LOOKS[:2]] == [None, None]


@pytest.mark.one_engine
def test_a_command_that_met_a_lock_works_when_it_is_over(office: Office, run_command: RunCommand) -> None:
    office.shell = run_command
    missing(office)
    cure(office)
    command = next_of(office.look(LOOKS[0]))
    assert command
    with run_lock(office.desk.db, "another"), pytest.raises(AssertionError, match="holds the lock"):
        office.paste(command)
    assert office.paste(command).exit_code == 0


@pytest.mark.one_engine
def test_a_path_with_a_blank_is_quoted(office: Office, run_command: RunCommand) -> None:
    office.shell = run_command
    missing(office)
    command = next_of(office.look(LOOKS[0]))
    assert command and f"--data-dir '{office.desk.folder}'" in command
    assert f"--tiers {OTC}" in command and NMS_TIER_1 not in command
