"""A PgBouncer in front of a PostgreSQL server of the tests, in any pool mode; ended with the test."""

from __future__ import annotations

import contextlib
import os
import pwd
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from support.gates import DEADLINE


def required_program() -> str:
    """pgbouncer's path; without it the test is skipped, but fails where everything is promised (CI)."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop("no pgbouncer here: install the package pgbouncer")
    return str(found)


@contextlib.contextmanager
def pgbouncer(url: str, pool_mode: str, pool_size: int = 10) -> Iterator[str]:
    """Runs one for the server of `url`; yields the URL that goes through it."""
    program, server = required_program(), urlsplit(url)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        users, settings = Path(folder, "users.txt"), Path(folder, "pgbouncer.ini")
        users.write_text(f'"{server.username}" "{server.password}"\n')
        settings.write_text(
            f"[databases]\n* = host={server.hostname} port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {users}\npool_mode = {pool_mode}\n"
            f"default_pool_size = {pool_size}\n"
        )
        owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # it refuses to run as root
        if owner:
            for path in (Path(folder), users, settings):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        identity = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": ()} if owner else {}
        process = subprocess.Popen([program, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **identity)
        try:
            _wait_until_up(process)
            yield urlunsplit(server._replace(netloc=f"{server.username}:{server.password}@127.0.0.1:{port}"))
        finally:
            process.kill()
            process.wait()


def _wait_until_up(process: subprocess.Popen[bytes]) -> None:
    """Reads its log to its end; returns when it says that it accepts connections."""
    up: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def read_log() -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                if b"process up" in line:
                    up.put(True)
        up.put(False)

    threading.Thread(target=read_log, daemon=True).start()
    assert up.get(timeout=DEADLINE), "pgbouncer did not start"
