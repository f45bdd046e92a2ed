"""How the API is served: to whom, with which tokens, and how fast."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from clone import tool
from support.api_server import serving
from support.commands import RunCommand

from market_spine.api.app import Serving, is_loopback
from market_spine.api.auth import read_tokens
from market_spine.api.gate import Buckets
from market_spine.errors import ConfigurationError

READ, OPERATE = "r" * 32, "o" * 32
ITEM = {"pipeline": "ingest_week", "partition_key": {"week_ending": "2025-12-26", "tier": "OTC"}}


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "tokens"
    path.write_text(f"# callers\nread desk {READ}\noperate cron {OPERATE}\n", "utf-8")
    return str(path)


def test_beyond_loopback_it_refuses_to_start_without_a_token_file(run_command: RunCommand) -> None:
    done = run_command("spine", "serve", "--host", "0.0.0.0")
    assert done.exit_code == 2
    assert "there is no token file. Try: give --token-file, or bind to 127.0.0.1" in done.stderr


@pytest.mark.parametrize("host", ["10.0.0.5", "::", "spine.example.com"])
def test_no_address_but_loopback_is_served_to_everybody(host: str) -> None:
    with pytest.raises(ConfigurationError, match="can be reached from other machines"):
        Serving("x", host)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("localhost.evil", False)],
)
def test_what_is_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local


BAD_TOKENS = [
    ("missing", None, "cannot read the token file"),
    ("empty", "# nothing\n", "has no token"),
    ("short", "read desk secret\n", "shorter than 16"),
    ("without a name", f"read {READ}\n", "line 1 .* is malformed"),
    ("another scope", f"admin desk {READ}\n", "line 1 .* is malformed"),
]


@pytest.mark.parametrize(("text", "says"), [b[1:] for b in BAD_TOKENS], ids=[b[0] for b in BAD_TOKENS])
def test_a_token_file_with_a_mistake_is_refused(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "tokens"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_tokens(str(path))
    assert "secret" not in caught.value.message
    assert READ not in caught.value.message


def test_tokens_say_who_may_read_and_who_may_operate(tmp_path: Path, token_file: str) -> None:
    def requested(token: str | None, method: str, path: str) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = {"json": ITEM} if method == "POST" else {}
        return int(api.client.request(method, path, headers=headers, **body).status_code)  # type: ignore[arg-type]

    with serving(str(tmp_path / "spine.db"), tmp_path, "--token-file", token_file) as api:
        for token, reads, operates in ((None, 401, 401), ("x" * 32, 401, 401), (READ, 200, 403), (OPERATE, 200, 201)):
            assert requested(token, "GET", "/api/v1/work/pending") == reads
            assert requested(token, "POST", "/api/v1/work/enqueue") == operates
        assert requested(None, "GET", "/healthz") == 200
        refused = api.client.get("/api/v1/readiness")
        assert refused.headers["www-authenticate"] == "Bearer"
        headers = {"Authorization": f"Bearer {OPERATE}"}
        api.client.post("/api/v1/work/cancel", headers=headers, json={"ids": [1], "reason": "a mistake"})
    assert READ not in api.log.read_text("utf-8")
    assert OPERATE not in api.log.read_text("utf-8")
    from market_spine.db import connect

    db = connect(str(tmp_path / "spine.db"))
    assert db.execute("SELECT actor, reason FROM core_operator_actions").fetchone() == ("cron", "a mistake")
    db.close()
    assert api.process.returncode == 0


def test_an_address_that_asks_too_often_is_reported_to_wait(tmp_path: Path) -> None:
    with serving(str(tmp_path / "spine.db"), tmp_path, "--rate", "5") as api:
        answers = [api.client.get("/healthz") for _ in range(40)]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["title"] == "Too many requests"


def test_a_bucket_fills_at_its_rate_and_forgets_old_addresses() -> None:
    buckets = Buckets(rate=10, burst=2)
    assert [buckets.take("a", now) for now in (0.0, 0.0)] == [0, 0]
    assert buckets.take("a", 0.0) == pytest.approx(0.1)
    assert buckets.take("a", 0.11) == 0
    assert buckets.take("b", 0.0) == 0
    for number in range(5000):
        buckets.take(str(number), 1.0)
    assert len(buckets._seen) <= 4096


def test_a_host_can_be_allowed_by_name_and_is_compared_exactly() -> None:
    hosts = Serving("x", allowed_hosts=("Spine.Example.com",)).limits.hosts
    assert {"127.0.0.1:8000", "localhost:8000", "spine.example.com"} <= hosts
    assert "evil.spine.example.com" not in hosts


def test_a_database_that_went_away_is_reported_and_the_server_recovers(tmp_path: Path, postgres_server: object) -> None:
    from stand_ins.postgres_server import PostgresServer

    assert isinstance(postgres_server, PostgresServer)
    with serving(postgres_server.url, tmp_path) as api:
        assert api.client.post("/api/v1/work/enqueue", json=ITEM).status_code == 201
        postgres_server.stop()
        ready = api.client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["calendar"]) == (503, "ok")
        lost = api.client.get("/api/v1/work/1")
        assert (lost.status_code, lost.headers["content-type"]) == (503, "application/problem+json")
        postgres_server.start()
        assert api.client.get("/api/v1/work/1").status_code == 200
        assert api.client.post("/api/v1/work/enqueue", json=ITEM).json()["items"][0]["outcome"] == "existing"


@pytest.mark.slow
def test_50_requests_a_second_show_no_error_and_no_growth() -> None:
    command = tool("queue_soak", "--minutes", "0.2", "--claim-p95-ms", "2000")  # a busy machine is no fault of ours
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout)
    assert (results["error_count"], results["worker_faults"]) == (0, [])
    assert results["requests"] > 400
    assert results["claims"] > 20
