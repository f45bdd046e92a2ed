"""A running API for tests: the shipped command in a process of its own, on a free port of the loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

SECONDS = 60


@dataclass(frozen=True, slots=True)
class Api:
    """Where it answers, and a client that keeps its connection."""

    url: str
    target: str
    client: httpx.Client
    process: subprocess.Popen[bytes]
    log: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(target: str, folder: Path, *options: str) -> Iterator[Api]:
    """Starts it, waits until it answers, stops it with SIGTERM."""
    port, log = free_port(), folder / "serve.log"
    program = Path(sysconfig.get_path("scripts")) / "spine"
    with log.open("wb") as stderr:
        process = subprocess.Popen([program, "serve", "--db", target, "--port", str(port), *options], stderr=stderr)
    url = f"http://127.0.0.1:{port}"
    with process, httpx.Client(base_url=url, timeout=30) as client:
        try:
            _wait(client, process, log)
            yield Api(url, target, client, process, log)
        finally:
            process.terminate()
            process.wait(SECONDS)


def _wait(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            client.get("/healthz")
            return
        assert process.poll() is None, log.read_text("utf-8")
        assert time.monotonic() < deadline, log.read_text("utf-8")
        time.sleep(0.05)
