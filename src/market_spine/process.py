"""Which process this is, whether another one still lives, and how this one keeps its memory."""

from __future__ import annotations

import contextlib
import gc
import os
from pathlib import Path
from typing import NamedTuple

_DEAD_STATES = "ZX"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_START_TIME = 19  # place of `starttime` after the command's closing bracket in /proc/PID/stat, see proc(5)


class Process(NamedTuple):
    """A process. `machine` distinguishes boots and PID namespaces, `started` a reused PID ('' unknown)."""

    host: str
    machine: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"


def hostname() -> str:
    """What this machine calls itself; asked without the modules of the network, which take their time to load."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


def this_process() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(hostname(), _machine(), pid, _stat(pid)[1])


def is_gone(process: Process, here: Process) -> bool:
    """Whether `process` certainly no longer runs. False for one of another machine: that cannot be seen from `here`."""
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
    """For a process that reads whole weekly files, and ends: the collector hardly looks for cycles, of which rows have none,
    and glibc keeps blocks of some megabytes for the next use. Else each file's bytes are given back and asked for anew page
    by page, which takes as long as hashing them. Elsewhere than with glibc they are."""
    import ctypes

    gc.set_threshold(500_000, 20, 20)
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 16 << 20)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)


def _machine() -> str:
    """This boot of this machine, and the PID namespace; elsewhere than on Linux its hardware address."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        import uuid

        return f"{uuid.getnode():012x}"


def _stat(pid: int) -> tuple[str, str]:
    """State and start time of a process; ('X', '') when there is none, and ('', '') where there is no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ("X", "") if Path("/proc/self/stat").exists() else ("", "")
    fields = text.rpartition(")")[2].split()
    return fields[0], fields[_START_TIME]
