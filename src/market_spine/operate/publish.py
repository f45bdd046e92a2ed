"""Publish: what the views show, as one small SQLite file that anybody can open: Datasette, DuckDB, a spreadsheet.

Names that repeat on every row are in three tables of their own (captures, issues, venues), which the rows lead to by number. For
each table with such numbers there is a view with the names, under the columns of the data dictionary.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from market_spine import __version__
from market_spine.core.checkpoint import checkpoint
from market_spine.db import Database, Tell, silent
from market_spine.db.published import Publication, Table, replacing
from market_spine.errors import ConfigurationError
from market_spine.partition import TIERS
from market_spine.query import answer
from market_spine.query.answer import Question
from market_spine.query.kinds import Kind, kind_of
from market_spine.query.readiness import READINESS
from market_spine.query.sources import Source, sources
from market_spine.query.views import VIEWS, View

_LARGE = ("symbol_venue_share", "rolling_symbol")  # as many rows as `normalized`, or more; only where they are asked for
DEFAULT = (*(name for name in VIEWS if name not in _LARGE), READINESS.name)
NAMED = "_with_names"
_TYPES = {Kind.COUNT: int, Kind.FLAG: int, Kind.SHARES: float, Kind.FIGURE: float}


class Dimension(NamedTuple):
    """Columns that are kept once in a table of their own; `kept` are those that the rows keep as well."""

    table: str
    key: str
    columns: tuple[str, ...]
    kept: tuple[str, ...] = ()


CAPTURES = Dimension("captures", "capture", ("capture_id", "captured_at"))
ISSUES = Dimension("issues", "issue", ("symbol", "issue_name", "product_type"), ("symbol",))
VENUES = Dimension("venues", "venue", ("venue_class", "mpid", "firm_crd", "venue_name"))
_INDEXES = (("week_ending", "tier"), ("symbol",), ("issue",), ("venue",))  # a capture is one week and tier


@dataclass(frozen=True, slots=True)
class Selected:
    """What is published: these views, of these weeks (None: of all), as of that day (None: of now)."""

    views: tuple[str, ...] = DEFAULT
    weeks: tuple[date, ...] | None = None
    tiers: tuple[str, ...] = TIERS
    as_of: date | None = None


class Published(NamedTuple):
    """A file that was made: its size in bytes, and how many rows each table has."""

    path: Path
    size: int
    rows: Mapping[str, int]


def publish(db: Database, path: Path, selected: Selected, seen_at: str, tell: Tell = silent) -> Published:
    """Writes one moment of the store to `path`, and what Datasette shows of it to `….metadata.json` beside it.

    Raises UsageError where `path` is a file that was not published, ConfigurationError where it cannot be written.
    """
    with replacing(path) as publication:
        rows = _fill(db, publication, selected, tell)
        about = _about(db, selected, seen_at)
        rows["about"] = publication.add(Table("about", {"name": str, "value": str}, about.items(), "name"))
        for dimension, columns in ((ISSUES, ("symbol", "issue_name")), (VENUES, ("mpid", "venue_name"))):
            publication.search(dimension.table, columns)
    beside = path.with_suffix(".metadata.json")
    try:
        beside.write_text(json.dumps(metadata(path.stem, rows), indent=1) + "\n", "utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {beside}: {error.strerror}", hint="name a file in a writable folder") from error
    return Published(path, path.stat().st_size, rows)


def _fill(db: Database, publication: Publication, selected: Selected, tell: Tell) -> dict[str, int]:
    """The tables. Those of names are created first and filled last: their rows are numbered as the others are read."""
    of_rows = Question(VIEWS["normalized"], selected.weeks, selected.tiers, as_of=selected.as_of)
    captures = sources(db, (capture.capture_key for capture in answer.captures_of(db, of_rows).captures))
    numbers = {dimension: _Numbers() for dimension in (CAPTURES, ISSUES, VENUES)}
    for capture in captures:
        numbers[CAPTURES].of((capture.capture_id, capture.captured_at))
    rows = {CAPTURES.table: publication.add(_captures(captures))}
    for dimension in (ISSUES, VENUES):
        publication.add(numbers[dimension].table(dimension))
    for done, name in enumerate(selected.views, 1):
        view = READINESS if name == READINESS.name else VIEWS[name]
        table = _table(db, view, selected, numbers)
        rows[name] = publication.add(table)
        if table.leads_to:
            publication.add_view(f"{name}{NAMED}", _with_names(view), table)
        tell(done, len(selected.views))
    for dimension in (ISSUES, VENUES):
        rows[dimension.table] = publication.fill(numbers[dimension].table(dimension))
    return rows


class _Numbers(dict[tuple[Any, ...], int]):
    """Numbers from 1 for values, in the order in which they are first seen."""

    def of(self, values: tuple[Any, ...]) -> int | None:
        return None if values[-1] is None else self.setdefault(values, len(self) + 1)

    def table(self, dimension: Dimension) -> Table:
        types = {dimension.key: int} | {column: _TYPES.get(kind_of(column), str) for column in dimension.columns}
        return Table(dimension.table, types, ((number, *values) for values, number in self.items()), dimension.key)


def _captures(captures: Sequence[Source]) -> Table:
    columns = ("capture", "capture_id", "week_ending", "tier", "captured_at", "content_hash")
    rows = ((number, *capture) for number, capture in enumerate(captures, 1))
    return Table(CAPTURES.table, {name: int if name == "capture" else str for name in columns}, rows, "capture")


def _dimensions(view: View) -> tuple[Dimension, ...]:
    """Those whose columns the view has; of a week-level result or a window there is no single capture."""
    of_capture = () if view.of_week or view.of_window else (CAPTURES,)
    return tuple(each for each in (*of_capture, ISSUES, VENUES) if set(each.columns) <= set(view.columns))


def _table(db: Database, view: View, selected: Selected, numbers: Mapping[Dimension, _Numbers]) -> Table:
    dimensions = _dimensions(view)
    elsewhere = {column for each in dimensions for column in each.columns if column not in each.kept}
    kept = [column for column in view.columns if column not in elsewhere]
    types = {each.key: int for each in dimensions} | {column: _TYPES.get(kind_of(column), str) for column in kept}
    question = Question(view, selected.weeks, selected.tiers, as_of=selected.as_of)
    readers = [(numbers[each], _getter(view, each.columns)) for each in dimensions]
    indexes = [columns for columns in _INDEXES if set(columns) <= types.keys()]
    leads_to = {each.key: each.table for each in dimensions}
    return Table(view.name, types, _rows(db, question, readers, _getter(view, kept)), None, leads_to, indexes)


def _rows(
    db: Database, question: Question, readers: Sequence[tuple[_Numbers, Callable[[Any], Any]]], own: Callable[[Any], Any]
) -> Iterator[tuple[Any, ...]]:
    for row in answer.answer(db, question):
        yield (*(numbers.of(read(row)) for numbers, read in readers), *own(row))


def _getter(view: View, columns: Sequence[str]) -> Callable[[Any], Any]:
    """Takes these columns, of which there are at least two, from a row."""
    return itemgetter(*(view.columns.index(column) for column in columns))


def _with_names(view: View) -> dict[str, str]:
    """Where each column of the view is taken from."""
    tables = {column: each.table for each in _dimensions(view) for column in each.columns if column not in each.kept}
    return {column: f"{tables.get(column, view.name)}.{column}" for column in view.columns}


def _about(db: Database, selected: Selected, seen_at: str) -> dict[str, str]:
    mark = checkpoint(db)
    weeks = "all" if selected.weeks is None else ", ".join(map(str, selected.weeks))
    return {
        "source": "FINRA OTC Transparency, weekly summaries", "seen_at": seen_at, "as_of": str(selected.as_of or "now"),
        "weeks": weeks, "tiers": ", ".join(selected.tiers), "made_by": f"market-spine {__version__}",
        "checkpoint": mark.line if mark else "",
    }


_DESCRIPTIONS = {
    "normalized": "FINRA's rows: shares and trades of a security at a venue in a week.",
    "venue_volume": "What a venue traded in a tier in a week.",
    "venue_share": "A venue's share of a tier's shares in a week, from 0 to 1.",
    "hhi": "Concentration over venues (Herfindahl-Hirschman) of a tier or a symbol in a week, from 0 to 1.",
    "concentration": "How concentrated a tier is in a week: one row.",
    "symbol_summary": "What was traded of a symbol in a tier in a week.",
    "symbol_venue_share": "A venue's share of a symbol's shares in a week, from 0 to 1.",
    "weekly_totals": "What was traded in a week, over all tiers.",
    "tier_split": "How a week's shares are split over the tiers.",
    "rolling_venue_share": "A venue's share over several weeks; reason says why figures are missing.",
    "rolling_hhi": "Concentration over several weeks; reason says why figures are missing.",
    "rolling_totals": "Volume over several weeks; reason says why figures are missing.",
    "rolling_symbol": "A symbol's volume over several weeks; reason says why figures are missing.",
    "readiness": "Which weeks (without a tier) and tiers are ready, and what blocks the others.",
    "captures": "When each week of a tier was captured, and the hash of its content.",
    "issues": "Securities: symbol, name and product type. Searchable.",
    "venues": "ATSs (with an MPID) and firms (with a CRD number). Searchable.",
    "about": "When this file was made, from what, and which checkpoint of the log of events it is as of.",
}


def metadata(database: str, rows: Mapping[str, int]) -> dict[str, Any]:
    """What Datasette shows, for `datasette --metadata`: titles, descriptions, labels; nothing in it changes with the data."""
    labels = {"captures": "capture_id", "issues": "issue_name", "venues": "venue_name"}
    tables: dict[str, dict[str, Any]] = {name: {"description": _DESCRIPTIONS[name]} for name in rows}
    for name, label in labels.items():
        tables[name]["label_column"] = label
    for name in rows:
        if name in VIEWS:
            tables[name] |= {"sort_desc": "week_ending", "facets": ["tier"] if "tier" in VIEWS[name].columns else []}
    return {
        "title": "FINRA OTC Transparency, week by week",
        "source": "FINRA OTC Transparency",
        "source_url": "https://otctransparency.finra.org/",
        "about": "market-spine",
        "databases": {database: {"description": "Current captures and their measures; see the table about.", "tables": tables}},
    }
