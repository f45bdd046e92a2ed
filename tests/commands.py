"""The installed commands, run as a user runs them: in a process of their own, with nothing of our environment."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SECONDS = 120
_KEPT = ("TMPDIR", "LD_LIBRARY_PATH", "PATH")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended and what it said."""

    exit_code: int
    stdout: str
    stderr: str


class RunCommand(Protocol):
    """Runs `name` of the venv's commands to its end, in an empty folder unless `cwd` is given."""

    def __call__(
        self, name: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None,
        input: str | None = None, timeout: float = SECONDS,
    ) -> Finished: ...  # fmt: skip


class StartCommand(Protocol):
    """Starts `name` and returns at once; whatever still runs when the test ends is killed."""

    def __call__(
        self, name: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[str]: ...


def start(command: list[str], home: Path, env: Mapping[str, str], cwd: Path) -> subprocess.Popen[str]:
    """A process of one of the venv's commands, its three streams as text pipes."""
    clean = {name: os.environ[name] for name in _KEPT if name in os.environ}
    clean |= {"HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC", "COLUMNS": "120"}
    clean["MARKET_SPINE_SETTLE_SECONDS"] = "0"  # tests run on files that they have just written
    program = Path(sysconfig.get_path("scripts")) / command[0]
    return subprocess.Popen(
        [str(program), *command[1:]], env=clean | dict(env), cwd=cwd, text=True, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
