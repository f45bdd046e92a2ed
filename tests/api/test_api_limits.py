"""What strangers can do to the API before they show a token: hold connections, dribble, stall, go away, fill the log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.api_server import Api, serving
from support.commands import RunCommand
from support.gates import DEADLINE

from market_spine import log
from market_spine.api.app import Serving, build
from market_spine.api.gate import App
from market_spine.api.log_lines import Sparing
from market_spine.core.store import Mode, open_store
from market_spine.db import connect

ENQUEUE = "/api/v1/work/enqueue"
ITEM = json.dumps({"pipeline": "ingest_week", "partition_key": {"week_ending": "2025-12-26", "tier": "OTC"}}).encode()
TOKEN = "o" * 32


def dial(api: Api, sent: bytes) -> socket.socket:
    """A connection on which that much has been sent."""
    host, port = api.url.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), timeout=DEADLINE)
    line.sendall(sent)
    return line


def head(api: Api, length: int, *more: str) -> bytes:
    """The head of a POST with a body of that length."""
    lines = [f"POST {ENQUEUE} HTTP/1.1", f"Host: {api.url.removeprefix('http://')}", "Content-Type: application/json", *more]
    return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()


def rest(line: socket.socket) -> bytes:
    """Everything the server sends until it closes the connection."""
    received = b""
    with line, contextlib.suppress(ConnectionError):
        while part := line.recv(65536):
            received += part
    return received


def test_half_open_connections_stop_nobody_else_and_fill_no_log(tmp_path: Path) -> None:
    with serving(str(tmp_path / "spine.db"), tmp_path, "--max-connections", "64") as api, contextlib.ExitStack() as held:
        for _ in range(400):
            held.enter_context(dial(api, b"GET /healthz HTTP/1.1\r\nHost: x"))
        assert [api.client.get("/readyz").status_code for _ in range(20)] == [200] * 20
    assert api.log.stat().st_size < 20_000
    assert "more than 64 connections: the one that waited longest was closed" in api.log.read_text("utf-8")


def test_a_head_that_is_not_whole_in_time_is_closed_however_it_dribbles(tmp_path: Path) -> None:
    with serving(str(tmp_path / "spine.db"), tmp_path, "--request-seconds", "2") as api:
        slow = dial(api, b"GET /healthz HTTP/1.1\r\n")
        again = dial(api, f"GET /healthz HTTP/1.1\r\nHost: {api.url[7:]}\r\n\r\nGET /healthz".encode())
        assert rest(slow) == b""
        assert rest(again).count(b"HTTP/1.1 200") == 1


def test_a_stalled_body_is_answered_with_a_problem(tmp_path: Path) -> None:
    with serving(str(tmp_path / "spine.db"), tmp_path, "--request-seconds", "1") as api:
        answer = rest(dial(api, head(api, 100) + b"{"))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"] == "the body was incomplete after 1 seconds"
    assert "Traceback" not in api.log.read_text("utf-8")


def test_nothing_of_a_body_is_read_before_its_token_is_known(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"read desk {'r' * 32}\noperate cron {TOKEN}\n", "utf-8")
    tokens.chmod(0o600)
    with serving(str(tmp_path / "spine.db"), tmp_path, "--token-file", str(tokens), "--request-seconds", "3600") as api:
        for given, status in (("Bearer " + "x" * 32, 401), ("Bearer " + "r" * 32, 403), ("Basic " + TOKEN, 401)):
            stranger = dial(api, head(api, 1 << 19, f"Authorization: {given}", "Expect: 100-continue"))
            assert rest(stranger).startswith(f"HTTP/1.1 {status} ".encode())  # at once, and then closed: no body ever came
        known = dial(api, head(api, len(ITEM), f"Authorization: Bearer {TOKEN}", "Expect: 100-continue", "Connection: close"))
        assert known.recv(65536).startswith(b"HTTP/1.1 100 ")
        known.sendall(ITEM)
        assert rest(known).startswith(b"HTTP/1.1 201 ")


def requested(app: App, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What the application sends, given a POST and what comes after its head."""
    sent: list[dict[str, Any]] = []
    coming = iter(messages)
    scope = {
        "type": "http", "method": "POST", "path": ENQUEUE, "raw_path": ENQUEUE.encode(), "query_string": b"", "root_path": "",
        "scheme": "http", "http_version": "1.1", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
        "headers": [(b"host", b"localhost:8000"), (b"content-type", b"application/json"), (b"content-length", b"500")],
    }

    async def receive() -> dict[str, Any]:
        return next(coming, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    async def serve() -> None:
        await app(scope, receive, send)  # type: ignore[arg-type]
        app._app.state.connections.close()  # type: ignore[attr-defined]

    asyncio.run(serve())
    return sent


GONE = [
    pytest.param([{"type": "http.request", "body": ITEM, "more_body": True}], id="before its body was whole"),
    pytest.param([{"type": "http.request", "body": ITEM, "more_body": False}], id="while it waited for its turn to write"),
]


@pytest.mark.parametrize("messages", GONE)
def test_a_post_whose_client_has_gone_is_not_carried_out(target: str, db: Any, messages: list[dict[str, Any]]) -> None:
    with open_store(target):
        pass
    (start, *_) = requested(build(Serving(target)), *messages)
    assert start["status"] == 499
    assert db.execute("SELECT COUNT(*) FROM core_work_items").fetchone()[0] == 0


def test_a_path_forges_no_line_of_the_log(tmp_path: Path) -> None:
    with serving(str(tmp_path / "spine.db"), tmp_path, "--log-format", "text") as api:
        api.client.get("/x%0a[ERROR]%20forged%1b[2J%e2%80%ae%c2%85y")
        api.client.get("/" + "a" * 10_000)
    text = api.log.read_text("utf-8")
    assert "/x\\n[ERROR] forged\\x1b[2J\\u202e\\x85y 404" in text
    assert re.findall(r"(?m)^\[ERROR\].*", text) == []
    assert max(map(len, text.splitlines())) < 400


def record(level: int, **facts: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "market_spine.api", "levelno": level, "msg": "a %s", "args": ("line",), **facts})


