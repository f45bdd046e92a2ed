"""Where a database cannot be, or cannot be written: one clear line, exit 2, nothing harmed."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import weekly_files
from support.commands import RunCommand
from torture import promises

from market_spine.db import Database, connect
from market_spine.db.location import file_system, is_network
from market_spine.errors import DatabaseLocked

RUN = "run_finra_weekly_schedule"
WEEK = "2025-12-26"

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 22 0:25 / /proc rw,nosuid - proc proc rw
41 22 0:44 / /mnt/desk rw,relatime shared:1 - nfs4 files.example:/desk rw,vers=4.2
42 22 0:45 / /mnt/with\\040space rw - cifs //files/desk rw
43 41 0:46 / /mnt/desk/local rw - xfs /dev/sdb1 rw
44 22 0:47 / /home/me/remote rw - fuse.sshfs me@host: rw
45 22 0:48 / /tmp rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/lib/spine.db", "ext4", False),
        ("/mnt/desk/spine.db", "nfs4", True),
        ("/mnt/desktop/spine.db", "ext4", False),
        ("/mnt/desk/local/spine.db", "xfs", False),
        ("/mnt/with space/a/spine.db", "cifs", True),
        ("/home/me/remote/spine.db", "fuse.sshfs", True),
        ("/tmp/spine.db", "tmpfs", False),
    ],
)
def test_the_file_system_under_a_path(path: str, kind: str, network: bool) -> None:
    assert file_system(path, MOUNTS) == kind
    assert is_network(kind) is network


def weekly(run_command: RunCommand, target: str, folder: Path, *more: str) -> tuple[int, str]:
    """Exit code and stderr of a run of one week."""
    weekly_files.write_week(folder, WEEK)
    done = run_command(RUN, "--db", target, "--data-dir", folder, "--weeks", WEEK, "--run-date", "2026-01-30", *more)
    return done.exit_code, done.stderr


def is_one_line(stderr: str) -> bool:
    """One last line that says what and what next, and no traceback."""
    last = stderr.strip().splitlines()[-1]
    return "Traceback" not in stderr and last.startswith("Error: ") and ". Try: " in last


on_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
on_sqlite = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)


@contextlib.contextmanager
def mounted(point: Path, *options: str) -> Iterator[Path]:
    point.mkdir()
    if subprocess.run(["mount", *options, str(point)], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


@on_root
def test_a_folder_on_a_network_file_system_is_refused_before_it_is_touched(run_command: RunCommand, tmp_path: Path) -> None:
    fuse = os.open("/dev/fuse", os.O_RDWR) if Path("/dev/fuse").exists() else None
    if fuse is None:
        pytest.skip("no FUSE here")
    os.set_inheritable(fuse, True)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0"
    point = tmp_path / "remote"
    point.mkdir()
    mount = ["mount", "-i", "-t", "fuse.sshfs", "-o", options, "me@host:", str(point)]
    if subprocess.run(mount, pass_fds=[fuse], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:  # nobody answers this file system: whoever touches it hangs
        code, stderr = weekly(run_command, str(point / "spine.db"), tmp_path / "files")
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)
        os.close(fuse)
    assert (code, is_one_line(stderr)) == (2, True)
    assert "is on a network file system (fuse.sshfs)" in stderr


@on_root
def test_a_read_only_disk_is_named(run_command: RunCommand, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=8m", "disk") as disk:
        assert weekly(run_command, str(disk / "spine.db"), tmp_path / "files")[0] == 0
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        code, stderr = weekly(run_command, str(disk / "spine.db"), tmp_path / "files")
        assert (code, is_one_line(stderr)) == (2, True), stderr
        assert "read-only" in stderr
        code, stderr = weekly(run_command, str(disk / "new.db"), tmp_path / "files")
        assert (code, is_one_line(stderr)) == (2, True), stderr
        weekly_files.write_week(tmp_path / "files", "2026-01-02")
        rehearsal = run_command(
            RUN, "--db", disk / "spine.db", "--data-dir", tmp_path / "files", "--weeks", f"{WEEK},2026-01-02", "--mode", "dry-run"
        )
        assert (rehearsal.exit_code, "3 ingests, 3 skips" in rehearsal.stdout) == (0, True), "a dry run only reads"


def test_a_database_for_reading_only_is_named(run_command: RunCommand, target: str, db: Database, tmp_path: Path) -> None:
    if db.engine == "sqlite":
        if os.geteuid() == 0:
            pytest.skip("root may write to any file: see the read-only disk")
        Path(target).chmod(0o444)
        reading = target
    else:
        reading = f"{target}?options=-c%20default_transaction_read_only%3Don"
    code, stderr = weekly(run_command, reading, tmp_path / "files")
    assert (code, is_one_line(stderr)) == (2, True), stderr
    assert "read-only" in stderr


@on_sqlite
def test_a_database_that_another_process_writes_to_for_long(run_command: RunCommand, target: str, tmp_path: Path) -> None:
    writer = connect(target)
    with writer.transaction():
        writer.execute("INSERT INTO core_operator_actions (at, actor, action, target) VALUES ('', '', '', '')")
        code, stderr = weekly(run_command, target, tmp_path / "files")
    assert (code, is_one_line(stderr)) == (2, True), stderr
    assert "has been locked by another process for 10 s" in stderr
    assert weekly(run_command, target, tmp_path / "files")[0] == 0
    writer.close()


@on_sqlite
def test_a_full_disk_harms_nothing_and_the_next_run_completes(run_command: RunCommand, target: str, tmp_path: Path) -> None:
    weekly_files.write_week(tmp_path / "files", WEEK)
    program = [sys.executable, "-m", "market_spine.cli.weekly", "--db", target, "--data-dir", str(tmp_path / "files"), "--weeks", WEEK]
    for limit in (8_192, 65_536, 262_144, 300_000):
        done = subprocess.run(
            [*program, "--run-date", "2026-01-30"], capture_output=True, text=True, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),  # noqa: B023
        )
        assert done.returncode in (0, 1, 2)
        assert done.returncode == 0 or is_one_line(done.stderr), done.stderr
        database = connect(target)
        assert (promises.broken(database), promises.damage(database)) == ([], [])
        database.close()
    assert weekly(run_command, target, tmp_path / "files")[0] == 0


@on_root
@on_sqlite
def test_a_disk_without_a_byte_left(run_command: RunCommand, target: str, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "disk") as disk:
        path = disk / "spine.db"
        assert run_command("spine", "db", "init", "--db", path).exit_code == 0
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        code, stderr = weekly(run_command, str(path), tmp_path / "files")
        assert (code in (1, 2), is_one_line(stderr)) == (True, True), stderr
        assert "no space left" in stderr or "the disk under" in stderr, stderr
        ballast.unlink()
        assert weekly(run_command, str(path), tmp_path / "files")[0] == 0


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_table_that_another_session_keeps_locked_is_no_lost_connection(db: Database) -> None:
    other = db.reopen()
    with db.transaction():
        db.execute("LOCK TABLE core_operator_actions IN ACCESS EXCLUSIVE MODE")
        other.execute("SET lock_timeout = '300ms'")
        with pytest.raises(DatabaseLocked, match="has been locked by another session"):
            other.execute("SELECT * FROM core_operator_actions")
    other.close()


@pytest.mark.parametrize("device", ["null", "full", "zero"])
def test_a_device_is_neither_a_database_nor_a_metrics_file(run_command: RunCommand, tmp_path: Path, device: str) -> None:
    """Links to devices: were they followed, or renamed over, root would lose the device itself."""
    link = tmp_path / device
    link.symlink_to(f"/dev/{device}")
    made = run_command("spine", "db", "init", "--db", link)
    assert (made.exit_code, is_one_line(made.stderr)) == (2, True), made.stderr
    assert run_command("spine", "db", "init", "--db", tmp_path / "spine.db").exit_code == 0
    written = run_command("spine", "metrics", "--db", tmp_path / "spine.db", "--metrics-textfile", link)
    assert (written.exit_code, is_one_line(written.stderr)) == (2, True), written.stderr
    assert f"{link} is not a file" in written.stderr
    assert link.is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {device, "spine.db"}
