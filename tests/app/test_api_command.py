"""The shipped command against FINRA's API on this machine: exit codes, what it prints, what it holds in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from stand_ins.finra_fake import FinraFake
from stand_ins.finra_faults import status, tier
from stand_ins.finra_rows import firm_rows
from support.commands import Finished, RunCommand

RUN = "run_finra_weekly_schedule"
FRIDAY = date(2026, 10, 2)


@pytest.fixture
def service() -> Iterator[FinraFake]:
    with FinraFake(FRIDAY) as fake:
        fake.fill(weeks=7, rows=20)
        yield fake


def weekly(run_command: RunCommand, fake: FinraFake, *more: str, day: date = FRIDAY, **environ: str) -> Finished:
    arguments = ("--source", "api", "--run-date", str(day), "--db", "spine.db", *more)
    return run_command(RUN, *arguments, env={**fake.environ, **environ})


def test_a_friday_without_any_credential(run_command: RunCommand, service: FinraFake) -> None:
    done = weekly(run_command, service)
    assert done.exit_code == 0, done.stderr
    assert "  Ingested:           5\n" in done.stdout
    assert "  Awaiting publication: 13\n  Failed:             0\n" in done.stdout
    assert "ing publication: 5 weeks (2026-09-04 to 2026-10-02)" in done.stderr
    assert "✗" not in done.stderr


def test_a_dry_run_lists_what_the_run_then_does(run_command: RunCommand, service: FinraFake, tmp_path: Path) -> None:
    dry = weekly(run_command, service, "--mode", "dry-run")
    assert dry.exit_code == 0
    assert not (tmp_path / "spine.db").exists()
    assert "[DRY-RUN] Would ingest 2026-09-11 / NMS_TIER_1 (NEW)" in dry.stdout
    assert "Summary: 5 ingests, 0 skips, 13 awaiting" in dry.stdout


def test_one_tier_down_exits_1_and_the_others_are_in(run_command: RunCommand, service: FinraFake) -> None:
    service.fail(status(503), when=tier("T2"))
    done = weekly(run_command, service, "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == told["exit_code"] == 1
    assert (told["counts"]["ingested"], told["counts"]["ingest_failed"], told["counts"]["awaiting"]) == (4, 1, 13)


def test_ignoring_the_calendar_makes_every_absence_an_error(run_command: RunCommand, service: FinraFake) -> None:
    done = weekly(run_command, service, "--ignore-calendar")
    assert done.exit_code == 1
    assert "  Failed:             13\n" in done.stdout


def test_a_credential_from_a_file_is_used_and_never_shown(run_command: RunCommand, service: FinraFake, tmp_path: Path) -> None:
    service.require_token = True
    (tmp_path / "secret").write_text("s3cret\n", encoding="utf-8")
    login = {"MARKET_SPINE_FINRA_CLIENT_ID": "id", "MARKET_SPINE_FINRA_CLIENT_SECRET_FILE": str(tmp_path / "secret")}
    done = weekly(run_command, service, "--verbose", "--json", **login)
    assert done.exit_code == 0, done.stderr
    assert len([seen for seen in service.seen if seen.path.startswith("/fip/")]) == 1
    held = (
        (tmp_path / "spine.db").read_bytes() + (tmp_path / "spine.db-wal").read_bytes()
        if (tmp_path / "spine.db-wal").exists()
        else (tmp_path / "spine.db").read_bytes()
    )
    token = service.asked()[0].headers["authorization"].removeprefix("Bearer ")
    for secret in ("s3cret", token):
        assert secret not in done.stdout + done.stderr
        assert secret.encode() not in held


def test_a_wrong_credential_is_one_line_and_exit_2(run_command: RunCommand, service: FinraFake) -> None:
    login = {"MARKET_SPINE_FINRA_CLIENT_ID": "id", "MARKET_SPINE_FINRA_CLIENT_SECRET": "wrong"}
    done = weekly(run_command, service, **login)
    assert done.exit_code == 2
    assert "Error: FINRA refuses the credential: Invalid Credentials. Try: check MARKET_SPINE_FINRA_CLIENT_ID" in done.stderr


# The system gives the command no more memory than this for its data: the whole answer, several times over, would not fit.
_WITHIN = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not count data so")
def test_a_full_tier_1_week_needs_little_memory(run_command: RunCommand, tmp_path: Path) -> None:
    with FinraFake(FRIDAY) as fake:
        fake.put(firm_rows(date(2026, 9, 7), "T1", 72_000))
        program = str(Path(sys.executable).parent / RUN)
        week = ("--weeks", "2026-09-11", "--tiers", "NMS_TIER_1", "--run-date", "2026-10-02")
        done = run_command("python", "-c", _WITHIN, program, "--source", "api", "--db", "spine.db", *week, env=fake.environ)
        assert (done.exit_code, "Ingested 72,000 rows" in done.stderr) == (0, True), done.stderr
        assert len(fake.asked()) == 15 + 1  # 72,000 rows in pages of 5,000, none of them asked for twice, and the firm totals
