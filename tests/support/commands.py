"""The installed commands, run as a user runs them: in a process of their own, with nothing of our environment.

A CommandServer forks that process from one that has loaded the program. `run_here` carries a command out in this process instead, from the arguments to the exit code: a process costs ten times as much.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol
from unittest import mock

from market_spine.cli import spine, weekly
from market_spine.cli.exit import guarded
from market_spine.core import executions

SECONDS = 120
SCRIPTS = Path(sysconfig.get_path("scripts"))
INSTALLED = ("spine", "run_finra_weekly_schedule")
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


class CommandServer:
    """Runs the installed commands in processes forked by command_server.py. May be used by several threads."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = [sys.executable, str(Path(__file__).with_name("command_server.py")), str(theirs.fileno())]
        self._process = subprocess.Popen(program, pass_fds=[theirs.fileno()], start_new_session=True)
        self._lock = threading.Lock()
        theirs.close()

    @staticmethod
    def can(name: str, env: Mapping[str, str]) -> bool:
        """Whether a process that has begun already can be that command: not where Python itself is to begin otherwise."""
        return name in INSTALLED and not any(variable.startswith(("PYTHON", "LD_", "LC_", "LANG")) for variable in env)

    def run(self, command: list[str], env: Mapping[str, str], cwd: Path, input: str | None, timeout: float) -> Finished:
        """Returns when it has ended. Raises subprocess.TimeoutExpired."""
        request = {"argv": [str(SCRIPTS / command[0]), *command[1:]], "env": dict(env), "cwd": str(cwd)}
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            stdin.write((input or "").encode())
            stdin.seek(0)
            ended, reports = os.pipe()
            with self._lock:
                streams = [stdin.fileno(), stdout.fileno(), stderr.fileno(), reports]
                socket.send_fds(self._requests, [json.dumps(request).encode()], streams)
            os.close(reports)
            if not select.select([ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(command, timeout)
            with os.fdopen(ended) as report:
                exit_code = int(report.read())
            return Finished(exit_code, *(_text_of(stream) for stream in (stdout, stderr)))

    def close(self) -> None:
        """Ends it, and everything that it has forked and that still runs."""
        self._requests.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _text_of(stream: IO[bytes]) -> str:
    """As a text pipe would have given it."""
    stream.seek(0)
    return io.TextIOWrapper(io.BytesIO(stream.read()), "utf-8").read()


def start(command: list[str], home: Path, env: Mapping[str, str], cwd: Path) -> subprocess.Popen[str]:
    """A process of one of the venv's commands, its three streams as text pipes."""
    return subprocess.Popen(
        [str(SCRIPTS / command[0]), *command[1:]], env=environment(home) | dict(env), cwd=cwd, text=True, encoding="utf-8",
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
