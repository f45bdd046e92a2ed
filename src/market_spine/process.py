"""Identifies this process, checks whether another one is still running, and tunes memory for bulk work."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_DEAD_STATES = "ZX"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_START_TIME = 19  # index of `starttime` after the command's closing bracket in /proc/PID/stat, see proc(5)


class Process(NamedTuple):
    """A process. `machine` distinguishes boots and PID namespaces, `started` a reused PID ('' unknown)."""

    host: str
    machine: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"


def hostname() -> str:
    """The name of this machine, without importing `socket`, which is slow to load."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


def actor() -> str:
    """Who is asking: MARKET_SPINE_ACTOR, else the user's name."""
    if named := os.environ.get("MARKET_SPINE_ACTOR"):
        return named
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def this_process() -> Process:
    """The current process."""
    pid = os.getpid()
    return Process(hostname(), _machine(), pid, _stat(pid)[1])


def is_gone(process: Process, here: Process) -> bool:
    """Whether `process` has certainly ended. False for one of another machine, which cannot be checked from `here`."""
    if process.machine != here.machine:
        return False
    if Path("/proc/self/stat").exists():
        state, started = _stat(process.pid)
        return state in _DEAD_STATES or started != process.started
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def work_in_bulk() -> None:
    """For a process that reads whole weekly files and then ends: fewer garbage collections, since rows have no cycles, and
    glibc keeps freed blocks of some megabytes for reuse. Otherwise it returns each file's memory to the system and maps it
    again page by page, which takes as long as hashing the file. Without glibc only the former applies."""
    import ctypes

    gc.set_threshold(500_000, 20, 20)
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 16 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """While rows are made: they have no cycles, but each thousand of them would have every object of the process visited. Of
    several threads in here, the one that found the collector running starts it again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _machine() -> str:
    """This boot of this machine, and the PID namespace; on other systems than Linux its hardware address."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        import uuid

        return f"{uuid.getnode():012x}"


def _stat(pid: int) -> tuple[str, str]:
    """State and start time of a process; ('X', '') if there is none, and ('', '') without /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ("X", "") if Path("/proc/self/stat").exists() else ("", "")
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[_START_TIME]