def test_only_lines_that_strangers_can_cause_are_limited() -> None:
    sparing = Sparing(rate=1e-9, burst=2)
    assert [sparing.filter(record(logging.INFO, status=200)) for _ in range(50)] == [True] * 50
    assert [sparing.filter(record(logging.INFO, status=401)) for _ in range(4)] == [True, True, False, False]
    assert sparing.filter(record(logging.INFO, status=404)), "each kind by itself"
    assert [sparing.filter(record(logging.WARNING)) for _ in range(3)] == [True, True, False]


def test_the_next_line_says_how_many_were_left_out() -> None:
    sparing = Sparing(rate=1e9, burst=0)
    sparing._left_out["market_spine.api 30  0"] = 1234
    passed = record(logging.WARNING)
    sparing._buckets._burst = 1
    assert sparing.filter(passed)
    assert passed.getMessage() == "a line (1,234 lines like this were left out before)"


def test_a_line_of_json_has_no_character_that_ends_a_line_for_some_readers() -> None:
    text = log.JsonFormatter().format(record(logging.INFO, path="a\u2028b\x85c\u202ed\udcff😀"))
    assert text.isprintable()
    assert json.loads(text)["path"] == "a\u2028b\x85c\u202ed\udcff😀"


def test_it_opens_no_more_connections_than_the_process_may() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512));"
        "from market_spine.api.guard import most_connections; print(most_connections(60), most_connections(10_000))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "60 96\n"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_database_we_make_is_its_owners_alone_with_all_that_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "spine.db"
    with open_store(str(path), Mode.CREATE) as store:
        store.backup_beside("copy")
        assert {results.name: mode(results) for results in path.parent.iterdir()} == dict.fromkeys(
            ("spine.db", "spine.db-wal", "spine.db-shm", "spine.db.copy.bak"), 384
        )


def test_a_database_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "spine.db"
    path.touch(0o640)
    path.chmod(0o640)
    connect(str(path)).close()
    assert mode(path) == 0o640


def test_files_that_others_may_read_are_named_once_as_it_starts(run_command: RunCommand, tmp_path: Path) -> None:
    path, tokens = tmp_path / "spine.db", tmp_path / "tokens"
    assert run_command("spine", "db", "init", "--db", path).exit_code == 0
    path.chmod(0o640)
    tokens.write_text(f"operate cron {TOKEN}\n", "utf-8")
    tokens.chmod(0o644)
    with serving(str(path), tmp_path, "--token-file", str(tokens), "--log-format", "text") as api:
        api.client.get("/readyz")
    assert [line for line in api.log.read_text("utf-8").splitlines() if "chmod" in line] == [
        f"[WARN]      {tokens} is open to everybody on this machine (mode 0644). Try: chmod 600 {tokens}",
        f"[WARN]      {path} is open to its group (mode 0640). Try: chmod 600 {path}",
    ]
