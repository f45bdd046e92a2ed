"""Compaction: the files of a view and tier of a year as one, for questions about a symbol in every week.

    normalized/year=2024/tier=OTC/5f0c….parquet

It has the rows of those files with their week and tier, sorted by symbol and week where they have a symbol, else by week. What
comes later is in files beside it. Once a file that it was made of is replaced or pruned, it is made anew.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from market_spine.query import parquet
from market_spine.query.lake.files import GROUP_ROWS, Content, Wanted


class Part(NamedTuple):
    """A file that was compacted, and the one that has its rows now: a row of the table `compacted`."""

    path: str
    view: str
    part: str
    mark: str
    sha256: str
    bytes: int
    rows: int


class Step(Enum):
    """What becomes of a year of a view and tier."""

    FILES = "its files stay single"
    KEEP = "the compacted file stays, with files beside it"
    COMPACT = "a compacted file is made of all that there is"


def decide(wanted: Mapping[str, str], compacted: Mapping[str, str], *, is_asked: bool) -> Step:
    """Given the marks of the files that the lake should have, and of those in the compacted file, by name."""
    if compacted.items() <= wanted.items():
        is_whole = compacted.keys() == wanted.keys()
        return Step.COMPACT if is_asked and not is_whole else Step.KEEP if compacted else Step.FILES
    return Step.COMPACT


def by_year(files: Iterable[Wanted]) -> dict[str, list[Wanted]]:
    """The files by the folder of their view, year and tier."""
    years: dict[str, list[Wanted]] = {}
    for file in files:
        years.setdefault(folder_of(file.folder), []).append(file)
    return years


def folder_of(folder: str) -> str:
    """Where a folder's files go: `hhi/week_ending=2024-01-05/tier=OTC` into `hhi/year=2024/tier=OTC`."""
    return re.sub(r"week_ending=(\d{4})-\d\d-\d\d", r"year=\1", folder)


def year_of(folder: str) -> int:
    """The year of such a folder."""
    return int(folder.partition("/year=")[2][:4])


def compact(files: Sequence[Wanted], contents: Iterable[bytes]) -> Content:
    """The file of a year, of the contents of these, which are of one view."""
    import pyarrow
    from pyarrow import compute

    columns = files[0].view.columns
    rows = pyarrow.concat_tables(_whole(file, data) for file, data in zip(files, contents, strict=True))
    if "symbol" in columns:
        rows = rows.take(compute.sort_indices(rows, [("symbol", "ascending"), ("week_ending", "ascending")]))
    buffer = io.BytesIO()
    parquet.write_table(buffer, rows, GROUP_ROWS)
    return Content(buffer.getvalue(), hashlib.sha256(buffer.getvalue()).hexdigest(), rows.num_rows)


def _whole(file: Wanted, data: bytes) -> Any:
    """The rows of a file, with the columns that are in its path."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    rows = ParquetFile(io.BytesIO(data)).read()
    for name, value in (part.split("=") for part in file.folder.split("/")[1:]):
        rows = rows.append_column(name, pyarrow.repeat(parquet.array(name, [value])[0], rows.num_rows))
    return rows.select(file.view.columns)
