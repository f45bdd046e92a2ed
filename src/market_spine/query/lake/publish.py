"""Publishing a lake: new files first, the manifest last. What the old manifest lists stays, so its readers are not disturbed.

`_manifest.json` names the tables by path, SHA-256 and size; the table `files` names every other file in the same way. Nothing is
written over but the manifest and lake.sql, whose text does not depend on the files. A file that is no longer listed is removed
by an export a week later, as is what a killed export left behind.
"""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from market_spine.db import Database, Tell, silent
from market_spine.errors import UsageError
from market_spine.query import parquet
from market_spine.query.export import STATE_FILE, in_path
from market_spine.query.lake import files, tables, years
from market_spine.query.lake.files import LAKE_VIEWS, Content, Entry, Wanted
from market_spine.query.lake.script import MANIFEST, literal_script, script
from market_spine.query.lake.storage import Folder, Storage, open_storage
from market_spine.query.lake.years import Part, Step

LAYOUT = 2  # raised when the columns or types of a file change: then all are written again
SCRIPT = "lake.sql"
DATABASE = "lake.duckdb"
KEPT = timedelta(days=7)
# In a process of its own: DuckDB complains on stderr when the process that has loaded it exits as our commands do.
_MAKE = "import sys, duckdb; duckdb.connect(sys.argv[1]).execute(sys.stdin.read()).close()"


_Row = TypeVar("_Row", Entry, Part)


