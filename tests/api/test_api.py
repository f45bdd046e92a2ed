"""The HTTP API as its callers see it: a real server, on both engines."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.api_server import Api, serving
from support.gates import DEADLINE
from support.weekly_files import write_week

from market_spine.db import connect
from market_spine.work import lease, queue
from market_spine.work.item import State, Verdict

WORK = "/api/v1/work"
WEEKS = [f"2025-{month:02}-{day:02}" for month, day in ((1, 3), (1, 10), (1, 17), (1, 24), (1, 31), (2, 7), (2, 14), (2, 21))]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("api")
    if request.param == "sqlite":
        target = str(folder / "api.db")
    else:
        databases = request.getfixturevalue("_databases")
        target = databases.create(request.getfixturevalue("_postgresql_template"))
    with serving(target, folder, "--rate", "2000") as api:
        yield api
    if request.param == "postgresql":
        databases.drop(target)


def item(week: str, tier: str | None = "OTC", pipeline: str = "ingest_week", **more: object) -> dict[str, Any]:
    return {"pipeline": pipeline, "partition_key": {"week_ending": week} | ({"tier": tier} if tier else {}), **more}


def enqueue(api: Api, body: object) -> httpx.Response:
    return api.client.post(f"{WORK}/enqueue", json=body)


def fail(api: Api, item_id: int) -> None:
    """As a worker would, whose source answered 503 three times."""
    db = connect(api.target)
    claimed = lease.claim(db, item_id, "host:1:aa", db.now())
    assert claimed is not None
    lease.settle(db, claimed, Verdict(State.FAILED, "SOURCE_UNAVAILABLE: HTTP 503"), db.now())
    db.close()


def test_it_lives_and_is_ready(api: Api) -> None:
    assert api.client.get("/healthz").json() == {"status": "ok"}
    ready = api.client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (200, {"database": "ok", "schema": "ok", "calendar": "ok"})


def test_one_item_or_a_list_can_be_asked_for(api: Api) -> None:
    one = enqueue(api, item(WEEKS[0], priority=3))
    assert one.status_code == 201
    (answered,) = one.json()["items"]
    assert (answered["outcome"], answered["item"]["state"], answered["item"]["priority"]) == ("created", "PENDING", 3)
    several = enqueue(api, [item(WEEKS[0]), item(WEEKS[0], "NMS_TIER_1")])
    assert several.status_code == 201
    assert [answered["outcome"] for answered in several.json()["items"]] == ["existing", "created"]
    again = enqueue(api, item(WEEKS[0]))
    assert (again.status_code, again.json()["items"][0]["item"]["id"]) == (200, answered["item"]["id"])


def test_what_failed_is_listed_as_the_scheduling_guide_shows_and_can_be_retried(api: Api) -> None:
    made = enqueue(api, item(WEEKS[1])).json()["items"][0]["item"]
    fail(api, made["id"])
    document = api.client.get(f"{WORK}/pending", params={"state": "FAILED", "week": WEEKS[1]}).json()
    (failed,) = document["failed"]
    shown = {name: failed[name] for name in ("id", "domain", "state", "attempt_count", "last_error")}
    assert shown == {
        "id": made["id"], "domain": "finra.otc_transparency", "state": "FAILED", "attempt_count": 1,
        "last_error": "SOURCE_UNAVAILABLE: HTTP 503",
    }
    assert failed["last_error_at"]
    by_domain = api.client.post(f"{WORK}/retry", json={"domain": "finra.otc_transparency", "reason": "the source is back"}).json()
    assert made["id"] in [retried["id"] for retried in by_domain["retried"]]
    again = api.client.post(f"{WORK}/retry", json={"ids": [made["id"]]}).json()
    assert (again["retried"], [kept["id"] for kept in again["unchanged"]]) == ([], [made["id"]])


def test_an_item_that_is_over_is_reported_and_with_rerun_begun_anew(api: Api) -> None:
    made = enqueue(api, item(WEEKS[2])).json()["items"][0]["item"]
    cancelled = api.client.post(f"{WORK}/cancel", json={"ids": [made["id"]], "reason": "a mistake"}).json()
    assert [one["state"] for one in cancelled["cancelled"]] == ["CANCELLED"]
    assert enqueue(api, item(WEEKS[2])).json()["items"][0]["outcome"] == "reported"
    rerun = enqueue(api, item(WEEKS[2], rerun=True))
    assert (rerun.status_code, rerun.json()["items"][0]["outcome"]) == (201, "reset")
    assert api.client.get(f"{WORK}/{made['id']}").json()["item"]["state"] == "PENDING"


def test_lists_have_pages(api: Api) -> None:
    enqueue(api, [item(WEEKS[3], tier) for tier in ("OTC", "NMS_TIER_1", "NMS_TIER_2")])
    pages = [
        api.client.get(f"{WORK}/pending", params={"week": WEEKS[3], "limit": 2, "offset": offset}).json() for offset in (0, 2)
    ]
    assert [len(page["pending"]) for page in pages] == [2, 1]
    assert {page["page"]["total"] for page in pages} == {3}
    ids = [one["id"] for page in pages for one in page["pending"]]
    assert len(set(ids)) == 3


def test_what_is_stored_is_read_as_json_and_as_csv(api: Api, tmp_path: Path, run_command: Any) -> None:
    write_week(tmp_path / "files", "2025-12-26")
    arguments = ("--weeks", "2025-12-26", "--as-observed-on", "2026-01-30", "--data-dir", tmp_path / "files")
    assert run_command("run_finra_weekly_schedule", "--db", api.target, *arguments).exit_code == 0
    where = {"week": "2025-12-26", "tier": "OTC"}
    rows = api.client.get("/api/v1/data/venue_volume", params=where).json()["rows"]
    assert [row["mpid"] for row in rows] == ["EBXL", "JPBX", "UBSA"]
    csv = api.client.get("/api/v1/data/venue_volume", params={**where, "format": "csv"})
    reported = run_command("spine", "query", "venue_volume", "--week", "2025-12-26", "--tier", "OTC", "--csv", "--db", api.target)
    assert (csv.headers["content-type"], csv.text) == ("text/csv; charset=utf-8", reported.stdout)
    assert api.client.get("/api/v1/data/normalized", params={"symbol": "S001", **where}).json()["rows"][0]["symbol"] == "S001"
    assert api.client.get("/api/v1/data/normalized", params={**where, "as_of": "2026-01-01"}).json()["rows"] == []
    manifest = api.client.get(
        "/api/v1/manifest", params={"partition_key": json.dumps({"tier": "OTC", **_week()}), "stage": "RAW"}
    )
    assert [row["stage"] for row in manifest.json()["manifest"]] == ["RAW"]
    judged = api.client.get("/api/v1/readiness", params={"week": "2025-12-26"}).json()["readiness"]
    assert all(one["is_ready"] for one in judged)
    assert len(judged) == 4
    assert api.client.get("/api/v1/anomalies", params={"week": "2025-12-26"}).json()["anomalies"] == []
    results = api.client.get("/api/v1/doctor/finra.otc_transparency", params={"weeks": 104}).json()["gaps"]
    assert [gap for gap in results if gap["week_ending"] == "2025-12-26"] == []
    missing = next(gap for gap in results if (gap["week_ending"], gap["tier"]) == ("2025-12-19", "OTC"))
    assert missing["what"].startswith("missing, was due")
    assert missing["command"] == f"spine backfill --weeks 2025-12-19 --tiers OTC --data-dir {tmp_path / 'files'}"


def _week() -> dict[str, str]:
    return {"week_ending": "2025-12-26"}


REFUSED: list[tuple[str, str, str, Any, int]] = [
    ("a Monday", "POST", f"{WORK}/enqueue", item("2025-12-22"), 422),
    ("an unknown tier", "POST", f"{WORK}/enqueue", item(WEEKS[0], "T1"), 422),
    ("an unknown pipeline", "POST", f"{WORK}/enqueue", item(WEEKS[0], pipeline="rm -rf"), 422),
    ("a tier where there is none", "POST", f"{WORK}/enqueue", item(WEEKS[0], pipeline="compute_weekly_totals"), 422),
    ("a param that a pipeline does not take", "POST", f"{WORK}/enqueue", item(WEEKS[0], params={"data_dir": "/etc"}), 422),
    ("an unknown name", "POST", f"{WORK}/enqueue", item(WEEKS[0], state="COMPLETE"), 422),
    ("an empty list", "POST", f"{WORK}/enqueue", [], 422),
    ("a list too long", "POST", f"{WORK}/enqueue", [item(WEEKS[0])] * 501, 422),
    ("one bad in a list", "POST", f"{WORK}/enqueue", [item(WEEKS[4]), item("2025-12-22")], 422),
    ("a date of another form", "POST", f"{WORK}/enqueue", item("20251226"), 422),
    ("a date as a number", "POST", f"{WORK}/enqueue", {"pipeline": "ingest_week", "partition_key": {"week_ending": 0}}, 422),
    ("a year out of reach", "POST", f"{WORK}/enqueue", item("9999-12-31"), 422),
    ("a moment without a zone", "POST", f"{WORK}/enqueue", item(WEEKS[0], desired_at="2026-01-09T12:00:00"), 422),
    ("a moment out of reach", "POST", f"{WORK}/enqueue", item(WEEKS[0], desired_at="0001-01-01T00:00:00+23:59"), 422),
    ("a priority out of reach", "POST", f"{WORK}/enqueue", item(WEEKS[0], priority=10**30), 422),
    ("a priority that is no number", "POST", f"{WORK}/enqueue", item(WEEKS[0], priority=True), 422),
    ("an id out of reach", "GET", f"{WORK}/{2**63}", None, 422),
    ("an id that is no number", "GET", f"{WORK}/1;drop", None, 422),
    ("an unknown id", "GET", f"{WORK}/{2**40}", None, 404),
    ("a retry of nothing", "POST", f"{WORK}/retry", {}, 422),
    ("a retry of an unknown id", "POST", f"{WORK}/retry", {"ids": [2**40]}, 404),
    ("a reason with a control character", "POST", f"{WORK}/cancel", {"ids": [1], "reason": "a\u0000b"}, 422),
    ("a reason with half a character", "POST", f"{WORK}/cancel", {"ids": [1], "reason": "\ud800"}, 422),
    ("an unknown view", "GET", "/api/v1/data/sqlite_master", None, 422),
    ("a page too long", "GET", f"{WORK}/pending?limit=501", None, 422),
    ("a sort not allowed", "GET", f"{WORK}/pending?sort=locked_by", None, 422),
    ("a symbol where there is none", "GET", "/api/v1/data/venue_volume?symbol=AAPL", None, 422),
    ("a key that is no key", "GET", "/api/v1/manifest?partition_key=%5B%5D", None, 422),
    ("a deep key", "GET", "/api/v1/manifest?partition_key=" + "%5B" * 190, None, 422),
    ("another domain", "GET", "/api/v1/doctor/other", None, 422),
    ("a method not allowed", "DELETE", f"{WORK}/1", None, 405),
    ("no such path", "GET", "/api/v2/work", None, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_makes_no_sense_is_refused_with_a_problem(api: Api, method: str, path: str, body: Any, status: int) -> None:
    content = None if body is None else json.dumps(body)
    headers = {"Content-Type": "application/json"} if method != "GET" else {}
    response = api.client.request(method, path, content=content, headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert "\n" not in problem["detail"]


INJECTIONS = [
    "' OR 1=1 --", "'; DROP TABLE core_work_items; --", '" UNION SELECT * FROM core_executions --', "1; SELECT pg_sleep(10)",
    "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "{{7*7}}", "${jndi:ldap://x}", "<script>alert(1)</script>", "%00", "\u202e",
    "AAPL\r\nX-Injected: 1", "$(id)", "`id`", "|id", "\\x27", "😀" * 50, "%s%s%s%n", "?", "null", "NaN", "-1", "1e309", "A" * 5000,
]
PLACES = [
    ("GET", WORK + "/pending", "state"), ("GET", WORK + "/pending", "domain"), ("GET", WORK + "/pending", "pipeline"),
    ("GET", WORK + "/pending", "week"), ("GET", WORK + "/pending", "sort"), ("GET", WORK + "/pending", "limit"),
    ("GET", "/api/v1/manifest", "partition_key"), ("GET", "/api/v1/manifest", "stage"), ("GET", "/api/v1/data/normalized", "symbol"),
    ("GET", "/api/v1/data/normalized", "tier"), ("GET", "/api/v1/data/normalized", "as_of"), ("GET", "/api/v1/anomalies", "severity"),
    ("GET", "/api/v1/readiness", "ready_for"), ("POST", WORK + "/enqueue", "pipeline"), ("POST", WORK + "/enqueue", "domain"),
    ("POST", WORK + "/enqueue", "desired_at"), ("POST", WORK + "/retry", "ids"), ("POST", WORK + "/cancel", "ids"),
]
HARMLESS = {"domain", "symbol", "ready_for"}  # taken as a name that nothing has: 200 with no rows


@pytest.mark.parametrize(("method", "path", "name"), PLACES, ids=[f"{p[1].rsplit('/', 1)[1]}.{p[2]}" for p in PLACES])
def test_an_injection_finds_nothing(api: Api, method: str, path: str, name: str) -> None:
    for text in INJECTIONS:
        if method == "GET":
            response = api.client.get(path, params={name: text})
        else:
            base = item(WEEKS[5]) if path.endswith("enqueue") else {}
            response = api.client.post(path, json={**base, name: [text] if name == "ids" else text})
        if response.status_code == 200:
            assert name in HARMLESS | {"limit"}, (text, response.text)
            assert not any(response.json().get(key) for key in ("pending", "rows", "readiness", "manifest"))
        else:
            assert 400 <= response.status_code < 500, (text, response.text)
            assert response.headers["content-type"] == "application/problem+json"
    assert api.client.get("/readyz").status_code == 200


GATE: list[tuple[str, dict[str, str], bytes, int]] = [
    ("another host", {"Host": "evil.example"}, b"{}", 400),
    ("a host with another port", {"Host": "localhost:1"}, b"{}", 400),
    ("a form", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=b", 415),
    ("plain text, as a page of another site may send it", {"Content-Type": "text/plain"}, b"{}", 415),
    ("no type", {"Content-Type": ""}, b"{}", 415),
    ("a body too large", {}, b" " * (1 << 20) + b"{}", 413),
    ("no JSON", {}, b"{", 422),
    ("JSON too deep", {}, b"[" * 100_000, 422),
    ("no UTF-8", {}, b'"\xff"', 422),
]


@pytest.mark.parametrize(("headers", "body", "status"), [g[1:] for g in GATE], ids=[g[0] for g in GATE])
def test_the_gate_lets_nothing_odd_in(api: Api, headers: dict[str, str], body: bytes, status: int) -> None:
    with httpx.Client(base_url=api.url, timeout=DEADLINE) as client:
        given = {"Content-Type": "application/json"} | headers
        try:
            response = client.post(f"{WORK}/enqueue", content=body, headers=given)
        except httpx.TransportError:  # the connection is closed in the middle of a body that is not taken
            assert status == 413
            return
    assert response.status_code in (status, 400)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_body_in_pieces_without_a_length_is_bounded_too(api: Api) -> None:
    with httpx.Client(base_url=api.url, timeout=DEADLINE) as client:
        pieces = (b" " * 65536 for _ in range(32))
        try:
            response = client.post(f"{WORK}/enqueue", content=pieces, headers={"Content-Type": "application/json"})
        except httpx.TransportError:
            return
    assert response.status_code == 413


def test_a_length_too_large_is_refused_before_the_body_comes(api: Api) -> None:
    address = api.url.removeprefix("http://")
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as line:
        head = f"POST {WORK}/enqueue HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n"
        line.sendall(head.encode())
        assert line.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_the_document_has_examples_of_bodies_and_answers_and_names_the_problem(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    for path in ("enqueue", "retry", "cancel"):
        operation = document["paths"][f"{WORK}/{path}"]["post"]
        assert operation["responses"]["422"]["content"].keys() >= {"application/problem+json"}
    assert document["components"]["schemas"]["WorkRequest"]["examples"]
    for path in document["paths"].keys() - {"/metrics"}:
        (operation,) = document["paths"][path].values()
        if operation["tags"] == ["pages"]:
            continue
        assert "example" in operation["responses"]["200"]["content"]["application/json"], path
    assert {"401", "429"} <= document["paths"][f"{WORK}/pending"]["get"]["responses"].keys()


def test_answers_are_not_kept_by_caches_nor_guessed_by_browsers(api: Api) -> None:
    headers = api.client.get("/healthz").headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert "server" not in headers


def test_get_requests_have_connections_that_cannot_write(api: Api) -> None:
    from market_spine.api.connections import Connections

    connections = Connections(api.target)
    with connections.reading() as db, pytest.raises(Exception, match=r"(?i)read-only|readonly"):
        db.execute("DELETE FROM core_work_items")
    connections.close()


def test_the_work_of_a_day_can_be_looked_up_by_the_ledger(api: Api) -> None:
    made = enqueue(api, item(WEEKS[1])).json()["items"][0]["item"]["id"]
    db = connect(api.target)
    assert queue.find(db, made).week_ending == date.fromisoformat(WEEKS[1])
    db.close()
