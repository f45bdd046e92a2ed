"""The readings in Prometheus's format: text, textfile, Pushgateway."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.commands import RunCommand
from support.listeners import Listener, http_listener

from market_spine.db import Database
from market_spine.monitor import metrics, samples
from market_spine.monitor.deadline import parse_deadline
from market_spine.monitor.samples import METRICS, Sample

NOW = datetime(2026, 1, 9, 13, tzinfo=timezone.utc)
SAMPLES = [Sample("market_spine_runs_total", 3, ("0",)), Sample("market_spine_last_run_exit_code", 0)]


@pytest.fixture
def gateway() -> Iterator[Listener]:
    with http_listener() as listener:
        yield listener


def names(text: bytes) -> set[str]:
    return {sample.name for family in text_string_to_metric_families(text.decode()) for sample in family.samples}


def test_the_text_is_prometheus_own(db: Database) -> None:
    text = metrics.exposition(db, NOW, parse_deadline("Fri 12:00"))
    assert names(text) <= set(METRICS)
    assert b"# TYPE market_spine_runs_total counter\n" in text
    assert b'market_spine_runs_total{exit_code="0"} 0.0\n' in text


def test_a_counter_is_named_as_one() -> None:
    assert [name for name, kind in METRICS.items() if (kind.type == "counter") is not name.endswith("_total")] == []


def test_the_textfile_is_never_seen_half_written(tmp_path: Path) -> None:
    """A reader that looks all the time sees the old file or the new one, and nothing beside it ends in .prom."""
    path = tmp_path / "market_spine.prom"
    many = [Sample("market_spine_runs_total", n, (str(n),)) for n in range(2000)]
    metrics.write_textfile(str(path), many)
    whole, stop, seen = path.stat().st_size, threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add(len(path.read_bytes()))
            assert [entry.name for entry in tmp_path.glob("*.prom")] == ["market_spine.prom"]

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(20):
        metrics.write_textfile(str(path), many)
    stop.set()
    reader.join()
    assert seen == {whole}
    assert [entry.name for entry in tmp_path.iterdir()] == ["market_spine.prom"]


def test_a_push_replaces_what_was_there(gateway: Listener) -> None:
    metrics.push(gateway.url, SAMPLES)
    (request,) = gateway.seen
    assert (request.method, request.path) == ("PUT", "/metrics/job/market_spine")
    assert names(request.body.encode()) == {"market_spine_runs_total", "market_spine_last_run_exit_code"}


def test_a_crash_is_added_to_what_was_there(gateway: Listener) -> None:
    metrics.push(gateway.url, samples.crash_samples(2, NOW), add=True)
    assert gateway.paths == ["POST /metrics/job/market_spine"]


def test_a_password_goes_into_the_header(gateway: Listener) -> None:
    metrics.push(gateway.url.replace("http://", "http://desk:ge%3Aheim@"), SAMPLES)
    (request,) = gateway.seen
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"desk:ge:heim"


def test_a_gateway_that_refuses_is_an_error(gateway: Listener) -> None:
    gateway.answers[:] = [500]
    with pytest.raises(OSError, match="500"):
        metrics.push(gateway.url, SAMPLES)


def test_the_command_prints_writes_or_pushes(
    run_command: RunCommand, db: Database, target: str, gateway: Listener, tmp_path: Path
) -> None:
    printed = run_command("spine", "metrics", "--db", target)
    assert (printed.exit_code, names(printed.stdout.encode()) <= set(METRICS)) == (0, True)
    path = tmp_path / "x.prom"
    kept = run_command("spine", "metrics", "--db", target, "--metrics-textfile", str(path), "--pushgateway", gateway.url)
    assert (kept.exit_code, kept.stdout) == (0, "")
    assert names(path.read_bytes()) == names(gateway.seen[0].body.encode()) == names(printed.stdout.encode())
