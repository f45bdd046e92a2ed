"""How the stand-in of FINRA's service speaks HTTP: header names in any case, gzip, and connections that break off."""

from __future__ import annotations

import gzip
import json
import socket
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from stand_ins.finra_faults import Answer, Seen


class Answering(Protocol):
    """The service behind the HTTP server."""

    seen: list[Seen]

    def answer(self, seen: Seen) -> Answer: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: Answering

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is not reported."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        try:
            body = json.loads(raw)
        except ValueError:
            body = {}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = body if isinstance(body, dict) else {}
        self._send(self.server.fake.answer(Seen(self.command, parts.path, parse_qs(parts.query), body, headers, raw)))

    def _send(self, answer: Answer) -> None:
        if answer.cut == "reset":
            # A reset, not an orderly end: linger 0.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self.send_response_only(answer.status)
        lower = len(self.server.fake.seen) % 2  # header names come in any case
        for name, value in answer.headers.items():
            self.send_header(name.lower() if lower else name, value)
        if answer.kind:
            self.send_header("Content-Type", answer.kind)
        if answer.status == 204:
            self.end_headers()
            return
        content = answer.body
        if "gzip" in self.headers.get("Accept-Encoding", "") and content:
            content = gzip.compress(content, 1)
            self.send_header("Content-Encoding", "gzip")
            if answer.cut == "gzip":
                content = content[: len(content) // 2]
        self.send_header("Content-Length", str(len(content) * (2 if answer.cut == "length" else 1)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = self.close_connection or answer.cut == "length"
