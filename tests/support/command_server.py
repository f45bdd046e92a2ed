"""A process that has loaded the commands and forks one for each request: loading them takes most of a short command's time.

What it forks is a process like any other, with streams, environment, folder and exit code of its own. `python command_server.py
SOCKET` serves the requests that come over that socket (a file descriptor): a JSON object with `argv`, `env` and `cwd`, and with it
the descriptors of the command's stdin, stdout and stderr and of a pipe, to which its exit code is written when it has ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from market_spine import cli
from market_spine.cli import entry

ENGINES = ("market_spine.db.postgres", "market_spine.db.sqlite")
LONGEST = 1 << 17


def main(descriptor: int) -> None:
    for name in (*ENGINES, *(module.name for module in pkgutil.walk_packages(cli.__path__, f"{cli.__name__}."))):
        importlib.import_module(name)
    gc.freeze()
    with socket.socket(fileno=descriptor) as requests:
        request = serve(requests)
    if request is not None:  # this is the child
        become(request)
        getattr(entry, Path(request["argv"][0]).name)()


def serve(requests: socket.socket) -> dict[str, Any] | None:
    """Forks for each request; returns it in the child, and None in the server when nobody can send one any more."""
    ended, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    waiting: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([requests, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            report(waiting)
        if requests in ready:
            text, streams, _, _ = socket.recv_fds(requests, LONGEST, 4)
            if not text:
                return None
            process = os.fork()
            if process == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for number, stream in enumerate(streams[:3]):
                    os.dup2(stream, number)
                for other in (*streams, ended, wakeup, *waiting.values()):
                    os.close(other)
                return dict(json.loads(text))
            waiting[process] = streams[3]
            for stream in streams[:3]:
                os.close(stream)


def report(waiting: dict[int, int]) -> None:
    """Writes the exit code of every child that has ended to its pipe."""
    while waiting:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        pipe = waiting.pop(process)
        os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(pipe)


def become(request: dict[str, Any]) -> None:
    """Makes this process the one that was asked for."""
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    sys.argv = request["argv"]
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        mode, errors = "r" if number == 0 else "w", "backslashreplace" if number == 2 else "strict"
        stream = os.fdopen(number, mode, encoding="utf-8", errors=errors, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    main(int(sys.argv[1]))
