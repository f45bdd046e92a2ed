"""Reading much, at once and again: pages by a cursor, limits that leave others alone, and responses that are not sent twice."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from support.api_server import free_port
from support.desk import FRIDAYS, REVISED, WEEK, Desk
from support.gates import DEADLINE

from market_spine.api import connections as connections_module
from market_spine.api.app import Serving, build
from market_spine.api.connections import Connections
from market_spine.api.problem import Refusal
from market_spine.db import Database
from market_spine.partition import OTC
from market_spine.query import answer
from market_spine.query.answer import Position, Question
from market_spine.query.views import VIEWS


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    made = Desk(tmp_path / "files", db)
    made.publish_weeks([WEEK, WEEK.replace(day=21)])
    made.run(weeks=[WEEK, WEEK.replace(day=21)])
    return made


class Server(uvicorn.Server):
    """In a thread of this process, so that a test can hold what the server holds."""

    def __init__(self, target: str) -> None:
        self.port, self.begun = free_port(), threading.Event()
        self.app = build(Serving(target, port=self.port))
        super().__init__(uvicorn.Config(self.app, port=self.port, log_config=None, ws="none"))  # type: ignore[arg-type]

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.begun.set()


@pytest.fixture
def server(desk: Desk, target: str) -> Iterator[Server]:
    made = Server(target)
    thread = threading.Thread(target=made.run)
    thread.start()
    assert made.begun.wait(DEADLINE)
    yield made
    made.should_exit = True
    thread.join(DEADLINE)


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=DEADLINE) as opened:
        yield opened


def paged(client: httpx.Client, view: str, limit: int, **more: str) -> list[dict[str, Any]]:
    rows, cursor = [], ""
    while True:
        begin = {"cursor": cursor} if cursor else {}
        document = client.get(f"/api/v1/data/{view}", params={"limit": limit, **more, **begin}).raise_for_status().json()
        rows += document["rows"]
        cursor = document["page"]["next"]
        if cursor is None:
            return rows
        assert len(document["rows"]) == limit


@pytest.mark.parametrize("more", [{}, {"symbol": "AAPL"}, {"symbol": "AAPL", "week": str(WEEK)}], ids=["all", "a symbol", "of a week"])
@pytest.mark.parametrize("limit", [1, 3, 4, 5, 1000])
def test_pages_by_their_cursors_are_the_whole(client: httpx.Client, limit: int, more: dict[str, str]) -> None:
    whole = client.get("/api/v1/data/normalized", params={"limit": 1000, **more}).json()
    assert len(whole["rows"]) > 3
    assert whole["page"]["next"] is None
    assert paged(client, "normalized", limit, **more) == whole["rows"]


@pytest.mark.parametrize("offset", range(0, 27, 3))
@pytest.mark.one_engine
def test_an_offset_counts_over_partitions(client: httpx.Client, offset: int) -> None:
    whole = client.get("/api/v1/data/normalized").json()["rows"]
    shown = client.get("/api/v1/data/normalized", params={"offset": offset, "limit": 5}).json()
    assert shown["rows"] == whole[offset : offset + 5]


def test_a_page_of_csv_names_the_next_one_in_its_header(client: httpx.Client) -> None:
    first = client.get("/api/v1/data/hhi", params={"limit": 2, "format": "csv"})
    second = client.get(first.links["next"]["url"])
    rows = [*csv.reader(io.StringIO(first.text))][1:] + [*csv.reader(io.StringIO(second.text))][1:]
    whole = client.get("/api/v1/data/hhi", params={"limit": 4, "format": "csv"})
    assert rows == [*csv.reader(io.StringIO(whole.text))][1:]


def test_a_page_reads_nothing_of_the_partitions_before_it(desk: Desk, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    question, read, reads = Question(VIEWS["normalized"]), answer._read, []
    monkeypatch.setattr(answer, "_read", lambda *given: (reads.append(given[2]) or row for row in read(*given)))  # type: ignore[func-returns-value]
    capture_id = f"finra.otc_transparency:OTC:{WEEK}:20260109"
    page = answer.page(db, question, Position(capture_id, 2), 100)
    assert len(page.rows) == 2
    assert set(reads) == {capture_id}


def test_a_cursor_into_what_was_replaced_is_gone(client: httpx.Client, desk: Desk) -> None:
    cursor = client.get("/api/v1/data/normalized", params={"limit": 22}).json()["page"]["next"]
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    gone = client.get("/api/v1/data/normalized", params={"cursor": cursor})
    assert (gone.status_code, gone.json()["hint"]) == (410, "begin with the first page again")


def test_a_response_that_the_client_has_is_not_sent_again_until_something_changes(client: httpx.Client, desk: Desk) -> None:
    for path in ("/data/hhi", "/data/hhi?format=csv", "/readiness", "/anomalies", "/manifest"):
        first = client.get(f"/api/v1{path}")
        tag = first.headers["etag"]
        assert first.headers["cache-control"] == "private, no-cache"
        again = client.get(f"/api/v1{path}", headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert client.get(f"/api/v1{path}", headers={"If-None-Match": '"another"'}).status_code == 200
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    assert client.get(f"/api/v1{path}", headers={"If-None-Match": tag}).status_code == 200


def test_what_is_long_is_compressed(client: httpx.Client) -> None:
    packed = client.get("/api/v1/data/normalized?format=csv")
    plain = client.get("/api/v1/data/normalized?format=csv", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text


def test_who_finds_every_reader_busy_is_asked_to_come_back_and_probes_are_not(
    client: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "_BUSY_SECONDS", 0)
    held, over = threading.Semaphore(0), threading.Event()
    connections: Connections = server.app._app.state.connections  # type: ignore[attr-defined]

    def hold() -> None:
        with connections.reading():
            held.release()
            over.wait(DEADLINE)

    with ThreadPoolExecutor(connections_module.READERS) as pool:
        for _ in range(connections_module.READERS):
            pool.submit(hold)
        for _ in range(connections_module.READERS):
            assert held.acquire(timeout=DEADLINE)
        busy = client.get("/api/v1/readiness")
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
        assert client.get("/readyz").status_code == 200
        over.set()
    assert client.get("/api/v1/readiness").status_code == 200


LONG = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT MAX(i) FROM n"


def test_a_request_that_reads_for_too_long_is_interrupted(
    desk: Desk, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = Connections(target, read_seconds=0.2)
    with pytest.raises(Refusal, match="read for more than") as caught, limited.reading() as db:
        db.execute(LONG).fetchone()
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "60"})
    monkeypatch.setattr(limited, "_read_seconds", DEADLINE)
    with limited.reading() as db:
        assert db.execute("SELECT 1").fetchone() == (1,)
    limited.close()


@pytest.mark.parametrize("view", ["weekly_totals", "tier_split"])
def test_all_weeks_together_are_what_each_is_alone(client: httpx.Client, view: str) -> None:
    whole = client.get(f"/api/v1/data/{view}").json()["rows"]
    weeks = sorted({row["week_ending"] for row in whole})
    assert len(weeks) == 2
    assert whole == [row for week in weeks for row in client.get(f"/api/v1/data/{view}?week={week}").json()["rows"]]
