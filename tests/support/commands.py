"""The installed commands, run as a user runs them: in a process of their own, with nothing of our environment.

`run_here` carries one out in this process instead, from the arguments to the exit code: a process costs ten times as much.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from unittest import mock

from market_spine.cli import spine, weekly
from market_spine.cli.exit import guarded
from market_spine.core import executions

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
    ) -> Finished: ...


class StartCommand(Protocol):
    """Starts `name` and returns at once; whatever still runs when the test ends is killed."""

    def __call__(
        self, name: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[str]: ...


def start(command: list[str], home: Path, env: Mapping[str, str], cwd: Path) -> subprocess.Popen[str]:
    """A process of one of the venv's commands, its three streams as text pipes."""
    program = Path(sysconfig.get_path("scripts")) / command[0]
    return subprocess.Popen(
        [str(program), *command[1:]], env=environment(home) | dict(env), cwd=cwd, text=True, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def environment(home: Path) -> dict[str, str]:
    """All that a command finds of ours."""
    clean = {name: os.environ[name] for name in _KEPT if name in os.environ}
    clean |= {"HOME": str(home), "LANG": "C.UTF-8", "TZ": "UTC", "COLUMNS": "120"}
    return clean | {"MARKET_SPINE_SETTLE_SECONDS": "0"}  # tests run on files that they have just written


def run_here(command: list[str], home: Path, env: Mapping[str, str]) -> Finished:
    """Carries out `spine …` or `run_finra_weekly_schedule …` in this process, as its entry point would."""
    group, out, err = (spine if command[0] == "spine" else weekly).command, io.StringIO(), io.StringIO()
    logger = logging.getLogger("market_spine")
    with (
        mock.patch.dict(os.environ, environment(home) | dict(env), clear=True),
        mock.patch.multiple(sys, argv=command, stdin=io.StringIO()),
        mock.patch.object(executions, "_ended", None),
        mock.patch.multiple(logger, handlers=[], propagate=True, level=logging.NOTSET),
        contextlib.chdir(home),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        return Finished(guarded(group, command[1:]), out.getvalue(), err.getvalue())
