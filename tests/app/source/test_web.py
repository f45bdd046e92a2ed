"""A server that keeps a request for ever, byte by byte: its whole time is limited, and another thread can end it."""

from __future__ import annotations

import threading

import pytest
from stand_ins.dripping import dripping
from support.gates import DEADLINE

from market_spine.app.source.web import Client, HttpLimits
from market_spine.errors import SourceError

HEAD = b"HTTP/1.1 200 OK\r\n"
STALLS = {
    "in its headers": b"",
    "in a body with a length": HEAD + b"Content-Length: 100000\r\n\r\n",
    "in a body that ends with the connection": HEAD + b"Connection: close\r\n\r\n",
    "in a chunked body": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
}


@pytest.mark.parametrize("begins", STALLS.values(), ids=STALLS)
def test_a_request_has_so_much_time_and_no_more(begins: bytes) -> None:
    with dripping(begins) as server:
        client = Client(HttpLimits(timeout=DEADLINE, whole=0.2, backoff=0.001))
        with pytest.raises(SourceError, match="took more than 0 s") as caught:
            client.send("GET", server.url)
        client.close()
    assert caught.value.category == "SOURCE_UNAVAILABLE"


@pytest.mark.parametrize("begins", STALLS.values(), ids=STALLS)
def test_another_thread_ends_a_request(begins: bytes) -> None:
    with dripping(begins) as server:
        client = Client(HttpLimits(timeout=DEADLINE, whole=DEADLINE))
        stopper = threading.Thread(target=lambda: (server.asked.wait(DEADLINE), client.stop()))
        stopper.start()
        with pytest.raises(SourceError, match="stopped"):
            client.send("GET", server.url)
        stopper.join()
        with pytest.raises(SourceError, match="stopped"):
            client.send("GET", server.url)
        client.close()
