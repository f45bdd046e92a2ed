"""A read replica: what only reads works on it unchanged, what writes says so and changes nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from stand_ins.postgres_server import PostgresServer
from support.api_server import serving
from support.commands import RunCommand
from support.desk import WEEK, Desk

from market_spine.db import connect, migrations

READING = [
    ["status"], ["captures", str(WEEK), "OTC"], ["anomalies"], ["query", "hhi", "--csv"], ["doctor", "--weeks", "1"], ["verify"],
    ["log", str(WEEK)], ["changes"], ["audit", "verify"], ["work", "list"], ["raw", str(WEEK), "OTC"],
]
GETS = ("/readyz", "/api/v1/readiness", "/api/v1/data/hhi", "/api/v1/anomalies", "/api/v1/work/pending", "/metrics")
ITEM = {"pipeline": "ingest_week", "partition_key": {"week_ending": str(WEEK), "tier": "OTC"}}

pytestmark = pytest.mark.usefixtures("engine")


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_what_reads_works_on_a_replica_and_what_writes_is_refused(
    postgres_server: PostgresServer, tmp_path: Path, run_command: RunCommand
) -> None:
    url = postgres_server.url
    with contextlib.closing(connect(url)) as db:
        migrations.prepare(db)
        desk = Desk(tmp_path / "files", db)
        desk.publish_weeks([WEEK])
        desk.run()
    primary = [run_command("spine", *command, "--db", url) for command in READING]
    assert [done.stderr for done in primary if done.exit_code not in (0, 1)] == []
    postgres_server.become_standby()
    for command, before in zip(READING, primary, strict=True):
        after = run_command("spine", *command, "--db", url)
        assert (after.exit_code, after.stdout) == (before.exit_code, before.stdout), f"{command}: {after.stderr}"
    with serving(url, tmp_path) as api:
        assert {path: api.client.get(path).status_code for path in GETS} == dict.fromkeys(GETS, 200)
        refused = api.client.post("/api/v1/work/enqueue", json=ITEM)
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    run = run_command("run_finra_weekly_schedule", "--db", url, "--data-dir", tmp_path / "files")
    assert run.exit_code == 2
    assert "read-only" in run.stderr
