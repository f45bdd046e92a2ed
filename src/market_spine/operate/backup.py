"""Back up: a verified copy of the whole database under a dated name, and only then the removal of the oldest ones.

It takes no lock and writes nothing into the database, so a run may be active: the copy is one moment of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from market_spine.core import events
from market_spine.core.store import snapshot_of
from market_spine.db import Database, Tell
from market_spine.db.migrations import schema_version
from market_spine.errors import ConfigurationError, DatabaseError

_SUFFIX = {"sqlite": ".db", "postgresql": ".dump"}
_HEAD_TABLE = "core_event_head"


class Backup(NamedTuple):
    """A backup that was made: its file, what is in it, and the older ones that were removed."""

    path: Path
    size: int
    sha256: str
    schema: int
    events: int
    removed: tuple[str, ...]


def back_up(target: str, folder: Path, now: datetime, keep: int, tell: Tell) -> Backup:
    """Copies one moment of a database into `folder`, verifies the copy, and keeps the newest `keep` of its backups.

    A copy gets its name only when it is complete, verified and on the disk; killed before, it leaves at most a `.part`, which
    the next backup removes. Raises ConfigurationError, DatabaseError.
    """
    with snapshot_of(target) as db:
        schema = schema_version(db)
        if not schema:
            raise ConfigurationError(f"nothing is stored in {db.label} yet", hint="give --db")
        stem, suffix = _stem(db), _SUFFIX[db.engine]
        part = _prepared(folder, stem) / f"{stem}-{now:%Y%m%dT%H%M%SZ}{suffix}.part"
        try:
            db.dump_to(part, tell)
            _check(db, part)
            digest = _on_disk(part)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        head = events.head(db).size if db.has_table(_HEAD_TABLE) else 0
    path = part.replace(part.with_suffix(""))
    return Backup(path, path.stat().st_size, digest, schema, head, _rotate(folder, stem, suffix, keep))


def _stem(db: Database) -> str:
    """The name of the database: of its file, or on its server."""
    name = Path(db.label).stem if db.engine == "sqlite" else db.label.partition("?")[0].rpartition("/")[2]
    return re.sub(r"[^\w.-]", "_", name) or "market_spine"


def _prepared(folder: Path, stem: str) -> Path:
    """The folder, without what a killed backup left behind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in _dated(folder, stem, r"\.(db|dump)\.part(-journal)?"):
            left.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"no backup can be in {folder}: {error.strerror}", hint="name a writable folder") from error
    return folder


def _check(db: Database, part: Path) -> None:
    """Raises DatabaseError where a copied SQLite file is damaged or its log ends elsewhere. A dump was read when it was made."""
    if db.engine != "sqlite":
        return
    with snapshot_of(str(part.absolute())) as copy:
        faults = copy.damage()
        if not faults and db.has_table(_HEAD_TABLE) and events.head(copy) != events.head(db):
            faults = ["its log of events ends elsewhere"]
    if faults:
        raise DatabaseError(f"the copy of {db.label} is not usable: {faults[0]}", hint="spine verify")


def _on_disk(part: Path) -> str:
    """Waits until the file is on the disk; returns its SHA-256."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rotate(folder: Path, stem: str, suffix: str, keep: int) -> tuple[str, ...]:
    """Removes all but the newest `keep` backups of this database; names sort by time."""
    older = _dated(folder, stem, re.escape(suffix))[:-keep]
    for path in older:
        path.unlink(missing_ok=True)
    return tuple(path.name for path in older)


def _dated(folder: Path, stem: str, ending: str) -> list[Path]:
    """The files of this database's backups, oldest first; nothing else in the folder is touched."""
    name = re.compile(rf"{re.escape(stem)}-\d{{8}}T\d{{6}}Z{ending}")
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name))
