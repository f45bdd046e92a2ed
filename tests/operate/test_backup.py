"""A backup is one moment of the database, verified before it has its name; only then do older ones go."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from stand_ins.postgres_server import Databases, find_binaries
from support import database_picture as picture
from support import pages
from support.commands import RunCommand
from support.desk import FRIDAYS, OTC, REVISED, WEEK, Desk, restated

from market_spine import clock
from market_spine.db import Database, connect
from market_spine.errors import ConfigurationError, DatabaseError
from market_spine.operate.backup import _check, back_up

NOW = clock.moment_of(FRIDAYS[1])


def nothing(done: int, total: int) -> None:
    """Takes no notice."""


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return restated(tmp_path / "files", db)


@pytest.fixture
def restored(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where a backup is restored to."""
    if engine == "sqlite":
        yield str(request.getfixturevalue("tmp_path") / "restored.db")
        return
    databases: Databases = request.getfixturevalue("_databases")
    url = databases.create()
    yield url
    databases.drop(url)


def restore(backup: Path, into: str) -> None:
    """As the page on backups has it typed, in the language of the engine."""
    (line,) = [
        line for block in pages.page("docs/ops/backup.md").of("sh") for line in block.text.splitlines()
        if line.startswith("cp " if backup.suffix == ".db" else "pg_restore ")
    ]
    if backup.suffix == ".db":
        command = shlex.split(line)
        assert command[:1] == ["cp"]
        subprocess.run(["cp", backup, into], check=True)
        return
    binaries = find_binaries()
    assert binaries is not None
    command = [binaries / "pg_restore", *shlex.split(line)[1:-2], f"--dbname={into}", backup]
    subprocess.run(command, check=True, capture_output=True)


def test_a_restored_backup_is_the_database(desk: Desk, target: str, restored: str, tmp_path: Path) -> None:
    made = back_up(target, tmp_path / "backups", NOW, 14, nothing)
    (size,) = desk.db.execute("SELECT size FROM core_event_head").fetchone()
    assert (made.path.stat().st_size, made.events, made.removed) == (made.size, size, ())
    assert made.path.name.endswith("-20260116T120000Z" + made.path.suffix)
    restore(made.path, restored)
    with contextlib.closing(connect(restored, create=False)) as copy:
        assert picture.views(copy) == picture.views(desk.db)
        assert picture.core(copy) == picture.core(desk.db)
        Desk(desk.folder, copy).run(FRIDAYS[2])  # it can go on


def test_what_is_being_written_is_not_in_it(desk: Desk, target: str, restored: str, tmp_path: Path) -> None:
    before = picture.views(desk.db)
    with contextlib.closing(desk.db.reopen()) as other, contextlib.suppress(ZeroDivisionError), other.transaction():
        other.execute("DELETE FROM core_data_readiness")
        made = back_up(target, tmp_path / "backups", NOW, 14, nothing)
        raise ZeroDivisionError
    restore(made.path, restored)
    with contextlib.closing(connect(restored, create=False)) as copy:
        assert picture.views(copy) == before
        assert copy.execute("SELECT COUNT(*) FROM core_data_readiness").fetchone()[0] > 0


def test_the_oldest_go_and_nothing_else(desk: Desk, target: str, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "notes-20200101T000000Z.db").write_text("of somebody else")
    (folder / "market_spine.db").write_text("no backup")
    made = [back_up(target, folder, NOW + timedelta(days=day), 2, nothing) for day in range(4)]
    assert [len(each.removed) for each in made] == [0, 0, 1, 1]
    kept = {each.path.name for each in made[2:]}
    assert {path.name for path in folder.iterdir()} == kept | {"notes-20200101T000000Z.db", "market_spine.db"}


def test_what_a_killed_backup_left_is_removed(desk: Desk, target: str, tmp_path: Path) -> None:
    first = back_up(target, tmp_path / "backups", NOW, 14, nothing)
    left = first.path.with_name(first.path.name + ".part")
    left.write_bytes(b"half")
    later = back_up(target, tmp_path / "backups", NOW + timedelta(days=1), 14, nothing)
    assert sorted(path.name for path in later.path.parent.iterdir()) == sorted([first.path.name, later.path.name])


def test_a_backup_that_fails_leaves_the_others_alone(
    desk: Desk, target: str, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = back_up(target, tmp_path / "backups", NOW, 1, nothing)

    def full(done: int, total: int) -> None:
        raise OSError("no space left")

    if engine == "postgresql":
        monkeypatch.setenv("PATH", str(tmp_path))  # without pg_dump
    with pytest.raises((OSError, ConfigurationError), match=r"no space left|pg_dump is not installed"):
        back_up(target, tmp_path / "backups", NOW + timedelta(days=1), 1, full)
    assert list(first.path.parent.iterdir()) == [first.path]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_damaged_copy_and_one_of_another_moment_are_refused(desk: Desk, target: str, tmp_path: Path) -> None:
    made = back_up(target, tmp_path / "backups", NOW, 14, nothing)
    desk.publish(WEEK, OTC, REVISED[:3])
    desk.run(FRIDAYS[2])
    with pytest.raises(DatabaseError, match="its log of events ends elsewhere"):
        _check(desk.db, made.path)
    content = bytearray(made.path.read_bytes())
    content[8192 * 3 : 8192 * 9] = b"x" * 8192 * 6
    made.path.write_bytes(content)
    with pytest.raises(DatabaseError, match="is not usable"):
        _check(desk.db, made.path)


def test_the_command_says_where_it_is_and_that_it_is_good(desk: Desk, target: str, tmp_path: Path, run_command: RunCommand) -> None:
    made = run_command("spine", "db", "backup", tmp_path / "here", "--db", target)
    assert made.exit_code == 0, made.stderr
    assert made.stdout.endswith(" events, verified\n")
    document = json.loads(run_command("spine", "db", "backup", "there", "--json", "--db", target).stdout)
    assert (document["schema_version"], len(document["sha256"]), document["removed"]) == (1, 64, [])
    secret = urlsplit(target).password
    assert not secret or secret not in made.stdout + made.stderr


def test_a_database_without_anything_has_no_backup(new_target: str, tmp_path: Path, run_command: RunCommand) -> None:
    refused = run_command("spine", "db", "backup", "--db", new_target)
    assert (refused.exit_code, refused.stderr.count("\n"), "nothing is stored in" in refused.stderr) == (2, 1, True)
    assert list(tmp_path.glob("*.part")) == []
