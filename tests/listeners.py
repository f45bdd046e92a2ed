"""Real servers on this machine that write down what they are sent: one for HTTP, one for mail."""

from __future__ import annotations

import email
import email.message
import email.policy
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from gates import DEADLINE


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Listener:
    """Answers 200, or the statuses in `answers` first, one a request; paths with `stalls_at` get no answer for long."""

    url: str
    seen: list[Request] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    stalls_at: str | None = None
    released: threading.Event = field(default_factory=threading.Event)
    came: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)

    @property
    def paths(self) -> list[str]:
        return [f"{request.method} {request.path.partition('?')[0]}" for request in self.seen]

    def wait(self, path: str) -> None:
        """Returns when the next request has come, which must be this one: `POST /start`."""
        assert self.came.get(timeout=DEADLINE) == path


@contextmanager
def http_listener() -> Iterator[Listener]:
    listener = Listener("")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            listener.seen.append(Request(self.command, self.path, dict(self.headers), body))
            listener.came.put(listener.paths[-1])
            if listener.stalls_at and listener.stalls_at in self.path:
                listener.released.wait(DEADLINE)
            self.send_response(listener.answers.pop(0) if listener.answers else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield listener
    finally:
        listener.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(slots=True)
class Mailbox:
    """The mails that came; `url` is what --notify takes. While `closed`, every mail is refused."""

    url: str
    mails: list[email.message.EmailMessage] = field(default_factory=list)
    closed: bool = False

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]

    @property
    def bodies(self) -> list[str]:
        parts = (mail.get_body(("plain", "html")) for mail in self.mails)
        return [part.get_content() for part in parts if part is not None]


class _OnAnyPort(Controller):
    """Takes a free port; the controller's own first call on itself must be told which."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    box = Mailbox("")

    class Handler:
        async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
            if box.closed:
                return "451 try again later"
            parser = email.message_from_bytes
            box.mails.append(parser(envelope.content or b"", policy=email.policy.default))  # type: ignore[arg-type]
            return "250 taken"

    controller = _OnAnyPort(Handler(), hostname="127.0.0.1", port=0)
    controller.start()
    box.url = f"mailto://127.0.0.1:{controller.port}?mode=insecure&smtp=127.0.0.1&from=spine@example.com&to=desk@example.com&format=text"
    try:
        yield box
    finally:
        controller.stop()
