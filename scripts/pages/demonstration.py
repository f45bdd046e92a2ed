"""What looks at the pages, tests and tools: their addresses, a server of them, the demonstration, and the words of a page."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import httpx
import uvicorn

from market_spine.api.app import Serving
from market_spine.page import demo
from market_spine.page.routes import Display, build

DEADLINE = 60.0
DIFF = "/diff/NMS_TIER_1:2025-12-26:20260116/NMS_TIER_1:2025-12-26:20260123"
PAGES = (
    "/",
    "/weeks",
    "/weeks/2025-12-26",
    "/weeks/2025-12-26/NMS_TIER_1",
    "/weeks/2025-12-26/OTC",
    DIFF,
    "/venues",
    "/venues?tier=OTC",
    "/venues/UBSA",
    "/concentration",
    "/symbols",
    "/symbols?q=co",
    "/symbols/BRK.B",
    "/anomalies",
    "/anomalies?all=yes",
    "/gates",
    "/runs",
    "/queue",
    "/calendar",
)


@contextmanager
def served(target: str, display: Display | None = None, **serving: Any) -> Iterator[str]:
    """The address of a server of pages in a thread of this process; `serving` as the server takes it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    begun = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            begun.set()

    app = build(Serving(target, port=port, rate=100_000, **serving), display or Display(day=demo.DAY))
    server = Server(uvicorn.Config(cast(Any, app), port=port, log_config=None, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert begun.wait(DEADLINE)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(DEADLINE)


@contextmanager
def looking_at(target: str, display: Display | None = None, **serving: Any) -> Iterator[httpx.Client]:
    """The pages of a database over HTTP. Another host is only named, as a proxy does."""
    with served(target, display, **serving) as base:
        headers = {"Host": f"{serving['host']}:{httpx.URL(base).port}"} if "host" in serving else {}
        with httpx.Client(base_url=base, headers=headers, timeout=DEADLINE) as client:
            yield client


def made_demo(folder: Path, target: str | None = None) -> str:
    """The demonstration, in a folder or on another database."""
    folder.mkdir(parents=True, exist_ok=True)
    return demo.make(folder, target)


class Seen(HTMLParser):
    """The tags, links and texts of a page; the content of a script counts as a text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(sorted(name for name, _ in attrs))))
        self.links += [str(value) for name, value in attrs if name in ("href", "src", "action")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))
