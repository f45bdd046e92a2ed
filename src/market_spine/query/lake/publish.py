"""Publishing a lake: new files first, the manifest last. What the old manifest lists stays, so its readers are not disturbed.

`_manifest.json` names the tables by path, SHA-256 and size; the table `files` names every other file in the same way. Nothing is
written over but the manifest and lake.sql, whose text does not depend on the files. A file that is no longer listed is removed
by an export a week later, as is what a killed export left behind.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any, NamedTuple

from market_spine.db import Database, Tell, silent
from market_spine.errors import UsageError
from market_spine.query import parquet
from market_spine.query.export import STATE_FILE, in_path
from market_spine.query.lake import files, tables
from market_spine.query.lake.files import LAKE_VIEWS, Content, Entry, Wanted
from market_spine.query.lake.script import MANIFEST, literal_script, script
from market_spine.query.lake.storage import Folder, Storage, open_storage

LAYOUT = 1  # raised when the columns or types of a file change: then all are written again
SCRIPT = "lake.sql"
DATABASE = "lake.duckdb"
KEPT = timedelta(days=7)
# In a process of its own: DuckDB complains on stderr when the process that has loaded it exits as our commands do.
_MAKE = "import sys, duckdb; duckdb.connect(sys.argv[1]).execute(sys.stdin.read()).close()"


class Exported(NamedTuple):
    """What an export did: the files it wrote, how many it kept, those no longer listed, and those it removed."""

    written: tuple[str, ...]
    kept: int
    retired: tuple[str, ...]
    removed: tuple[str, ...]
    pruned: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it is stored: the files by view, folder and name, and since when others are no longer listed."""

    raw: bytes | None
    entries: Mapping[tuple[str, str, str], Entry]
    tables: Mapping[str, Any]
    retired: Mapping[str, str]

    @property
    def published(self) -> set[str]:
        """Every file that the manifest lists."""
        return {entry.path for entry in self.entries.values()} | {table["path"] for table in self.tables.values()}


def export_history(db: Database, target: str, *, seen_at: str, database: bool = False, tell: Tell = silent) -> Exported:
    """Brings the lake at `target` up to the snapshot that was opened at `seen_at`. With `database` a folder also gets a DuckDB
    file, where DuckDB is installed. `tell` counts files.

    Raises ConfigurationError where the target cannot be written or a package is missing, UsageError where it holds something else
    or another export was published meanwhile.
    """
    parquet.check_installed()
    storage = open_storage(target)
    sizes = storage.sizes()
    old = _read_manifest(storage, sizes)
    writer = _Writer(storage, {path: sizes[path] for path in old.published & sizes.keys()})
    entries = _write_files(db, writer, old, tell)
    listed = {table.name: writer.put_table(table.name, table.columns, table.rows) for table in tables.read_tables(db)}
    listed["files"] = writer.put_table("files", tables.COLUMNS["files"], entries)
    _write_fixed(writer, entries)
    live = {entry.path for entry in entries} | {str(table["path"]) for table in listed.values()}
    retired = _retired(old, sizes, live, seen_at)
    expired = {path for path, since in retired.items() if _is_over(since, seen_at)}
    document = {
        "layout": LAYOUT, "seen_at": seen_at, "tables": listed,
        "retired": {path: since for path, since in sorted(retired.items()) if path not in expired},
    }
    if database and (listed != old.tables or DATABASE not in sizes):
        _write_database(storage, entries, listed)
    _publish(storage, old, document)
    for path in sorted(expired):
        storage.remove(path)
    newly = tuple(sorted(path for path, since in retired.items() if since == seen_at))
    kept = len({entry.path for entry in entries}.difference(writer.written))
    return Exported(tuple(writer.written), kept, newly, tuple(sorted(expired)), _count_pruned(db))


class _Writer:
    """Puts the files that the storage does not hold yet; `sizes` are those of published files. What
    an export left that was interrupted, perhaps with the machine, is put again."""

    def __init__(self, storage: Storage, sizes: Mapping[str, int]) -> None:
        self._storage, self._sizes = storage, sizes
        self.written: list[str] = []

    def put(self, path: str, made: Content) -> None:
        """A path with a digest in it that exists in full holds these bytes."""
        if self._sizes.get(path) != len(made.data):
            self._storage.put(path, made.data)
            self.written.append(path)

    def put_table(self, name: str, columns: tuple[str, ...], rows: Iterable[Any]) -> dict[str, object]:
        made = files.as_parquet(columns, rows)
        path = f"tables/{name}-{made.sha256[:16]}.parquet"
        self.put(path, made)
        return {"path": path, "sha256": made.sha256, "bytes": len(made.data), "rows": made.rows}

    def holds(self, entry: Entry) -> bool:
        return self._sizes.get(entry.path) == entry.bytes

    def put_fixed(self, path: str, data: bytes) -> None:
        if self._storage.read(path) != data:
            self._storage.put(path, data)

    @property
    def root(self) -> str:
        return self._storage.root


