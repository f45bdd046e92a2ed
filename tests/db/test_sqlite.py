"""SQLite: a reader sees one state of the database, whatever a writer in another process does meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
        seen |= {row[0] for row in rows}
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
