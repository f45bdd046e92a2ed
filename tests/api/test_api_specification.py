"""The requests of the specification's own examples, as they are written there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.api_server import Api, serving
from support.commands import RunCommand
from support.desk import WEEK, ready_week

from market_spine.db import connect
from market_spine.partition import OTC, TIERS
from market_spine.work.requests import due

WORK = "/api/v1/work"


@pytest.fixture
def api(target: str, tmp_path: Path) -> Iterator[Api]:
    with serving(target, tmp_path) as api:
        yield api


def enqueue(api: Api, pipeline: str, params: dict[str, Any] | None = None, tier: str | None = None) -> httpx.Response:
    key = {"week_ending": "2025-12-26"} | ({"tier": tier} if tier else {})
    return api.client.post(f"{WORK}/enqueue", json={"pipeline": pipeline, "partition_key": key, "params": params or {}})


def places(response: httpx.Response) -> list[str | None]:
    return [one["item"]["partition_key"].get("tier") for one in response.json()["items"]]


def test_the_tier_may_be_a_parameter(api: Api) -> None:
    made = enqueue(api, "ingest_week", {"tier": "OTC"})
    assert (made.status_code, places(made)) == (201, ["OTC"])
    assert enqueue(api, "ingest_week", tier="OTC").json()["items"][0]["outcome"] == "existing"
    assert enqueue(api, "ingest_week", {"tier": "NMS"}).status_code == 422


def test_a_measure_without_a_tier_is_that_of_every_tier(api: Api) -> None:
    assert places(enqueue(api, "compute_venue_volume")) == list(TIERS)
    assert places(enqueue(api, "compute_weekly_totals")) == [None]


def test_a_file_may_be_named(api: Api) -> None:
    made = enqueue(api, "ingest_week", {"file_url": "https://files.example.com/otc.csv"}, "OTC")
    assert made.json()["items"][0]["item"]["params"] == {"file_url": "https://files.example.com/otc.csv"}
    assert enqueue(api, "ingest_week", {"file_url": "file:///etc/passwd"}, "OTC").status_code == 422


def test_one_item_is_cancelled_and_retried_by_its_id(api: Api) -> None:
    (made,) = enqueue(api, "ingest_week", tier="OTC").json()["items"]
    number = made["item"]["id"]
    cancelled = api.client.post(f"{WORK}/cancel", json={"work_item_id": number}).json()
    assert [one["state"] for one in cancelled["cancelled"]] == ["CANCELLED"]
    retried = api.client.post(f"{WORK}/retry", json={"work_item_id": number}).json()
    assert [one["state"] for one in retried["retried"]] == ["PENDING"]
    assert [api.client.post(f"{WORK}/{what}", json={}).status_code for what in ("retry", "cancel")] == [422, 422]


def test_the_manifest_counts_the_rows_of_one_stage(api: Api, tmp_path: Path) -> None:
    db = connect(api.target)
    ready_week(tmp_path / "files", db)
    db.close()
    asked = {"partition_key": json.dumps({"week_ending": str(WEEK), "tier": OTC}), "stage": "RAW"}
    document = api.client.get("/api/v1/manifest", params=asked).json()
    assert document["row_count"] == document["manifest"][0]["row_count"] == 4
    assert "row_count" not in api.client.get("/api/v1/manifest").json()


def test_an_item_takes_its_file_from_the_address_if_its_host_is_allowed(
    target: str, tmp_path: Path, run_command: RunCommand
) -> None:
    import functools
    import http.server
    import threading

    from support.weekly_files import write_week

    write_week(tmp_path / "files", "2025-12-26")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "files")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, serving(target, tmp_path) as api:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        name = next(path.name for path in (tmp_path / "files").iterdir() if path.name.startswith("otc"))
        for host in ("localhost", "127.0.0.1"):
            url = f"http://{host}:{server.server_address[1]}/{name}"
            enqueue(api, "ingest_week", {"file_url": url}, OTC if host == "127.0.0.1" else "NMS_TIER_1")
        done = run_command("spine", "worker", "--drain", "--db", target, env={"MARKET_SPINE_FILE_URL_HOSTS": "127.0.0.1"})
        assert done.exit_code == 0, done.stderr
        items = {one["partition_key"]["tier"]: one for one in _all(api)}
        server.shutdown()
    assert items[OTC]["state"] == "COMPLETE"
    assert "is not on the list of hosts" in items["NMS_TIER_1"]["last_error"]


def _all(api: Api) -> list[dict[str, Any]]:
    return [
        one for state in ("COMPLETE", "RETRY_WAIT", "FAILED")
        for one in api.client.get(f"{WORK}/pending", params={"state": state}).json()[state.lower()]
    ]


def test_what_is_due_is_what_is_published_and_the_week_comes_when_all_tiers_are() -> None:
    requests = due([date(2025, 12, 26), date(2025, 12, 5)], date(2026, 1, 16), priority=25)
    ingest = [(str(r.week_ending), r.tier, r.priority) for r in requests if r.pipeline == "ingest_week"]
    assert ingest == [("2025-12-26", "NMS_TIER_1", 25), *(("2025-12-05", tier, 25) for tier in TIERS)]
    assert [str(r.week_ending) for r in requests if r.pipeline == "compute_weekly_totals"] == ["2025-12-05"]
    assert all(request.rerun for request in requests)


def test_the_command_enqueues_what_is_due_and_only_once(target: str, run_command: RunCommand) -> None:
    asked = ("spine", "work", "enqueue-due", "--last", "3", "--run-date", "2026-01-16", "--db", target)
    first = run_command(*asked)
    assert first.exit_code == 0, first.stderr
    assert "ingest_week 2026-01-02 / NMS_TIER_1: created, item" not in first.stdout
    assert run_command(*asked).stdout == first.stdout.replace(": created,", ": existing,")
    one = run_command(
        "spine", "work", "enqueue", "ingest_week", "--week", "2025-01-03", "--tier", "OTC", "--max-attempts", "7", "--json", "--db", target
    )
    assert json.loads(one.stdout)["item"]["max_attempts"] == 7
