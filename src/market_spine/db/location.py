"""Where a SQLite database may be: a writable file on a local disk. An unsuitable path is refused before anything is opened."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from functools import lru_cache
from pathlib import Path

from market_spine.errors import ConfigurationError

# File systems that other machines write to: SQLite's WAL needs memory shared by all who have the file open, which one
# machine cannot give another (sqlite.org/wal.html), so such a database would be corrupted sooner or later.
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb3|smbfs|afs|afpfs|ncpfs|webdav|davfs2?|sshfs|s3fs|gcsfuse|glusterfs|lustre|ceph|beegfs|gpfs|rclone|osxfuse"
)
PRIVATE = 0o600
_MOUNTS = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\(\d{3})")


def check_location(path: str, *, read_only: bool, create: bool) -> None:
    """Raises ConfigurationError when `path` cannot be a database; creates its folder if it may."""
    if path == ":memory:":
        return
    _check_network(path)
    file = Path(path)
    try:
        if file.is_dir() or path.endswith("/"):
            raise ConfigurationError(
                f"the database {path} is a folder", hint=f"name a file: --db {path.rstrip('/')}/market_spine.db"
            )
        if file.exists() and not file.is_file():  # SQLite would make its journal beside a device
            raise ConfigurationError(f"the database {path} is not a file", hint="name a file with --db")
        if not file.exists():
            if read_only or not create:
                hint = "run_finra_weekly_schedule"
                raise ConfigurationError(f"nothing is stored in {path} yet", hint=hint)
            file.parent.mkdir(parents=True, exist_ok=True)
            make_private(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"no database can be at {path}: {reason}", hint="choose a writable --db") from error


def make_private(file: Path) -> None:
    """Creates an empty file for its owner alone; SQLite would create one for everybody. Its -wal and -shm get the same mode."""
    with contextlib.suppress(FileExistsError):  # another process created it first
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))


def readable_by_others(path: str) -> str | None:
    """What is wrong with a file's mode; None where only its owner may read it, and on Windows, which has no modes."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)  # noqa: PTH116 - the name may not be a path
    except (OSError, ValueError):
        return None
    if os.name == "nt" or not mode & 0o077:
        return None
    who = "everybody on this machine" if mode & 0o007 else "its group"
    return f"{path} is open to {who} (mode {mode:04o})"


def _check_network(path: str) -> None:
    """Runs before the file is opened, since a dead network mount would hang."""
    if not _MOUNTS.exists():
        return
    mounts = _MOUNTS.read_text("utf-8", "surrogateescape")
    kind = file_system(str(Path(path).absolute()), mounts)
    if not is_network(kind):
        kind = file_system(str(Path(path).resolve()), mounts)
    if is_network(kind):
        raise ConfigurationError(
            f"{path} is on a network file system ({kind}), where SQLite's locks cannot be trusted",
            hint="choose a --db on a local disk, or PostgreSQL for several machines",
        )


@lru_cache(maxsize=4)
def file_system(path: str, mountinfo: str) -> str:
    """The file system type of an absolute `path`, by the text of /proc/self/mountinfo (proc(5)); '' when unknown."""
    best, kind = "", ""
    for line in mountinfo.splitlines():
        mount, _, rest = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5 or not rest:
            continue
        point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4])
        inside = point == "/" or path == point or path.startswith(point + "/")
        if inside and len(point) >= len(best):
            best, kind = point, rest.split(" ")[0]
    return kind


def is_network(kind: str) -> bool:
    """Whether a file system type, such as `nfs4` or `fuse.sshfs`, is shared with other machines."""
    return _NETWORK.fullmatch(kind.removeprefix("fuse.")) is not None
