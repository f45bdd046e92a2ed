"""/metrics as Prometheus scrapes it: a real server, on both engines, with and without tokens."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.api_server import serving
from support.commands import RunCommand

from market_spine import clock
from market_spine.core import executions
from market_spine.db import Database
from market_spine.monitor import metrics
from market_spine.monitor.samples import METRICS

TOKEN = "0123456789abcdef0123456789abcdef"


def test_prometheus_is_reported_what_the_database_says_now(db: Database, target: str, tmp_path: Path) -> None:
    with serving(target, tmp_path) as api:
        answer = api.client.get("/metrics")
        samples = {s.name for family in text_string_to_metric_families(answer.text) for s in family.samples}
        assert (answer.status_code, answer.headers["content-type"]) == (200, metrics.CONTENT_TYPE)
        assert {"market_spine_info", "market_spine_database_bytes"} <= samples <= set(METRICS)
        assert 'market_spine_work_items{state="PENDING"} 0.0\n' in answer.text
        api.client.post(
            "/api/v1/work/enqueue",
            json={"pipeline": "ingest_week", "partition_key": {"week_ending": "2025-12-26", "tier": "OTC"}},
        )
        assert 'market_spine_work_items{state="PENDING"} 1.0\n' in api.client.get("/metrics").text


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_where_tokens_are_asked_for_prometheus_needs_one(db: Database, target: str, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"read prometheus {TOKEN}\n")
    with serving(target, tmp_path, "--token-file", str(tmp_path / "tokens")) as api:
        with httpx.Client(base_url=api.url) as stranger:
            assert stranger.get("/metrics").status_code == 401
        with httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {TOKEN}"}) as prometheus:
            assert prometheus.get("/metrics").status_code == 200


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_the_deadlines_are_those_of_the_desks_own_calendar(
    db: Database, target: str, tmp_path: Path, run_command: RunCommand
) -> None:
    """An operator's closures move what is published, and so when the next run is expected: at the API and at the command."""
    now = clock.utc_now()
    executions.start(db, "r", "weekly_schedule", clock.market_date(now), {}, now)
    executions.finish(db, "r", 0, now)
    days = ", ".join((clock.market_date(now) + timedelta(days=n)).isoformat() for n in range(31))
    (tmp_path / "calendar.toml").write_text(f"closed = [{days}]")
    own = ("--calendar-file", str(tmp_path / "calendar.toml"), "--expected-by", "Mon-Sun 12:00")
    assert expected(run_command("spine", "metrics", "--db", target, *own).stdout) > now.timestamp() + 30 * 86400
    assert expected(run_command("spine", "metrics", "--db", target).stdout) < now.timestamp() + 20 * 86400
    with serving(target, tmp_path, *own) as api:
        assert expected(api.client.get("/metrics").text) > now.timestamp() + 30 * 86400


def expected(text: str) -> float:
    """By when the next run is expected, of an answer in Prometheus's format."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return next(s.value for s in samples if s.name == "market_spine_run_expected_by_timestamp_seconds")
