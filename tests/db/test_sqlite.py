"""SQLite: a reader sees one state of the database, whatever a writer in another process does meanwhile."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from market_spine.api.connections import Connections
from market_spine.db import connect
from market_spine.errors import DatabaseError, DatabaseLocked

ROWS = 30_000
WRITE = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('UPDATE t SET b = b + 1'); db.commit(); db.close()"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A file at rest, larger than what a connection keeps in memory."""
    path = str(tmp_path / "rest" / "spine.db")
    writer = connect(path)
    writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER)")
    with writer.transaction():
        writer.bulk_insert("t", ("a", "b"), [("x" * 1000, 1)] * ROWS)
    writer.close()
    return path


@pytest.fixture
def unwritable(path: str, tmp_path: Path) -> Iterator[str]:
    """The same file, where its reader may write neither it nor its folder."""
    folder = Path(path).parent
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield path
        folder.chmod(0o755)
        return
    point = tmp_path / "seen"
    point.mkdir()
    if subprocess.run(["mount", "--bind", str(folder), str(point)], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(point)], check=True)
    yield str(point / "spine.db")
    subprocess.run(["umount", "-l", str(point)], check=True)


def write(path: str) -> None:
    subprocess.run([sys.executable, "-c", WRITE, path], check=True)


def test_a_long_read_shows_one_state_though_a_writer_comes_and_checkpoints(path: str) -> None:
    reader = connect(path, read_only=True)
    with reader.snapshot():
        rows = iter(reader.stream("SELECT b FROM t"))
        seen = {next(rows)[0]}
        write(path)
        seen |= {value for (value,) in rows}
    after = reader.execute("SELECT DISTINCT b FROM t").fetchall()
    reader.close()

    assert (seen, after) == ({1}, [(2,)])
    assert write(path) is None
    assert [file.name for file in Path(path).parent.iterdir()] == ["spine.db"], "a reader leaves nothing behind"


def test_a_reader_cannot_write(path: str) -> None:
    reader = connect(path, read_only=True)
    with pytest.raises(DatabaseError, match="is read-only"):
        reader.execute("DELETE FROM t")
    reader.close()


def test_one_who_may_not_write_there_is_told_that_what_he_read_has_changed(path: str, unwritable: str) -> None:
    reader = connect(unwritable, read_only=True)
    assert reader.execute("SELECT DISTINCT b FROM t").fetchall() == [(1,)]
    with pytest.raises(DatabaseLocked, match="was written to while it was read"), reader.snapshot():
        rows = iter(reader.stream("SELECT b FROM t"))
        next(rows)
        if Path(path) == Path(unwritable):
            Path(path).parent.chmod(0o755)
        write(path)
        list(rows)
    with pytest.raises(DatabaseLocked):
        reader.execute("SELECT 1")
    reader.close()


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow: what SQLite meets when it makes the 32 KB of a -shm file on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def read(path: str) -> list[tuple[int]]:
    with contextlib.closing(connect(path, read_only=True)) as reader, reader.snapshot():
        return reader.execute("SELECT b, COUNT(*) FROM t GROUP BY b ORDER BY b").fetchall()


def test_a_full_disk_lets_readers_read(path: str) -> None:
    with full_disk():
        found = [read(path), read(path)]
        with pytest.raises(DatabaseError, match="disk"):
            connect(path)
    assert found == [[(1, ROWS)]] * 2
    write(path)
    assert read(path) == [(2, ROWS)]


def test_a_full_disk_hides_nothing_that_a_killed_writer_had_committed(path: str, tmp_path: Path) -> None:
    writer = sqlite3.connect(path)
    writer.execute("UPDATE t SET b = 7 WHERE id <= 10")
    writer.commit()
    left = str(tmp_path / "left.db")  # as a kill would leave it: without the -shm file that is made anew
    for end in ("", "-wal"):
        shutil.copyfile(path + end, left + end)
    writer.close()
    with full_disk():
        assert [read(left), read(left)] == [[(1, ROWS - 10), (7, 10)]] * 2
    assert read(left) == [(1, ROWS - 10), (7, 10)]


def test_a_reader_beside_a_full_disk_is_told_when_what_it_reads_has_changed(path: str) -> None:
    with full_disk():
        reader = connect(path, read_only=True)
    with pytest.raises(DatabaseLocked, match="was written to while it was read"), reader.snapshot():
        rows = iter(reader.stream("SELECT b FROM t"))
        next(rows)
        write(path)
        list(rows)
    reader.close()


def test_the_api_answers_on_a_full_disk(path: str) -> None:
    connections = Connections(path)
    with full_disk():
        for _ in range(2):
            with connections.reading() as db:
                assert db.execute("SELECT DISTINCT b FROM t").fetchall() == [(1,)]
    connections.close()
