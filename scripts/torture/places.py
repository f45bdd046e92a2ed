"""Where runs are tortured: a folder, a disk that is nearly full, a PostgreSQL server of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql
from stand_ins.postgres_server import PostgresServer, required_binaries
from typing_extensions import LiteralString

_DISK_BYTES = 12 << 20
_SERVER_DISK_BYTES = 32 << 20  # an empty database takes 8 MB of it


class Place:
    """One database to break. `target` is what --db takes."""

    def __init__(self, target: str) -> None:
        self.target = target

    def exists(self) -> bool:
        """Whether there is something to look at."""
        return True

    def confine(self) -> None:
        """Runs in the child before it starts."""

    def repair(self) -> None:
        """Undoes shrink and crash."""

    def forget(self) -> None:
        """Removes the database."""


class File(Place):
    """A SQLite file."""

    def exists(self) -> bool:
        return Path(self.target).exists()

    def forget(self) -> None:
        for ending in ("", "-wal", "-shm"):
            Path(self.target + ending).unlink(missing_ok=True)


@runtime_checkable
class Shrinks(Protocol):
    """A place on a disk that can be filled."""

    def shrink(self, chance: random.Random) -> None:
        """Leaves less room than a run needs."""


class FileUnderLimit(File):
    """A SQLite file whose processes may write no file larger than a limit: a full disk for who is not root."""

    _limit = resource.RLIM_INFINITY

    def confine(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._limit, resource.RLIM_INFINITY))

    def shrink(self, chance: random.Random) -> None:
        self._limit = chance.randrange(4096, 1 << 20)

    def repair(self) -> None:
        self._limit = resource.RLIM_INFINITY


class FileOnTmpfs(File):
    """A SQLite file on a small disk of its own, which a ballast file fills."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self._ballast = Path(target).with_name("ballast")

    def shrink(self, chance: random.Random) -> None:
        fill(self._ballast, chance)

    def repair(self) -> None:
        self._ballast.unlink(missing_ok=True)


class ServerDatabase(Place):
    """A database on a PostgreSQL server that is ours to crash."""

    place: LiteralString = ""

    def __init__(self, server: Any, name: str) -> None:
        super().__init__(urlunsplit(urlsplit(server.url)._replace(path=f"/{name}")))
        self._server, self._name, self._is_down = server, name, False
        self._order("CREATE DATABASE {}" + self.place)

    def crash(self) -> None:
        """Kills the server."""
        self._server.stop(immediate=True)
        self._is_down = True

    def repair(self) -> None:
        if self._is_down:
            self._server.start()
            self._is_down = False

    def forget(self) -> None:
        self._order("DROP DATABASE {} WITH (FORCE)")

    def _order(self, statement: LiteralString) -> None:
        with psycopg.connect(self._server.url, autocommit=True) as admin:
            admin.execute(sql.SQL(statement).format(sql.Identifier(self._name)))


class ServerDatabaseOnTmpfs(ServerDatabase):
    """A database of which the server keeps tables and indexes on a small disk of their own, which a ballast file fills."""

    place = " TABLESPACE torture_disk"

    def __init__(self, server: Any, name: str, disk: Path) -> None:
        super().__init__(server, name)
        self._ballast = disk / "ballast"

    def shrink(self, chance: random.Random) -> None:
        fill(self._ballast, chance)

    def repair(self) -> None:
        self._ballast.unlink(missing_ok=True)


def fill(ballast: Path, chance: random.Random) -> None:
    """Leaves at most 2 MB on the disk that `ballast` lies on."""
    free = shutil.disk_usage(ballast.parent).free
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free - chance.randrange(0, 2 << 20), 0))


def on_sqlite(home: Path) -> Iterator[Place]:
    """New files in a folder."""
    for number in itertools.count(1):
        yield File(str(home / f"{number}.db"))


def on_a_small_disk(home: Path, stack: contextlib.ExitStack) -> Iterator[Place]:
    """New files on a tmpfs of 12 MB where we are root, else under a file-size limit."""
    kind: type[File] = FileOnTmpfs if _mounted(home, _DISK_BYTES, stack) else FileUnderLimit
    for number in itertools.count(1):
        yield kind(str(home / f"{number}.db"))


def on_postgresql(stack: contextlib.ExitStack, *, ours: bool) -> Iterator[Place]:
    """New databases on the server of MARKET_SPINE_TEST_POSTGRES, or (`ours`: only) on one started by the tests' means."""
    given = os.environ.get("MARKET_SPINE_TEST_POSTGRES")
    server: Any = SimpleNamespace(url=given) if given and not ours else _own_server(stack)
    for number in itertools.count(1):
        yield ServerDatabase(server, f"torture_{os.getpid()}_{number}")


def on_a_small_disk_of_postgresql(home: Path, stack: contextlib.ExitStack) -> Iterator[Place]:
    """New databases on a server whose tablespace is a tmpfs. Root only. A server whose own folder is full, its write-ahead log
    included, may stop: that is what fault `server` does to it."""
    home.chmod(0o755)
    disk = home / "disk"
    disk.mkdir()
    if not _mounted(disk, _SERVER_DISK_BYTES, stack):
        raise SystemExit("only root may mount a small disk for a server")
    server = _own_server(stack)
    with psycopg.connect(server.url, autocommit=True) as admin:
        owner = Path(str((admin.execute("SHOW data_directory").fetchone() or [""])[0])).stat()
        space = disk / "space"
        space.mkdir(mode=0o700)
        for folder in (disk, space):
            os.chown(folder, owner.st_uid, owner.st_gid)
        admin.execute(sql.SQL("CREATE TABLESPACE torture_disk LOCATION {}").format(sql.Literal(str(space))))
    for number in itertools.count(1):
        yield ServerDatabaseOnTmpfs(server, f"torture_{os.getpid()}_{number}", disk)


def _mounted(point: Path, size: int, stack: contextlib.ExitStack) -> bool:
    """Whether a tmpfs of `size` bytes could be put there; it goes with the stack."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "torture", str(point)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        return False
    stack.callback(subprocess.run, ["umount", "-l", str(point)], check=False)
    return True


def _own_server(stack: contextlib.ExitStack) -> PostgresServer:
    """A server of our own, started by the tests' means."""
    return stack.enter_context(PostgresServer(required_binaries()))
