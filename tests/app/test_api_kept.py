"""The shipped commands over the API: what they keep of responses and of the daily list, and how it is shown again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import daily, status
from stand_ins.finra_rows import daily_rows
from support.commands import Finished, RunCommand

from market_spine.db import Database

pytestmark = pytest.mark.one_engine

FRIDAY = date(2026, 10, 2)
ONE = ("2026-09-11", "NMS_TIER_1")


@pytest.fixture
def service() -> Iterator[FinraFake]:
    with FinraFake(FRIDAY) as fake:
        fake.fill(weeks=7, rows=20)
        fake.page_max = 20
        yield fake


class Program:
    """The commands on one database and the fake service."""

    def __init__(self, run_command: RunCommand, fake: FinraFake, target: str) -> None:
        self._run, self._target = run_command, target
        self._environ = {**fake.environ, "MARKET_SPINE_FIRM_TOTALS": "off"}  # of a partition the rows alone are asked for

    def weekly(self, *more: str, day: date = FRIDAY, **environ: str) -> Finished:
        window = ("--weeks", ONE[0], "--tiers", ONE[1])
        options = ("--source", "api", "--run-date", str(day), "--db", self._target, *window, *more)
        return self._run("run_finra_weekly_schedule", *options, env={**self._environ, **environ})

    def spine(self, *words: str, **environ: str) -> Finished:
        return self._run("spine", *words, "--db", self._target, env={**self._environ, **environ})

    def json(self, *words: str) -> dict[str, object]:
        done = self.spine(*words, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture
def program(run_command: RunCommand, service: FinraFake, target: str) -> Program:
    return Program(run_command, service, target)


def responses(program: Program) -> list[dict[str, object]]:
    (capture,) = program.json("captures", *ONE, "--responses")["captures"]  # type: ignore[misc]
    return capture["contents"][0]["responses"]  # type: ignore[index,no-any-return]


def test_captures_lists_the_responses_of_a_content(program: Program) -> None:
    assert program.weekly().exit_code == 0
    received = responses(program)
    assert [(one["page_no"], one["record_total"], one["record_offset"], one["is_kept"]) for one in received] == [
        (1, 34, 0, False), (2, 34, 20, False),
    ]
    shown = program.spine("captures", *ONE, "--responses").stdout
    assert "finra.otc_transparency:NMS_TIER_1:2026-09-11:20261002@1:\n" in shown
    assert all(str(one["request_id"]) in shown and str(one["content_sha256"])[:8] in shown for one in received)
    plain = program.json("captures", *ONE)["captures"]
    assert "responses" not in plain[0]["contents"][0]  # type: ignore[index]


@pytest.mark.parametrize("by", ["flag", "environment", "backfill"])
def test_a_kept_response_is_printed_byte_for_byte(program: Program, by: str) -> None:
    if by == "backfill":
        week = ("--from", ONE[0], "--to", ONE[0], "--tiers", ONE[1])
        done = program.spine("backfill", *week, "--source", "api", "--run-date", str(FRIDAY), "--keep-wire")
    elif by == "flag":
        done = program.weekly("--keep-wire")
    else:
        done = program.weekly(MARKET_SPINE_KEEP_WIRE="1")
    assert done.exit_code == 0, done.stderr
    for one in responses(program):
        printed = program.spine("raw", *ONE, "--response", str(one["page_no"]))
        assert hashlib.sha256(printed.stdout.encode()).hexdigest() == one["content_sha256"]
        assert len(json.loads(printed.stdout)) == (20 if one["page_no"] == 1 else 14)


REFUSED = [
    pytest.param(("raw", *ONE, "--response", "1"), "was not kept, only its SHA-256", id="not kept"),
    pytest.param(("raw", *ONE, "--response", "3"), "has no response 3; it has 1 to 2", id="no such response"),
    pytest.param(("raw", *ONE, "--response", "0"), "is not a whole number from 1", id="no number of a response"),
    pytest.param(("raw", "--dataset", "otc_daily_list", "--as-of", "2026-10-01"), "no daily list as of 2026-10-01", id="no list"),
    pytest.param(("raw",), "raw needs a WEEK and a TIER", id="nothing named"),
    pytest.param(("raw", ONE[0]), "raw needs a WEEK and a TIER", id="a week alone"),
    pytest.param(("raw", *ONE, "--dataset", "otc_daily_list"), "--dataset goes with --as-of alone", id="a week and a dataset"),
    pytest.param(("captures", *ONE, "--dataset", "otc_daily_list"), "--dataset and WEEK exclude", id="captures of both"),
    pytest.param(("captures", "--responses"), "--responses needs a WEEK", id="all responses there are"),
    pytest.param(("captures", "--dataset", "monthly"), "otc_daily_list", id="an unknown dataset"),
]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_what_cannot_be_shown_is_one_line_and_exit_2(program: Program, words: tuple[str, ...], said: str) -> None:
    program.weekly()
    done = program.spine(*words)
    assert (done.exit_code, done.stdout, said in done.stderr) == (2, "", True), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_content_without_recorded_responses_says_so(program: Program, db: Database) -> None:
    program.weekly()
    db.execute("DELETE FROM finra_otc_transparency_response")
    assert "20261002@1: no responses recorded\n" in program.spine("captures", *ONE, "--responses").stdout
    done = program.spine("raw", *ONE, "--response", "1")
    assert (done.exit_code, "none were recorded" in done.stderr) == (2, True)


# --- The daily list ---------------------------------------------------------------------------------------------------


def test_a_weekly_run_captures_the_daily_list_and_it_is_shown_again(program: Program, service: FinraFake) -> None:
    service.page_max = 5000
    done = program.weekly("--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["daily_list"]["outcome"], document["daily_list"]["reason"]) == (0, "done", "NEW")
    assert "Daily list of 2026-10-02: ✓ Captured 102 rows (NEW)" in done.stderr
    (listed,) = program.json("captures", "--dataset", "otc_daily_list", "--responses")["daily_lists"]  # type: ignore[misc]
    assert listed["name"] == "finra.otc_daily_list:20261002@1"
    assert (listed["rows"], len(listed["responses"]), listed["is_canonical"]) == (102, 1, True)
    shown = program.spine("captures", "--dataset", "otc_daily_list").stdout
    assert "finra.otc_daily_list:20261002@1" in shown and "2026-08-18" in shown
    printed = program.spine("raw", "--dataset", "otc_daily_list", "--as-of", "2026-12-31")
    assert hashlib.sha256(printed.stdout.encode()).hexdigest() == listed["sha256"]
    assert json.loads(printed.stdout)["rows"][0].keys() == daily_rows(FRIDAY)[0].keys()
    assert "canonical document" in printed.stderr
    assert program.spine("verify").exit_code == 0
    later = program.weekly(day=FRIDAY + timedelta(days=1))
    assert "Daily list of 2026-10-03: ✓ Captured" in later.stderr  # the window has moved


def test_a_daily_list_that_fails_leaves_the_run_as_it_is(program: Program, service: FinraFake) -> None:
    service.fail(status(503), when=daily)
    done = program.weekly("--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["exit_code"], document["daily_list"]["outcome"]) == (0, 0, "warning")
    assert "DAILY_LIST_MISSING: the daily list of 2026-10-02 is missing: 127.0.0.1 returned 503" in done.stderr
    (found,) = (a for a in program.json("anomalies", "--unresolved")["anomalies"] if a["category"] == "DAILY_LIST_MISSING")  # type: ignore[attr-defined]
    assert (found["severity"], found["week"]) == ("WARN", None)
    service.heal()
    assert program.weekly().exit_code == 0
    names = [a["category"] for a in program.json("anomalies", "--unresolved")["anomalies"]]  # type: ignore[attr-defined]
    assert "DAILY_LIST_MISSING" not in names


NO_LIST = [
    pytest.param(("--no-daily-list",), id="turned off"),
    pytest.param(("--only-stage", "calc"), id="no source is asked"),
]


@pytest.mark.parametrize("options", NO_LIST)
def test_without_a_daily_list_none_is_asked_for(program: Program, service: FinraFake, options: tuple[str, ...]) -> None:
    done = program.weekly(*options, "--json")
    assert json.loads(done.stdout)["daily_list"] is None
    assert service.asked(daily) == []


def test_a_dry_run_says_what_it_would_do(program: Program, service: FinraFake, db: Database) -> None:
    service.page_max = 5000
    assert "[DRY-RUN] Would capture the daily list of 2026-10-02 (102 rows, NEW)\n" in program.weekly("--mode", "dry-run").stdout
    assert db.execute("SELECT COUNT(*) FROM core_manifest").fetchone()[0] == 0
    program.weekly()
    again = program.weekly("--mode", "dry-run").stdout
    assert "[DRY-RUN] Would skip the daily list of 2026-10-02 (102 rows, unchanged)\n" in again
    service.fail(status(503), when=daily)
    missing = program.weekly("--mode", "dry-run", "--json")
    assert json.loads(missing.stdout)["daily_list"]["reason"] == "DAILY_LIST_MISSING"
