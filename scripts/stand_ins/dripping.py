"""A server whose responses never end: after what it begins with, a byte and another one."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST = 120.0  # seconds, should nobody end it


class Dripping(socketserver.ThreadingTCPServer):
    """Sends `begins`, then a byte and another one, until the client or the test ends it."""

    daemon_threads = True

    def __init__(self, begins: bytes) -> None:
        self.begins, self.released, self.asked = begins, threading.Event(), threading.Event()
        super().__init__(("127.0.0.1", 0), _Drip)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Drip(socketserver.BaseRequestHandler):
    server: Dripping

    def handle(self) -> None:
        self.request.recv(1 << 16)
        self.request.sendall(self.server.begins or b"HTTP")
        self.server.asked.set()
        try:
            for _ in range(int(_LONGEST * 50)):
                if self.server.released.wait(0.02):
                    return
                self.request.sendall(b"x" if self.server.begins else b"")
        except OSError:
            return


@contextmanager
def dripping(begins: bytes) -> Iterator[Dripping]:
    with Dripping(begins) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
