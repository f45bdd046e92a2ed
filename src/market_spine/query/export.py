"""Export: a view as one hive-partitioned dataset of files, `week_ending=…/tier=…/data.parquet` (of a week: no tier folder).

A file is written under a temporary name and renamed, so a reader sees the old one or the new one. `_market_spine.json` at the
root records which capture each file is of: only files of another capture, or missing or truncated ones, are written again, and
those of partitions without a current capture are removed. The partition columns are in the path, not in the files.

The view VERSIONS is exported with a row for every version of a row that any capture has shown, whatever is current now.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import compress, groupby
from pathlib import Path
from typing import Any

from market_spine.db import Database, Tell, silent
from market_spine.errors import ConfigurationError, UsageError
from market_spine.partition import TIERS
from market_spine.query import parquet
from market_spine.query.answer import readable
from market_spine.query.as_of import Known, Spell, current_captures, current_weeks, end_of, spells
from market_spine.query.views import VERSIONS, View
from market_spine.query.vintages import read_vintages
from market_spine.query.windows import Window, read, select

PARQUET, CSV = "parquet", "csv"
STATE_FILE = "_market_spine.json"
_ABANDONED_SECONDS = 3600
_LAYOUT = 2  # raised when the files' columns or types change: then all are written again


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the dataset: its folder below the root, its capture (or week-level result), and a mark of its content. `spells`
    is empty unless it holds versions, `windows` unless it holds those."""

    folder: str
    capture_id: str
    mark: str
    spells: tuple[Spell, ...] = ()
    windows: tuple[Window, ...] = ()

    @property
    def pruned(self) -> set[Known]:
        """The captures whose versions it lacks."""
        return {spell.capture for spell in self.spells if spell.capture and spell.capture.pruned_at}


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did, as folders below the root; and how many pruned captures' versions are not in it."""

    written: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]
    pruned: int = 0


def export(
    db: Database, view: View, root: Path, form: str, as_of: date | None = None, *, seen_at: str | None = None, tell: Tell = silent
) -> Exported:
    """Brings the dataset at `root` up to the captures current at `seen_at`, when the open snapshot was taken.

    `tell` counts files. Raises UsageError when the folder holds another view or format, ConfigurationError when it cannot be
    written or pyarrow is not installed.
    """
    if form == PARQUET:
        parquet.check_installed()
    recorded = _read_state(root, view, form)
    parts = list(_parts(db, view, as_of))
    try:
        root.mkdir(parents=True, exist_ok=True)
        done = {part.folder: recorded[part.folder] for part in parts if _is_kept(root, form, part, recorded)}
        written = [part for part in parts if part.folder not in done]
        for number, part in enumerate(written, 1):
            done[part.folder] = _write(db, view, root, form, part)
            tell(number, len(written))
        gone = sorted((recorded.keys() | _present(root, form)) - done.keys())
        for folder in gone:
            _remove(root, form, folder)
        _write_state(root, view, form, done, seen_at)
        _clear_up(root)
    except OSError as error:
        raise ConfigurationError(f"cannot write to {root}: {error.strerror}", hint="choose a writable --to") from error
    kept, pruned = (p.folder for p in parts if p not in written), sum(len(part.pruned) for part in parts)
    return Exported(tuple(p.folder for p in written), tuple(kept), tuple(gone), pruned)


def _parts(db: Database, view: View, as_of: date | None) -> Iterator[Part]:
    """The files that the dataset should have, by week and tier."""
    if view is VERSIONS:
        yield from _parts_of_versions(db)
        return
    before = None if as_of is None else end_of(as_of)
    if view.of_window:
        yield from _parts_of_windows(select(db, None, TIERS, None, before))
        return
    captures = current_captures(db, before)
    if view.of_week:
        for week in current_weeks(db, captures, before):
            yield Part(f"week_ending={week.week}", week.capture_id, _mark(db, week.capture_id))
    else:
        for capture in readable(captures, view, before):
            yield Part(f"week_ending={capture.week}/tier={capture.tier}", capture.capture_id, _mark(db, capture.capture_id))


def _parts_of_windows(windows: Iterable[Window]) -> Iterator[Part]:
    for (week, tier), group in groupby(windows, key=lambda window: (window.week, window.tier)):
        of_partition = tuple(group)
        marks = json.dumps([(w.length, w.stored, w.compared, w.reason, w.pruned) for w in of_partition])
        hashes = ",".join(window.stored.inputs_hash for window in of_partition if window.stored)
        mark = hashlib.sha256(marks.encode()).hexdigest()[:16]
        yield Part(f"week_ending={week}/tier={tier}", hashes, mark, windows=of_partition)


def _parts_of_versions(db: Database) -> Iterator[Part]:
    for (week, tier), of_partition in spells(db).items():
        held = [(spell.day, spell.capture.capture_id) for spell in of_partition if spell.capture]
        marks = json.dumps([(day, capture_id, _mark(db, capture_id)) for day, capture_id in held])
        mark = hashlib.sha256((marks + of_partition[-1].day).encode()).hexdigest()[:16]
        yield Part(f"week_ending={week}/tier={tier}", held[-1][1], mark, tuple(of_partition))