class Exported(NamedTuple):
    """What an export did: the files it wrote, how many it kept, those no longer listed, and those it removed."""

    written: tuple[str, ...]
    kept: int
    retired: tuple[str, ...]
    removed: tuple[str, ...]
    pruned: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it is stored: the files by folder and name, what was compacted by the folder of its year, and since when
    others are no longer listed."""

    raw: bytes | None
    entries: Mapping[str, Entry]
    compacted: Mapping[str, Sequence[Part]]
    tables: Mapping[str, Any]
    retired: Mapping[str, str]

    @property
    def published(self) -> set[str]:
        """Every file that the manifest lists."""
        compacted = {part.path for parts in self.compacted.values() for part in parts}
        return {entry.path for entry in self.entries.values()} | compacted | {table["path"] for table in self.tables.values()}


def export_history(
    db: Database, target: str, *, seen_at: str, compact: Collection[int] = (), database: bool = False, tell: Tell = silent
) -> Exported:
    """Brings the lake at `target` up to the snapshot that was opened at `seen_at`; the files of the years `compact` become one
    for each view and tier. With `database` a folder also gets a DuckDB file, where DuckDB is installed. `tell` counts files.

    Raises ConfigurationError where the target cannot be written or a package is missing, UsageError where it holds something
    else, nothing is stored of such a year, or another export was published meanwhile.
    """
    parquet.check_installed()
    storage = open_storage(target)
    sizes = storage.sizes()
    old = _read_manifest(storage, sizes)
    writer = _Writer(storage, sizes, old.published)
    wanted = list(files.wanted(db))
    compacted = _write_years(db, writer, old, _by_year(wanted, compact), compact)
    joined = {part.part for part in compacted}
    entries = _write_files(db, writer, old, [file for file in wanted if file.key not in joined], tell)
    listed = {table.name: writer.put_table(table.name, table.columns, table.rows) for table in tables.read_tables(db)}
    listed["files"] = writer.put_table("files", tables.COLUMNS["files"], entries)
    listed["compacted"] = writer.put_table("compacted", tables.COLUMNS["compacted"], compacted)
    _write_fixed(writer, entries, compacted)
    data = {entry.path for entry in entries} | {part.path for part in compacted}
    live = data | {str(table["path"]) for table in listed.values()}
    retired = _retired(old, sizes, live, seen_at)
    expired = {path for path, since in retired.items() if _is_over(since, seen_at)}
    document = {
        "layout": LAYOUT, "seen_at": seen_at, "tables": listed,
        "retired": _by_moment({path: since for path, since in retired.items() if path not in expired}),
    }
    if database and (listed != old.tables or DATABASE not in sizes):
        _write_database(storage, entries, compacted, listed)
    _publish(storage, old, document)
    for path in sorted(expired):
        storage.remove(path)
    newly = tuple(sorted(path for path, since in retired.items() if since == seen_at))
    return Exported(tuple(writer.written), len(data.difference(writer.written)), newly, tuple(sorted(expired)), _count_pruned(db))


class _Writer:
    """Puts the files that the storage, whose files have these sizes, does not hold yet. What an export left that was interrupted
    before it was published, perhaps with the machine, is put again."""

    def __init__(self, storage: Storage, sizes: Mapping[str, int], published: set[str]) -> None:
        self._storage, self._present = storage, sizes
        self._sizes = {path: sizes[path] for path in published & sizes.keys()}
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

    def holds(self, entry: Entry | Part) -> bool:
        return self._sizes.get(entry.path) == entry.bytes

    def read(self, entry: Entry) -> bytes | None:
        """What a file holds; None where that is not what was put."""
        data = self._storage.read(entry.path)
        return data if data is not None and hashlib.sha256(data).hexdigest() == entry.sha256 else None

    def put_empty(self, path: str, columns: tuple[str, ...], but: Sequence[str] = ()) -> None:
        """A file without rows."""
        data = files.as_parquet(columns, (), but).data
        if self._present.get(path) != len(data):
            self._storage.put(path, data)

    def put_fixed(self, path: str, data: bytes) -> None:
        if self._storage.read(path) != data:
            self._storage.put(path, data)

    @property
    def root(self) -> str:
        return self._storage.root


def _by_year(wanted: Sequence[Wanted], asked: Collection[int]) -> dict[str, list[Wanted]]:
    """The files by the folder of their year. Raises UsageError for a year without any."""
    groups = years.by_year(wanted)
    missing = set(asked) - {years.year_of(folder) for folder in groups}
    if missing:
        raise UsageError(f"nothing is stored of {min(missing)}", hint="spine captures")
    return groups


def _write_years(
    db: Database, writer: _Writer, old: Manifest, groups: Mapping[str, Sequence[Wanted]], asked: Collection[int]
) -> list[Part]:
    listed: list[Part] = []
    for folder, group in groups.items():
        before = old.compacted.get(folder, ())
        step = years.decide(
            {file.key: file.mark for file in group},
            {part.part: part.mark if writer.holds(part) else "" for part in before},
            is_asked=years.year_of(folder) in asked,
        )
        if step is Step.KEEP:
            listed += before
        elif step is Step.COMPACT:
            made = years.compact(group, (_content(db, writer, old, file) for file in group))
            path = f"{folder}/{made.sha256[:16]}.parquet"
            writer.put(path, made)
            whole = (made.sha256, len(made.data), made.rows)
            listed += [Part(path, file.view.name, file.key, file.mark, *whole) for file in group]
    return listed


def _content(db: Database, writer: _Writer, old: Manifest, file: Wanted) -> bytes:
    """What is or would be in a file; reading it takes a tenth of the time of making it."""
    data = writer.read(old.entries[file.key]) if _is_kept(file, old, writer) else None
    return data if data is not None else files.content(db, file).data


def _write_files(db: Database, writer: _Writer, old: Manifest, wanted: Sequence[Wanted], tell: Tell) -> list[Entry]:
    missing = [file for file in wanted if not _is_kept(file, old, writer)]
    made: dict[str, Entry] = {}
    for number, file in enumerate(missing, 1):
        content = files.content(db, file)
        path = files.path_of(file, content)
        writer.put(path, content)
        made[file.key] = Entry(path, file.view.name, file.name, file.mark, content.sha256, len(content.data), content.rows)
        tell(number, len(missing))
    return [made.get(file.key) or old.entries[file.key] for file in wanted]


def _is_kept(file: Wanted, old: Manifest, writer: _Writer) -> bool:
    """Whether the lake has it, of the same rows and in full."""
    entry = old.entries.get(file.key)
    return entry is not None and entry.mark == file.mark and writer.holds(entry)


def _write_fixed(writer: _Writer, entries: Iterable[Entry], compacted: Iterable[Part]) -> None:
    """The script, and a file without rows for each view that has no other."""
    filled, filled_years = {entry.view for entry in entries}, {part.view for part in compacted}
    for name, view in LAKE_VIEWS.items():
        if name not in filled:
            writer.put_empty(files.empty_path(view), view.columns, in_path(view))
        if name not in filled_years:
            writer.put_empty(files.empty_year(view), view.columns)
    writer.put_fixed(SCRIPT, script(writer.root).encode())


def _write_database(
    storage: Storage, entries: Iterable[Entry], compacted: Iterable[Part], listed: Mapping[str, Mapping[str, object]]
) -> None:
    """A DuckDB file with the same views over the same files, for tools that open one; of a folder, where DuckDB is installed."""
    if not isinstance(storage, Folder) or not find_spec("duckdb"):
        return
    paths = {name: [str(table["path"])] for name, table in listed.items()}
    for name, view in LAKE_VIEWS.items():
        paths[name] = [entry.path for entry in entries if entry.view == name] or [files.empty_path(view)]
        paths[f"{name}_years"] = sorted({part.path for part in compacted if part.view == name}) or [files.empty_year(view)]
    with storage.replacing(DATABASE) as beside:
        statements = literal_script(storage.root, paths)
        subprocess.run([sys.executable, "-c", _MAKE, str(beside)], input=statements, text=True, check=True, capture_output=True)


def _retired(old: Manifest, sizes: Mapping[str, int], live: set[str], seen_at: str) -> dict[str, str]:
    """Since when each file in the storage is not listed; only what is named as this program names it."""
    folders = (f"{name}/" for name in (*LAKE_VIEWS, "tables"))
    ours = (*folders, *(f".{name}." for name in (MANIFEST, SCRIPT, DATABASE)))
    return {path: old.retired.get(path, seen_at) for path in sizes if path not in live and path.startswith(ours)}


def _by_moment(retired: Mapping[str, str]) -> dict[str, list[str]]:
    """The paths by when they were retired: an object with thousands of keys takes DuckDB a second to read."""
    moments = sorted((since, path) for path, since in retired.items())
    return {since: [path for _, path in paths] for since, paths in groupby(moments, key=itemgetter(0))}


def _is_over(since: str, seen_at: str) -> bool:
    return datetime.fromisoformat(since) + KEPT <= datetime.fromisoformat(seen_at)


def _publish(storage: Storage, old: Manifest, document: Mapping[str, object]) -> None:
    if storage.read(MANIFEST) != old.raw:
        raise UsageError(
            f"another export to {storage.root} was published meanwhile",
            hint=f"spine export --history --to {shlex.quote(storage.root)}",
        )
    storage.publish(MANIFEST, json.dumps(document, indent=1).encode())


def _read_manifest(storage: Storage, sizes: Mapping[str, int]) -> Manifest:
    """What the last export published; of an older layout only which files there are."""
    if STATE_FILE in sizes:
        hint = "export the history into a folder of its own"
        raise UsageError(f"{storage.root} holds an export of one view", hint=hint)
    raw = storage.read(MANIFEST)
    if raw is None:
        return Manifest(None, {}, {}, {}, {})
    try:
        document = json.loads(raw)
        layout, listed, moments = int(document["layout"]), dict(document["tables"]), dict(document["retired"])
        if layout > LAYOUT:
            raise UsageError(f"{storage.root} was written by a newer version of the program", hint="export into another folder")
        if layout < LAYOUT:
            return Manifest(raw, {}, {}, listed, {})
        entries = _read_rows(storage, listed["files"]["path"], Entry)
        compacted = _read_rows(storage, listed["compacted"]["path"], Part)
        retired = {path: since for since, paths in moments.items() for path in paths}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{storage.root}/{MANIFEST} cannot be read", hint="export into another folder") from error
    of_years = groupby(compacted, key=lambda part: part.path.rpartition("/")[0])
    return Manifest(raw, {entry.key: entry for entry in entries}, {folder: list(p) for folder, p in of_years}, listed, retired)


def _read_rows(storage: Storage, path: str, row: type[_Row]) -> list[_Row]:
    """A table; nothing where it is gone, so that all files are looked at again."""
    from pyarrow import parquet as reader

    data = storage.read(path)
    if data is None:
        return []
    return [row(**values) for values in reader.read_table(io.BytesIO(data)).to_pylist()]


def _count_pruned(db: Database) -> int:
    (count,) = db.execute("SELECT COUNT(*) FROM core_tombstones").fetchone()
    return int(count)
