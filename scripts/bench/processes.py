"""One process measured: wall time, CPU of it and all it waited for, peak memory.

The measuring process stays small and imports little: a child's peak memory begins at that of the process that forked it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.within import REPORT


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took: seconds, seconds of CPU (user and system, with its children's), megabytes at its peak."""

    wall: float
    cpu: float
    peak_mb: float


class Failed(Exception):
    """A process that was to be measured ended with an error."""


def measure(command: Sequence[str], *, cwd: Path, on_line: Callable[[str, float, float], None] | None = None) -> Usage:
    """Runs a command to its end. Raises Failed.

    `on_line` gets each line of its stderr as it comes, with the seconds and the seconds of CPU since the start.
    """
    os.sync()  # what the one before left to be written is not charged to this one
    with (cwd / "stderr").open("w+b") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=_environment(cwd),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if on_line else errors,
        )
        if on_line and process.stderr:
            for line in process.stderr:
                errors.write(line)
                on_line(line.decode("utf-8", "replace"), time.perf_counter() - started, cpu_so_far(process.pid))
            process.stderr.close()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            stderr = errors.read().decode("utf-8", "replace")[-2000:]
            raise Failed(f"{' '.join(command)[:300]} ended with {process.returncode}:\n{stderr}")
    within, peak = cwd / REPORT, used.ru_maxrss / 1024
    if within.exists():  # a process that measured what it was run for by itself, see within.py
        part = json.loads(within.read_text("utf-8"))
        return Usage(part["wall"], part["cpu"], peak)
    return Usage(wall, used.ru_utime + used.ru_stime, peak)


def cpu_so_far(pid: int) -> float:
    """Seconds of CPU a living process has taken, with those of its children that have ended; to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def program(name: str) -> str:
    """A command of this venv."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MARKET_SPINE", "PYTHON"))}
    # Generated files may be seconds old: to look at them twice would be counted as the run's own time.
    kept["MARKET_SPINE_SETTLE_SECONDS"] = "0"
    return kept | {"HOME": str(home), "RUNTIME__DLTHUB_TELEMETRY": "false", "DO_NOT_TRACK": "1"}
