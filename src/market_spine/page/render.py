"""A page as HTML, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import groupby
from typing import NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from market_spine import __version__
from market_spine.errors import NotFound
from market_spine.operate.status_grid import GLYPHS, REVISED, Cell, CellState, WeekStatus
from market_spine.page import charts
from market_spine.page.looking import Look
from market_spine.page.parts import Column, Heat, Kind, Page, Shown, Table, Value, plain, to
from market_spine.page.site import NAV, Site
from market_spine.page.views import TIER_NAMES, state_of
from market_spine.partition import DOMAIN, TIERS

_FORMATS: Mapping[Kind, Callable[[float], str]] = {
    Kind.SHARE: lambda value: f"{value * 100:,.2f} %",
    Kind.POINTS: lambda value: f"{value * 100:+,.3f}",
    Kind.INDEX: lambda value: f"{value:.4f}",
    Kind.RATIO: lambda value: f"{value:,.2f}",
}
_GOOD = frozenset({"ready", "current", "exact", "PASS", "exit 0", "done", "COMPLETE", "resolved", "ingested", "added"})
_BAD = frozenset({"failed", "missing", "blocked", "ERROR", "CRITICAL", "REFUSE", "FAILED", "exit 1", "exit 2", "removed"})
_LOOK = frozenset(
    {"held", "late", "pending", "WARN", "HOLD", "withdrawn", "warning", "not finished", "not exact", "RETRY_WAIT", "open"}
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds every page: where it lies, which day it shows, and how a command is typed for this database."""

    site: Site
    database: str
    as_of: date | None = None
    demo: str = ""
    typed: Callable[[str], str] = str


@cache
def environment() -> Environment:
    """The templates; everything that is put into them is escaped."""
    made = Environment(loader=PackageLoader("market_spine.page"), autoescape=True, undefined=StrictUndefined)
    made.trim_blocks = made.lstrip_blocks = True
    made.filters |= {
        "shown": shown, "tone": tone, "drawn": charts.draw, "bands": bands, "state_of": state_of, "states": _states,
    }
    made.globals |= {
        "NAV": NAV, "HOME": to(), "TIER_NAMES": TIER_NAMES, "WIDTH": charts.WIDTH, "HEIGHT": charts.HEIGHT,
        "VERSION": __version__, "Kind": Kind, "to": to, "css": css, "bare": bare,
    }
    return made


def html(page: Page, frame: Frame) -> str:
    """The page as HTML."""
    return environment().get_template("page.html").render(page=page, frame=frame, site=frame.site)


def error(status: int, title: str, detail: str, hint: str | None, frame: Frame) -> str:
    """A page that says what is wrong and what to do."""
    template = environment().get_template("error.html")
    return template.render(status=status, title=title, detail=detail, hint=hint, frame=frame, site=frame.site)


def as_csv(page: Page, name: str | None) -> str:
    """One of its tables, the first by default. Raises NotFound."""
    table = _table(page, name)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows([plain(value) for value in row] for row in table.rows)
    return buffer.getvalue()


def as_json(page: Page, name: str | None, look: Look) -> str:
    """Its tables, or one of them. Raises NotFound."""
    tables = [_table(page, name)] if name else list(page.tables().values())
    document = {
        "schema_version": 1, "page": "/" + "/".join(page.address.segments), "day": look.day, "as_of": look.as_of,
        "tables": {table.name: [_entry(table.columns, row) for row in table.rows] for table in tables},
    }
    return json.dumps(document, default=str)


def _entry(columns: Sequence[Column], row: Sequence[Shown]) -> dict[str, Value]:
    return {column.name: plain(value) for column, value in zip(columns, row, strict=True)}


def _table(page: Page, name: str | None) -> Table:
    tables = page.tables()
    if not tables or (name is not None and name not in tables):
        raise NotFound(f"this page has no table {name!r}", hint=f"its tables are {', '.join(tables)}" if tables else None)
    return tables[name] if name is not None else next(iter(tables.values()))


def shown(given: Shown, kind: Kind) -> str:
    """A value as it is read: thousands apart, an en dash where there is none."""
    value = plain(given)
    if value is None or value == "":
        return "–"
    if isinstance(value, (int, float)):
        return _number(value, kind).replace("-", "−")
    if kind is Kind.MOMENT:
        return str(value)[:16].replace("T", " ")
    return str(value).removeprefix(f"{DOMAIN}:") if kind is Kind.CODE else str(value)


def _number(value: float, kind: Kind) -> str:
    if kind in _FORMATS:
        return _FORMATS[kind](value)
    if kind is Kind.DECIMAL:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    sign = "+" if kind is Kind.SIGNED and value > 0 else ""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.6f}".rstrip("0").rstrip(".")
    return f"{sign}{text}"


def tone(value: Shown) -> str:
    """How the word of a state is coloured."""
    word = str(plain(value))
    return "good" if word in _GOOD else "bad" if word in _BAD else "look" if word in _LOOK else "quiet"


def bare(page: Page) -> str:
    """Its path on a server, of now."""
    return "/" + "/".join(quote(segment, safe="") for segment in page.address.segments)


def css(cell: Cell) -> str:
    """The class of a cell of the heat map."""
    return "revised" if cell.glyph == REVISED else cell.state.value


class Band(NamedTuple):
    """A table of a heat map: its months or days with their widths, and the cells of each tier."""

    caption: str
    heads: Sequence[tuple[str, int]]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def bands(heat: Heat) -> list[Band]:
    """The tables of a heat map: one for each year, newest first, or a single one."""
    weeks = heat.weeks[::-1]
    if heat.is_strip:
        return [_band("", weeks, [(f"{week.week:%m-%d}", 1) for week in weeks])]
    by_year = groupby(weeks, key=lambda week: week.week.year)
    made = [(str(year), list(of_year)) for year, of_year in by_year]
    return [_band(year, weeks, [(f"{first:%b}", width) for first, width in _months(weeks)]) for year, weeks in reversed(made)]


def _band(caption: str, weeks: Sequence[WeekStatus], heads: Sequence[tuple[str, int]]) -> Band:
    return Band(caption, heads, [(tier, [week.cells[number] for week in weeks]) for number, tier in enumerate(TIERS)])


def _months(weeks: Sequence[WeekStatus]) -> list[tuple[date, int]]:
    """The months with how many weeks each has; a month belongs to the Fridays in it."""
    return [(first, len(list(of_month))) for first, of_month in groupby(weeks, key=lambda week: week.week.replace(day=1))]


def _states(weeks: Sequence[WeekStatus]) -> list[tuple[str, str, str]]:
    """The states that occur: class, glyph and name, in the order of CellState."""
    cells = {css(cell): cell for week in weeks for cell in week.cells}
    named = [(state.value, GLYPHS[state], state.value) for state in CellState if state.value in cells]
    return named + [("revised", REVISED, "ready, revised")] * ("revised" in cells)
