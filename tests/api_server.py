"""A running API for tests: the shipped command in a process of its own, on a free port of the loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from gates import DEADLINE, Gate

from market_spine import migrations
from market_spine.db import connect


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
    """Starts it, waits until it answers, stops it with SIGTERM. A database that is not there yet is made."""
    with contextlib.closing(connect(target)) as db:
        migrations.prepare(db)
    port, log = free_port(), folder / "serve.log"
    with contextlib.closing(Gate(folder, f"serve-{port}")) as gate, log.open("wb") as stderr:
        held = [sys.executable, Path(__file__).with_name("held.py"), "serving", gate.arrived, gate.onward]
        process = subprocess.Popen([*held, "spine", "serve", "--db", target, "--port", str(port), *options], stderr=stderr)
        url = f"http://127.0.0.1:{port}"
        with process, httpx.Client(base_url=url, timeout=DEADLINE) as client:
            try:
                gate.wait(process)
                yield Api(url, target, client, process, log)
            finally:
                process.terminate()
                process.wait(DEADLINE)