def _rows(db: Database, view: View, part: Part) -> Iterator[Sequence[Any]]:
    """The rows of a file under the columns of its view."""
    if part.windows:
        yield from read(db, view, part.windows)
        return
    if not part.spells:
        yield from db.execute(view.of_capture, (part.capture_id,))
        return
    _, week, _, tier = part.folder.replace("/", "=").split("=")
    yield from (version.values for version in read_vintages(db, week, tier, part.spells).versions)


def _mark(db: Database, capture_id: str) -> str:
    """Changes whenever the capture's rows or measures, or a week's result, were computed again."""
    rows = db.execute(
        """
        SELECT stage, metadata_json, captured_at, updated_at FROM core_manifest
        WHERE capture_id = ? AND stage <> 'WITHDRAWN' ORDER BY stage
        """,
        (capture_id,),
    ).fetchall()
    return hashlib.sha256(json.dumps([list(row) for row in rows]).encode()).hexdigest()[:16]


def _is_kept(root: Path, form: str, part: Part, recorded: Mapping[str, Any]) -> bool:
    """Whether the file still exists as it was written, and is of the same capture."""
    entry, file = recorded.get(part.folder), _file(root, form, part.folder)
    if entry is None or entry["capture_id"] != part.capture_id or entry["mark"] != part.mark:
        return False
    return file.is_file() and file.stat().st_size == entry["bytes"]


def _present(root: Path, form: str) -> set[str]:
    """The folders that have a data file, recorded or not: an export that was killed may have left one."""
    return {file.parent.relative_to(root).as_posix() for file in root.glob(f"week_ending=*/**/data.{form}")}


def _write(db: Database, view: View, root: Path, form: str, part: Part) -> dict[str, Any]:
    """Writes one file under a temporary name and renames it; returns its entry in the state file."""
    file = _file(root, form, part.folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        (_write_parquet if form == PARQUET else _write_csv)(beside, view, _rows(db, view, part))
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    return {"capture_id": part.capture_id, "mark": part.mark, "bytes": file.stat().st_size}


def _clear_up(root: Path) -> None:
    """Removes the temporary files of killed exports; one younger than an hour may belong to an export that is running."""
    now = (root / STATE_FILE).stat().st_mtime  # just written, so it shows the clock of that disk
    for beside in [*root.glob(f".{STATE_FILE}.*.tmp"), *root.glob("week_ending=*/**/.data.*.tmp")]:
        with contextlib.suppress(FileNotFoundError):
            if beside.stat().st_mtime < now - _ABANDONED_SECONDS:
                beside.unlink()


def in_path(view: View) -> tuple[str, ...]:
    """The columns that are in the path and not in the files."""
    return ("week_ending",) if view.of_week else ("week_ending", "tier")


def _write_csv(path: Path, view: View, rows: Iterator[Sequence[Any]]) -> None:
    in_file = [name not in in_path(view) for name in view.columns]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(compress(view.columns, in_file))
        writer.writerows(compress(row, in_file) for row in rows)
        _settle(file)


def _write_parquet(path: Path, view: View, rows: Iterator[Sequence[Any]]) -> None:
    with path.open("wb") as file:
        parquet.write(file, view.columns, rows, but=in_path(view))
        _settle(file)


def _settle(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _file(root: Path, form: str, folder: str) -> Path:
    return root / folder / f"data.{form}"


def _read_state(root: Path, view: View, form: str) -> dict[str, Any]:
    """The files recorded by the last export, by folder; those of an older layout will be written again."""
    try:
        state = json.loads((root / STATE_FILE).read_text("utf-8"))
        recorded = (state["view"], state["format"])
        files: dict[str, Any] = state["files"]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "remove it, or export into another folder"
        raise UsageError(f"{root / STATE_FILE} cannot be read", hint=hint) from error
    if recorded != (view.name, form):
        hint = "export each view and format into a folder of its own"
        raise UsageError(f"{root} holds {state['view']} as {state['format']}", hint=hint)
    return files if state.get("layout") == _LAYOUT else {folder: {"capture_id": None} for folder in files}


def _write_state(root: Path, view: View, form: str, files: Mapping[str, Any], seen_at: str | None) -> None:
    beside = root / f".{STATE_FILE}.{os.getpid()}.tmp"
    state = {
        "layout": _LAYOUT, "view": view.name, "format": form, "seen_at": seen_at, "files": dict(sorted(files.items())),
    }
    with beside.open("w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
        _settle(file)
    beside.replace(root / STATE_FILE)


def _remove(root: Path, form: str, folder: str) -> None:
    """Removes a file and the folders that it leaves empty; only below folders that an export writes."""
    if not all(part.startswith(("week_ending=", "tier=")) for part in Path(folder).parts):
        return
    _file(root, form, folder).unlink(missing_ok=True)
    empty = root / folder
    while empty != root and empty.is_dir() and not any(empty.iterdir()):
        empty.rmdir()
        empty = empty.parent
