"""What a page is made of, as values: the templates draw them, and every table is also CSV and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import ClassVar, NamedTuple

from market_spine.operate.status_grid import Cell, WeekStatus
from market_spine.partition import DOMAIN

Value = str | int | float | date | None


class Kind(str, Enum):
    """How a value is written: the class of its cells, too."""

    TEXT = "text"  # on one line
    PROSE = "prose"
    CODE = "code"
    TYPED = "typed"  # a command
    NUMBER = "number"
    SIGNED = "signed"  # the same with its sign
    SHARE = "share"  # 0.25 is 25.00 %
    POINTS = "points"  # of such a share, with their sign
    INDEX = "index"  # between 0 and 1
    RATIO = "ratio"  # with two decimals
    DECIMAL = "decimal"  # with four figures
    DAY = "day"
    MOMENT = "moment"
    STATE = "state"

    @property
    def is_number(self) -> bool:
        return self not in (Kind.TEXT, Kind.PROSE, Kind.CODE, Kind.TYPED, Kind.DAY, Kind.MOMENT, Kind.STATE)


class Address(NamedTuple):
    """A page: the parts of its path, and what is asked of it."""

    segments: tuple[str, ...] = ()
    query: tuple[tuple[str, str], ...] = ()


def to(*segments: object, **query: object) -> Address:
    """The address of a page."""
    return Address(tuple(map(str, segments)), tuple((name, str(value)) for name, value in query.items() if value is not None))


def difference(before: str, after: str) -> Address:
    """The address of the difference of two captures, by their ids."""
    return to("diff", *(capture_id.removeprefix(f"{DOMAIN}:") for capture_id in (before, after)))


class Linked(NamedTuple):
    """A value that leads to another page."""

    value: Value
    address: Address


Shown = Value | Linked


def plain(shown: Shown) -> Value:
    """The value alone."""
    return shown.value if isinstance(shown, Linked) else shown


class Column(NamedTuple):
    """A column; `name` is that of CSV and JSON."""

    name: str
    title: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Table:
    """A table. HTML shows at most `most` rows of it, CSV and JSON all."""

    template: ClassVar[str] = "table.html"
    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Shown]]
    empty: str = "Nothing."
    most: int = 200

    @property
    def head(self) -> Sequence[Sequence[Shown]]:
        return self.rows[: self.most]

    @property
    def filled(self) -> Sequence[int]:
        """The columns that HTML shows: those in which any row has a value."""
        return [at for at in range(len(self.columns)) if any(plain(row[at]) not in (None, "") for row in self.rows)]


class Point(NamedTuple):
    """A value of a week; `is_revised`: a restatement had changed it."""

    week: date
    value: float | None
    is_revised: bool = False


class Series(NamedTuple):
    """A line of a chart."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the weeks, and beneath them the same as a table."""

    template: ClassVar[str] = "chart.html"
    title: str
    kind: Kind
    lines: Sequence[Series]
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Heat:
    """Weeks × tiers: a table a year, or one of a few weeks."""

    template: ClassVar[str] = "heat.html"
    name: ClassVar[str] = "weeks"
    title: str
    weeks: Sequence[WeekStatus]  # newest first
    is_strip: bool = False  # one table of few weeks

    def as_table(self) -> Table:
        """The cells as rows, for CSV and JSON; HTML has no need of them."""
        rows = [_row(week.week, cell) for week in self.weeks for cell in week.cells]
        return Table(self.name, self.title, _CELLS, rows)


_CELLS = [
    Column("week_ending", "Week", Kind.DAY), Column("tier", "Tier", Kind.CODE), Column("state", "State", Kind.STATE),
    Column("stage", "Stage", Kind.CODE), Column("revised", "Revisions", Kind.NUMBER), Column("capture_id", "Capture", Kind.CODE),
    Column("problem", "Blocked by", Kind.PROSE), Column("command", "Command", Kind.TYPED),
]


def _row(week: date, cell: Cell) -> tuple[Value, ...]:
    own = (cell.state.value, cell.stage, cell.revised, cell.capture_id)
    return week, cell.partition.tier, *own, cell.problem, cell.command


class Fact(NamedTuple):
    """A figure or a fact with its name."""

    term: str
    value: Shown
    kind: Kind = Kind.TEXT
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Figures side by side."""

    template: ClassVar[str] = "facts.html"
    facts: Sequence[Fact]
    title: str = ""


class Card(NamedTuple):
    """A partition beside others: its cell, and what is to be known of it."""

    title: str
    address: Address
    cell: Cell
    facts: Sequence[Fact]


@dataclass(frozen=True, slots=True)
class Cards:
    """Partitions side by side."""

    template: ClassVar[str] = "cards.html"
    cards: Sequence[Card]


@dataclass(frozen=True, slots=True)
class Commands:
    """What to type, to be copied."""

    template: ClassVar[str] = "commands.html"
    title: str
    commands: Sequence[tuple[str, str]]  # what it does, and the command


@dataclass(frozen=True, slots=True)
class Notice:
    """Sentences that must be seen, each in its parts; their tone is `good`, `note` or `bad`."""

    template: ClassVar[str] = "notice.html"
    tone: str
    lines: Sequence[Sequence[Shown]]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """The same page of something else: links of which one is current."""

    template: ClassVar[str] = "choices.html"
    label: str
    choices: Sequence[tuple[str, Address, bool]]


@dataclass(frozen=True, slots=True)
class Search:
    """A field to search with; where the pages are files there is none."""

    template: ClassVar[str] = "search.html"
    label: str
    action: Address
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Log:
    """Lines in the order of time: when, of what, and what happened."""

    template: ClassVar[str] = "log.html"
    title: str
    lines: Sequence[tuple[str, str, str]]
    empty: str = "Nothing."


Part = Table | Chart | Heat | Facts | Cards | Commands | Notice | Choices | Search | Log


@dataclass(frozen=True, slots=True)
class Page:
    """A page. `trail` leads to it; `remark` is what it cannot show as of a past day."""

    address: Address
    title: str
    lead: str
    parts: Sequence[Part]
    trail: Sequence[tuple[str, Address]] = field(default_factory=tuple)
    remark: str = ""

    def tables(self) -> dict[str, Table]:
        """Its tables by name, those of the charts and the heat map among them."""
        return {table.name: table for table in self._tables()}

    def _tables(self) -> Iterator[Table]:
        for part in self.parts:
            if isinstance(part, Table):
                yield part
            elif isinstance(part, Heat):
                yield part.as_table()
            elif isinstance(part, Chart) and part.table is not None:
                yield part.table