def _write_files(db: Database, writer: _Writer, old: Manifest, tell: Tell) -> list[Entry]:
    wanted = list(files.wanted(db))
    missing = [file for file in wanted if not _is_kept(file, old, writer)]
    made: dict[tuple[str, str, str], Entry] = {}
    for number, file in enumerate(missing, 1):
        content = files.content(db, file)
        path = files.path_of(file, content)
        writer.put(path, content)
        made[_key(file)] = Entry(path, file.view.name, file.name, file.mark, content.sha256, len(content.data), content.rows)
        tell(number, len(missing))
    return [made.get(_key(file)) or old.entries[_key(file)] for file in wanted]


def _key(file: Wanted) -> tuple[str, str, str]:
    return file.view.name, file.folder, file.name


def _is_kept(file: Wanted, old: Manifest, writer: _Writer) -> bool:
    """Whether the lake has it, of the same rows and in full."""
    entry = old.entries.get(_key(file))
    return entry is not None and entry.mark == file.mark and writer.holds(entry)


def _write_fixed(writer: _Writer, entries: Iterable[Entry]) -> None:
    """The script, and a file without rows for each view that has no other."""
    filled = {entry.view for entry in entries}
    for name, view in LAKE_VIEWS.items():
        if name not in filled:
            writer.put_fixed(files.empty_path(view), files.as_parquet(view.columns, (), in_path(view)).data)
    writer.put_fixed(SCRIPT, script(writer.root).encode())


def _write_database(storage: Storage, entries: Iterable[Entry], listed: Mapping[str, Mapping[str, object]]) -> None:
    """A DuckDB file with the same views over the same files, for tools that open one; of a folder, where DuckDB is installed."""
    if not isinstance(storage, Folder) or not find_spec("duckdb"):
        return
    paths = {name: [str(table["path"])] for name, table in listed.items()}
    for name, view in LAKE_VIEWS.items():
        paths[name] = [entry.path for entry in entries if entry.view == name] or [files.empty_path(view)]
    with storage.replacing(DATABASE) as beside:
        statements = literal_script(storage.root, paths)
        subprocess.run([sys.executable, "-c", _MAKE, str(beside)], input=statements, text=True, check=True, capture_output=True)


def _retired(old: Manifest, sizes: Mapping[str, int], live: set[str], seen_at: str) -> dict[str, str]:
    """Since when each file in the storage is not listed; only what is named as this program names it."""
    folders = (f"{name}/" for name in (*LAKE_VIEWS, "tables"))
    ours = (*folders, *(f".{name}." for name in (MANIFEST, SCRIPT, DATABASE)))
    return {path: old.retired.get(path, seen_at) for path in sizes if path not in live and path.startswith(ours)}


def _is_over(since: str, seen_at: str) -> bool:
    return datetime.fromisoformat(since) + KEPT <= datetime.fromisoformat(seen_at)


def _publish(storage: Storage, old: Manifest, document: Mapping[str, object]) -> None:
    if storage.read(MANIFEST) != old.raw:
        raise UsageError(
            f"another export to {storage.root} was published meanwhile", hint=f"spine export --history --to {storage.root}"
        )
    storage.publish(MANIFEST, json.dumps(document, indent=1).encode())


def _read_manifest(storage: Storage, sizes: Mapping[str, int]) -> Manifest:
    """What the last export published; of an older layout only which files there are."""
    if STATE_FILE in sizes:
        hint = "export the history into a folder of its own"
        raise UsageError(f"{storage.root} holds an export of one view", hint=hint)
    raw = storage.read(MANIFEST)
    if raw is None:
        return Manifest(None, {}, {}, {})
    try:
        document = json.loads(raw)
        layout, listed, retired = int(document["layout"]), dict(document["tables"]), dict(document["retired"])
        entries = _read_entries(storage, listed["files"]["path"]) if layout == LAYOUT else []
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{storage.root}/{MANIFEST} cannot be read", hint="export into another folder") from error
    if layout > LAYOUT:
        raise UsageError(f"{storage.root} was written by a newer version of the program", hint="export into another folder")
    return Manifest(raw, {(entry.view, entry.path.rpartition("/")[0], entry.name): entry for entry in entries}, listed, retired)


def _read_entries(storage: Storage, path: str) -> list[Entry]:
    """The table `files`; nothing where it is gone, so that all files are looked at again."""
    from pyarrow import parquet as reader

    data = storage.read(path)
    if data is None:
        return []
    return [Entry(**row) for row in reader.read_table(io.BytesIO(data)).to_pylist()]


def _count_pruned(db: Database) -> int:
    (count,) = db.execute("SELECT COUNT(*) FROM core_tombstones").fetchone()
    return int(count)
