"""Holds thousands of half-open connections to a `spine serve` of its own on the loopback, and times everybody else's requests.

python scripts half_open --connections 10000 --seconds 20

What the server closes is opened again at once, up to --reopen a second. Prints one JSON document; exit 1 when the 99th percentile
of the others' requests is a second or more, or when one of them failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import resource
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clone import tool

ADDRESS = "127.0.0.1"
HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@dataclass
class Attack:
    """Connections that never end their head."""

    port: int
    wanted: int
    reopen: int
    opened: int = 0
    open_now: int = 0
    most_open: int = 0
    going_on: bool = True
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def go_on(self) -> None:
        """Opens what is missing, a tenth of `reopen` each tenth of a second."""
        while self.going_on:
            for _ in range(min(self.reopen // 10, self.wanted - len(self.tasks))):
                task = asyncio.create_task(self._hold())
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            await asyncio.sleep(0.1)
        for task in self.tasks:
            task.cancel()

    async def _hold(self) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(ADDRESS, self.port)
            self.opened += 1
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
            try:
                writer.write(HALF)
                await reader.read()  # until the server closes it
            finally:
                self.open_now -= 1
                writer.close()


def honest(port: int, seconds: float, gap: float = 0.02) -> dict[str, Any]:
    """What an honest client sees, each request on a connection of its own: milliseconds, and how many failed."""
    took, failed, end = [], 0, time.monotonic() + seconds
    request = f"GET /healthz HTTP/1.1\r\nHost: {ADDRESS}:{port}\r\nConnection: close\r\n\r\n".encode()
    while time.monotonic() < end:
        began, answer = time.monotonic(), b""
        with contextlib.suppress(OSError), socket.create_connection((ADDRESS, port), timeout=30) as line:
            line.sendall(request)
            answer = line.recv(65536)
        failed += not answer.startswith(b"HTTP/1.1 200")
        took.append((time.monotonic() - began) * 1000)
        time.sleep(gap)
    most = {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "most": round(max(took), 1)}
    return {"requests": len(took), "failed": failed, "ms": most}


async def others(port: int, seconds: float) -> Any:
    """The same in a process of its own, which has nothing else to do."""
    command = tool("half_open", "--honest", "--port", str(port), "--seconds", str(seconds))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    stdout, _ = await process.communicate()
    return json.loads(stdout)


def percentile(values: list[float], share: float) -> float:
    return round(statistics.quantiles(values, n=1000)[int(share * 1000) - 1], 1)


async def measure(port: int, wanted: int, reopen: int, seconds: float) -> dict[str, Any]:
    """Alone first, then under attack, from when the connections are (or would be) open."""
    alone = await others(port, min(5, seconds))
    attack = Attack(port, wanted, reopen)
    attacking = asyncio.create_task(attack.go_on())
    attacked = await others(port, seconds)
    attack.going_on = False
    await attacking
    opened = {"wanted": wanted, "opened": attack.opened, "most_open_at_once": attack.most_open}
    return {"half_open": opened, "alone": alone, "attacked": attacked}


async def answering(port: int) -> None:
    """Returns once the server accepts connections."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(ADDRESS, port)
            writer.close()
            return
        await asyncio.sleep(0.05)


async def run(given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = Path(sysconfig.get_path("scripts")) / "spine"
        database = ["--db", str(folder / "spine.db")]
        subprocess.run([program, "db", "init", *database], check=True, stdout=subprocess.DEVNULL)
        options = [*database, "--port", str(given.port), "--max-connections", str(given.max_connections)]
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(program, "serve", *options, stderr=log)
        try:
            await asyncio.wait_for(answering(given.port), 60)
            asked = given.via or given.port
            found = await measure(asked, given.connections, given.reopen, given.seconds)
            with contextlib.suppress(OSError):
                memory = Path(f"/proc/{process.pid}/status").read_text("ascii").partition("VmHWM:")[2].split()[0]
                found["server_peak_mb"] = int(memory) >> 10
        finally:
            process.terminate()
            await process.wait()
        return {**found, "log_bytes": (folder / "log").stat().st_size}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--reopen", type=int, default=2000, metavar="PER_SECOND")
    parser.add_argument("--max-connections", type=int, default=512, help="of the server")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--via", type=int, help="port of a proxy in front of it, which is attacked instead")
    parser.add_argument("--honest", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.honest:
        print(json.dumps(honest(given.port, given.seconds)))
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = given.connections + 256
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
    found = asyncio.run(run(given))
    print(json.dumps(found, indent=2))
    return int(bool(found["attacked"]["failed"]) or found["attacked"]["ms"]["p99"] >= 1000)


if __name__ == "__main__":
    sys.exit(main())
