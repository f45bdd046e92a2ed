"""A PostgreSQL server for tests: found on this machine, started on a free port, thrown away at the end.

Its binaries are those on PATH, else the newest of Debian's in /usr/lib/postgresql, else the ones the `pgserver` package
brings. It listens on 127.0.0.1 with a password, and is tuned to forget everything quickly: nothing in it outlives a test.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import queue
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

USER = "postgres"
START_SECONDS = 60
_ROOM = 2 << 30  # memory that must be free before a server is put there
_PRIVATE = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
_FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # a worker in the template database would make cloning it fail
    "shared_buffers": "32MB",
    "max_connections": "100",
}


def find_binaries() -> Path | None:
    """The folder that holds `postgres` and `initdb`; None when this machine has no PostgreSQL."""
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    package = importlib.util.find_spec("pgserver")  # not imported: that alone makes folders
    if package and package.origin:
        folders.append(Path(package.origin).parent / "pginstall" / "bin")
    return next((folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


def required_binaries() -> Path:
    """The same; without them the test is skipped, but fails where both engines are promised (CI)."""
    found = find_binaries()
    if found is None:
        promised = os.environ.get("CI") == "true" or os.environ.get("MARKET_SPINE_REQUIRE_POSTGRES") == "1"
        import pytest

        stop = pytest.fail if promised else pytest.skip
        stop("no PostgreSQL here: install postgresql, or give a server's URL in MARKET_SPINE_TEST_POSTGRES")
    return found


# Waits for the end of its input, which comes even when the one who holds the other end is killed; then clears up. It ends
# only a process that has our data folder in its command: a number may have been given to another since.
_WATCH = """
read -r _
pid=$(head -n 1 "$2/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ] && grep -aqF "$2" "/proc/$pid/cmdline" 2>/dev/null; then
    kill -QUIT "$pid"
    sleep 0.2
fi
rm -rf "$1" "$2"
"""


class PostgresServer:
    """A server of one's own. `url` stays the same across stop() and start().

    `durable`: on disk and with PostgreSQL's own settings, for measuring.
    """

    def __init__(self, binaries: Path, *, durable: bool = False) -> None:
        self._settings = _PRIVATE if durable else _PRIVATE | _FORGETFUL
        self._owner = _owner()
        self._home = Path(tempfile.mkdtemp(prefix="market_spine_pg_"))
        self._data = Path(tempfile.mkdtemp(prefix="market_spine_pg_", dir=None if durable else _memory()))
        self._home.chmod(0o755)
        self._binaries = _reachable(binaries, self._home, self._owner)
        self._process: subprocess.Popen[bytes] | None = None
        self._watch = subprocess.Popen(
            ["sh", "-c", _WATCH, "sh", str(self._home), str(self._data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._port = _free_port()
        self._password = secrets.token_hex(8)
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/postgres"

    @property
    def pid(self) -> int:
        """Of the postmaster. Raises when it is stopped."""
        if self._process is None:
            raise RuntimeError("the server is stopped")
        return self._process.pid

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self._process = subprocess.Popen(
            [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self._port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self._home,
            start_new_session=True,
            **self._as_owner(),
        )
        ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        threading.Thread(target=self._keep_log, args=(self._process, ready), daemon=True).start()
        with contextlib.suppress(queue.Empty):
            if ready.get(timeout=START_SECONDS):
                return
        raise RuntimeError(f"PostgreSQL did not start:\n{(self._home / 'log').read_text('utf-8', 'replace')[-2000:]}")

    def become_standby(self) -> None:
        """Starts it again as a hot standby, which only reads; one whose primary sends nothing more."""
        self.stop()
        signal_file = self._data / "standby.signal"
        signal_file.touch()
        shutil.copystat(self._data / "PG_VERSION", signal_file)
        if self._owner is not None:
            os.chown(signal_file, (self._data / "PG_VERSION").stat().st_uid, (self._data / "PG_VERSION").stat().st_gid)
        self.start()

    def _keep_log(self, process: subprocess.Popen[bytes], ready: queue.SimpleQueue[bool]) -> None:
        """What the server says goes to its log; among it is that it accepts connections."""
        assert process.stderr is not None
        with process.stderr as lines, contextlib.suppress(OSError), (self._home / "log").open("ab", buffering=0) as log:
            for line in lines:
                log.write(line)
                if b"ready to accept" in line:  # connections, or read-only ones
                    ready.put(True)
        ready.put(False)

    def stop(self, *, immediate: bool = False) -> None:
        """Stops it: at once, breaking connections with a message, or (`immediate`) as a crash would."""
        if self._process is not None:
            self._process.send_signal(3 if immediate else 2)
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    def close(self) -> None:
        """Stops it and removes every trace."""
        self.stop(immediate=True)
        self._watch.communicate()

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _initialise(self) -> None:
        password = self._home / "password"
        password.write_text(self._password, "utf-8")
        if self._owner:
            for path in (self._data, password):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        command = [
            str(self._binaries / "initdb"),
            "-D",
            str(self._data),
            "-U",
            USER,
            "--auth=md5",  # a connection in two thirds of the time that scram-sha-256 takes
            f"--pwfile={password}",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._home, check=False, **self._as_owner())
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr}")
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())

    def _as_owner(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root: then it runs as another user."""
        if self._owner is None:
            return {"env": _environment()}
        return {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": (), "env": _environment()}


class Databases:
    """Databases on a running server, named so that several test sessions can share it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._prefix = f"market_spine_test_{os.getpid()}_{secrets.token_hex(3)}"
        self._count = 0
        self._kept: set[str] = set()
        self._admin = psycopg.connect(url, autocommit=True)
        self._strategy = sql.SQL(" STRATEGY file_copy" if self._admin.info.server_version >= 150000 else "")  # half the time

    def create(self, template: str | None = None) -> str:
        """Makes a database, a copy of the one at URL `template` if given, and returns its URL."""
        self._count += 1
        name = f"{self._prefix}_{self._count}"
        source = urlsplit(template).path[1:] if template else "template0"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}{}")
        self._admin.execute(statement.format(sql.Identifier(name), sql.Identifier(source), self._strategy))
        self._kept.add(made := urlunsplit(urlsplit(self._url)._replace(path=f"/{name}")))
        return made

    def drop(self, url: str) -> None:
        """Drops it, whoever is still connected."""
        name = sql.Identifier(urlsplit(url).path[1:])
        self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        self._kept.discard(url)

    def close(self) -> None:
        """Drops those that are left."""
        for url in tuple(self._kept):
            self.drop(url)
        self._admin.close()


def _owner() -> pwd.struct_passwd | None:
    """The user to run as when we are root."""
    if os.geteuid() != 0:
        return None
    users = {user.pw_name: user for user in pwd.getpwall()}
    return users.get("postgres") or users["nobody"]


def _reachable(binaries: Path, home: Path, owner: pwd.struct_passwd | None) -> Path:
    """The binaries, or a copy of the `pgserver` package when `owner` may not enter the folder it lies in (root's home)."""
    if owner is None or all(folder.stat().st_mode & 0o005 == 0o005 for folder in binaries.resolve().parents):
        return binaries
    package = binaries.parent.parent
    for folder in (package, package.with_suffix(".libs")):  # the programs find their libraries by this relative place
        if folder.is_dir():
            shutil.copytree(folder, home / folder.name, symlinks=True)
    return home / binaries.relative_to(package.parent)


def _memory() -> str | None:
    """Where memory serves as a disk, if it has room: cloning a database is five times faster there."""
    place = Path("/dev/shm")
    roomy = place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free > _ROOM
    return str(place) if roomy else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C", "TZ": "UTC"}


def _version(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0
