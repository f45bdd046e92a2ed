"""The dead-man switch, against a server that listens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.listeners import Listener, http_listener

from market_spine import clock
from market_spine.errors import ConfigurationError
from market_spine.monitor import ping


@pytest.fixture
def listener() -> Iterator[Listener]:
    with http_listener() as listening:
        yield listening


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    paused: list[float] = []
    monkeypatch.setattr(clock, "pause", paused.append)
    return paused


ADDRESSES = [
    ("https://hc.example/abc", "start", "https://hc.example/abc/start"),
    ("https://hc.example/abc", "success", "https://hc.example/abc"),
    ("https://hc.example/abc/", "fail", "https://hc.example/abc/fail"),
    ("https://hc.example/abc?create=1", "fail", "https://hc.example/abc/fail?create=1"),
]


@pytest.mark.parametrize(("url", "event", "expected"), ADDRESSES)
def test_each_event_has_its_address(url: str, event: str, expected: str) -> None:
    assert ping.address(url, event, "") == expected


def test_all_pings_of_a_run_share_one_id_and_no_other_has_it() -> None:
    first, second, other = (
        ping.address("https://hc/x", event, run) for event, run in [("start", "a"), ("fail", "a"), ("fail", "b")]
    )
    assert first.partition("rid=")[2] == second.partition("rid=")[2] != other.partition("rid=")[2]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "hc-ping.com/abc", ""])
def test_only_web_addresses_are_pinged(url: str) -> None:
    with pytest.raises(ConfigurationError):
        ping.check(url)


def test_the_summary_is_the_body(listener: Listener) -> None:
    ping.send(f"{listener.url}/abc", "success", "run-1", "SUMMARY é\n" + "x" * 200_000)
    (request,) = listener.seen
    assert (request.method, request.path.partition("?")[0]) == ("POST", "/abc")
    assert request.body.startswith("SUMMARY é\n")
    assert len(request.body.encode()) == 100_000


def test_a_server_that_stumbles_is_asked_again(listener: Listener, no_pause: list[float]) -> None:
    listener.answers[:] = [503, 429]
    ping.send(f"{listener.url}/abc", "fail", "run-1")
    assert (listener.paths, no_pause) == (["POST /abc/fail"] * 3, [1, 1])


@pytest.mark.parametrize(("answers", "asked"), [([404], 1), ([500, 500, 500], 3)], ids=["unknown check", "stays down"])
def test_a_server_that_refuses_is_an_error(listener: Listener, answers: list[int], asked: int) -> None:
    listener.answers[:] = answers
    with pytest.raises(OSError, match=str(answers[0])):
        ping.send(f"{listener.url}/abc", "start", "run-1")
    assert len(listener.seen) == asked


def test_nobody_there_is_an_error(no_pause: list[float]) -> None:
    with pytest.raises(OSError, match="refused"):
        ping.send("http://127.0.0.1:9/abc", "start", "run-1")
    assert len(no_pause) == 2
