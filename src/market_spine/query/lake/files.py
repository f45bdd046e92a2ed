"""The files of a lake: one for each capture and view, named for its capture and its content, and never changed.

    normalized/week_ending=2025-11-28/tier=OTC/20260109-5f0c….parquet      a capture
    weekly_totals/week_ending=2025-11-28/20260109-77ab….parquet            a result of a week
    rolling_hhi/week_ending=2025-11-28/tier=OTC/20260109-0d31….parquet     the windows that end with a week

A replay, a rebuild that changes figures, or another window of a week is another file; the manifest says which one counts.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from market_spine.core import windows
from market_spine.core.windows import Stored
from market_spine.db import Database
from market_spine.partition import DOMAIN
from market_spine.query import parquet
from market_spine.query.as_of import day_of
from market_spine.query.export import in_path
from market_spine.query.views import VIEWS, View

# Symbols are sorted within a file, so that a reader of one symbol skips the groups whose statistics exclude it.
GROUP_ROWS = 10_000
# Two views are not stored here either, as their rows are computed from others: see script.py.
LAKE_VIEWS = {name: view for name, view in VIEWS.items() if name not in ("symbol_venue_share", "rolling_symbol")}


class Wanted(NamedTuple):
    """A file that the lake should have: the rows with these ids in a view (captures, results or keys of windows). `mark` changes
    whenever the rows may have."""

    view: View
    folder: str
    name: str
    mark: str
    ids: tuple[Any, ...]

    @property
    def key(self) -> str:
        """Names it whatever its content."""
        return f"{self.folder}/{self.name}"


class Entry(NamedTuple):
    """A file that the lake has: a row of the table `files`."""

    path: str
    view: str
    name: str
    mark: str
    sha256: str
    bytes: int
    rows: int

    @property
    def key(self) -> str:
        return f"{self.path.rpartition('/')[0]}/{self.name}"


class Content(NamedTuple):
    """The bytes of a file, before it is stored."""

    data: bytes
    sha256: str
    rows: int


def wanted(db: Database) -> Iterator[Wanted]:
    """Every file that the lake should have: of all captures whose rows are kept, withdrawn and held ones among them."""
    marks = _marks(db)
    for capture in _captures(db):
        for view in LAKE_VIEWS.values():
            if not view.of_week and not view.of_window and (capture.is_measured or not view.measured):
                folder = f"{view.name}/week_ending={capture.week}/tier={capture.tier}"
                yield Wanted(view, folder, _day(capture.capture_id), marks[capture.capture_id], (capture.capture_id,))
    for result_id, week in db.execute("SELECT capture_id, week_ending FROM finra_otc_transparency_week ORDER BY week_ending"):
        for view in LAKE_VIEWS.values():
            if view.of_week:
                yield Wanted(view, f"{view.name}/week_ending={week}", _day(result_id), marks.get(result_id, ""), (result_id,))
    yield from _wanted_windows(windows.between(db, "", "9"))


def _wanted_windows(stored: Sequence[Stored]) -> Iterator[Wanted]:
    of_partition = sorted(stored, key=lambda each: (each.week, each.tier))
    for (week, tier), group in groupby(of_partition, key=lambda each: (each.week, each.tier)):
        made = list(group)
        mark = _digest(json.dumps([(each.window_key, each.inputs_hash, each.execution_id) for each in made]).encode())
        name, keys = max(day_of(each.made_at) for each in made).replace("-", ""), tuple(each.window_key for each in made)
        for view in LAKE_VIEWS.values():
            if view.of_window:
                yield Wanted(view, f"{view.name}/week_ending={week}/tier={tier}", name, mark[:16], keys)


class _Capture(NamedTuple):
    """A capture whose rows are kept."""

    capture_id: str
    week: str
    tier: str
    is_measured: bool


def _captures(db: Database) -> list[_Capture]:
    rows = db.execute(
        """
        SELECT c.capture_id, c.week_ending, c.tier, m.stage FROM finra_otc_transparency_capture c
        LEFT JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'CALC'
        WHERE c.normalized_at IS NOT NULL ORDER BY c.week_ending, c.tier, c.run_date
        """
    ).fetchall()
    return [_Capture(capture_id, week, tier, stage is not None) for capture_id, week, tier, stage in rows]


class _Stage(NamedTuple):
    """What a stage of a capture was made of, and when."""

    capture_id: str
    stage: str
    facts: str
    updated_at: str


def _marks(db: Database) -> Mapping[str, str]:
    """By capture or result: changes whenever its rows or measures were computed again."""
    rows = db.execute(
        """
        SELECT capture_id, stage, metadata_json, updated_at FROM core_manifest
        WHERE domain = ? AND stage IN ('NORMALIZED', 'CALC') ORDER BY capture_id, stage
        """,
        (DOMAIN,),
    ).fetchall()
    by_capture = groupby((_Stage._make(row) for row in rows), key=lambda stage: stage.capture_id)
    return {capture_id: _digest(json.dumps(list(stages)).encode())[:16] for capture_id, stages in by_capture}


def content(db: Database, file: Wanted) -> Content:
    """The rows of a file, as Parquet; the columns of its path are not in it."""
    return as_parquet(file.view.columns, _rows(db, file), but=in_path(file.view))


def as_parquet(names: Sequence[str], rows: Iterable[Sequence[Any]], but: Sequence[str] = ()) -> Content:
    """Equal rows give equal bytes, and so an equal name."""
    buffer = io.BytesIO()
    count = parquet.write(buffer, names, rows, but=but, group_rows=GROUP_ROWS)
    return Content(buffer.getvalue(), _digest(buffer.getvalue()), count)


def _rows(db: Database, file: Wanted) -> Iterator[Sequence[Any]]:
    for one in file.ids:
        yield from db.execute(file.view.of_capture, (0, one) if file.view.compares else (one,))


def empty_year(view: View) -> str:
    """The path of a file of a year without rows."""
    return f"empty/{view.name}/none.parquet"


def empty_path(view: View) -> str:
    """The path of a file without rows, for engines that cannot read no file at all."""
    return f"empty/{view.name}/week_ending=2000-01-07/{'' if view.of_week else 'tier=OTC/'}none.parquet"


def path_of(file: Wanted, made: Content) -> str:
    """Named for its content: the same rows are always the same file."""
    return f"{file.folder}/{file.name}-{made.sha256[:16]}.parquet"


def _day(capture_id: str) -> str:
    return capture_id.rpartition(":")[2]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
