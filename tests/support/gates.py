"""Moments that are held: a child says that it has come to one, and stays there until it is let go on.

A Gate is two named pipes. Nothing here polls and nothing measures time; DEADLINE only keeps a broken test from hanging.
"""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import threading
from pathlib import Path
from typing import Any

DEADLINE = 120.0
_GO = b"go\n"


class Gate:
    """Where a child stops. It writes a line to `arrived`, then reads from `onward` until that has an end."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self.arrived, self.onward = folder / f"{name}.arrived", folder / f"{name}.onward"
        os.mkfifo(self.arrived)
        os.mkfifo(self.onward)
        # Both ends are kept open here, so that neither side ever waits for the other to open its own.
        self._arrived = os.open(self.arrived, os.O_RDWR)
        self._onward = os.open(self.onward, os.O_RDWR)

    @property
    def shell(self) -> str:
        """What a shell script does to stop here."""
        return f'echo here >"{self.arrived}"; read -r _ <"{self.onward}"'

    def wait(self, process: subprocess.Popen[Any] | None = None) -> str:
        """Returns what the child said when it has come here; fails at once when `process` ends instead."""
        watched = [self._arrived, *([os.pidfd_open(process.pid)] if process else [])]
        come = select.select(watched, [], [], DEADLINE)[0]
        for pidfd in watched[1:]:
            os.close(pidfd)
        assert self._arrived in come, "it ended before it came to the gate" if come else "nobody came to the gate"
        return os.read(self._arrived, 4096).decode().strip()

    def open(self) -> None:
        """Lets the child go on."""
        os.write(self._onward, _GO)

    def close(self) -> None:
        os.close(self._arrived)
        os.close(self._onward)


def stop_at(arrived: str, onward: str, what: object = "here") -> None:
    """In the child: says that it has come to the gate, and stays until it is opened."""
    Path(arrived).write_text(f"{what}\n")
    pipe = os.open(onward, os.O_RDONLY)
    os.read(pipe, len(_GO))
    os.close(pipe)


def wait_for_end(*pidfds: int) -> None:
    """Returns when these processes, which need not be ours, have ended (os.pidfd_open, while they lived)."""
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], DEADLINE)[0], "it is still there"
        os.close(pidfd)


class Events:
    """The JSON lines that processes write to their stderr, as they come; start them with `stderr=PIPE` and add them."""

    def __init__(self, *processes: subprocess.Popen[bytes]) -> None:
        self.seen: list[dict[str, Any]] = []
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._readers = [threading.Thread(target=self._read, args=(process,), daemon=True) for process in processes]
        for reader in self._readers:
            reader.start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._lines.put(line)

    def _next(self) -> str | None:
        """The next event; None when the deadline of a wait is over."""
        line = self._lines.get()
        if line:
            self.seen.append(json.loads(line) if line.startswith(b"{") else {"event": "", "text": line.decode()})
        return str(self.seen[-1]["event"]) if line else None

    def wait(self, event: str, count: int = 1) -> None:
        """Returns when so many more of these events have come."""
        self._wait([event] * count)

    def wait_for_each(self, *events: str) -> None:
        """Returns when each of these has come, in any order."""
        self._wait(list(events))

    def _wait(self, missing: list[str]) -> None:
        deadline = threading.Timer(DEADLINE, self._lines.put, [b""])
        deadline.start()
        while missing:
            event = self._next()
            assert event is not None, f"{missing} never came; there were {self.seen}"
            if event in missing:
                missing.remove(event)
        deadline.cancel()

    def to_the_end(self) -> list[dict[str, Any]]:
        """Everything, once the processes have ended."""
        for reader in self._readers:
            reader.join(DEADLINE)
        while not self._lines.empty():
            self._next()
        return self.seen
