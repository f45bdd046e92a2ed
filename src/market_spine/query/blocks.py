"""The rows of `normalized`, capture by capture, as they are stored: numbers, and once the names that these stand for.

A week of a tier has fifty thousand rows whose names repeat: joined by the database and returned as sixteen values a row they take
ten times as long, and several times the memory.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from market_spine.db import Database
from market_spine.db.columns import read_columns
from market_spine.parse.columns import MICRO, UNKNOWN, whole_or_fraction
from market_spine.query.answer import Row, named
from market_spine.query.as_of import Known
from market_spine.query.views import VIEWS

Dates = tuple["str | None", "str | None"]  # published on, revised on

# A pair is an issue and a venue in one number, issue id * VENUES + venue id: a value less to read with each row.
VENUES = 1 << 27


class Name(NamedTuple):
    """The values of an issue or a venue, and its rank in the order of the view."""

    values: tuple[str | int | None, ...]
    rank: int


class Figures(NamedTuple):
    """The rows of a capture in any order, column by column: whole numbers with commas between them. Shares and notional are in
    millionths, UNKNOWN stands for a missing notional."""

    pairs: str
    shares: str
    trades: str
    notional: str

    @property
    def row_count(self) -> int:
        return self.pairs.count(",") + bool(self.pairs)


class Block(NamedTuple):
    """The rows of one capture. `dates` are those of most rows, `own_dates` those of the others, by pair."""

    capture_id: str
    week: str
    tier: str
    captured_at: str
    dates: Dates
    own_dates: Mapping[int, Dates]
    figures: Figures


class Blocks(Collection[Row]):
    """The rows of several captures, in the order of the view: iterated over, they are its rows."""

    columns = VIEWS["normalized"].columns

    def __init__(self, blocks: Sequence[Block], issues: Mapping[int, Name], venues: Mapping[int, Name]) -> None:
        self.blocks, self.issues, self.venues = blocks, issues, venues

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)

    def __len__(self) -> int:
        return sum(block.figures.row_count for block in self.blocks)

    def __iter__(self) -> Iterator[Row]:
        return named(self.columns, self._rows())

    def _rows(self) -> Iterator[Row]:
        issues, venues, many = self.issues, self.venues, len(self.venues)
        for block in self.blocks:
            head, usual, own = (block.capture_id, block.week, block.tier), block.dates, block.own_dates
            columns = [json.loads(f"[{column}]") for column in block.figures]
            order = [issues[pair // VENUES].rank * many + venues[pair % VENUES].rank for pair in columns[0]]
            for _, pair, shares, trades, notional in sorted(zip(order, *columns, strict=True)):
                dates = own.get(pair, usual) if own else usual
                names = (*issues[pair // VENUES].values, *venues[pair % VENUES].values)
                money = None if notional == UNKNOWN else notional / MICRO
                yield (*head, *names, whole_or_fraction(shares), trades, money, block.captured_at, *dates)


def read(db: Database, captures: Iterable[Known]) -> Blocks:
    """The rows of these captures, which are given by week and tier."""
    issues = db.execute("SELECT issue_id, symbol, issue_name, product_type FROM finra_otc_transparency_issue")
    venues = db.execute("SELECT venue_id, venue_class, mpid, NULLIF(firm_crd, 0), venue_name FROM finra_otc_transparency_venue")
    return Blocks([_block(db, capture) for capture in captures], _named(issues), _named(venues))


def _named(rows: Iterable[Any]) -> dict[int, Name]:
    """By id. Only a CRD number may be None, and then comes first."""
    values = {number: tuple(rest) for number, *rest in rows}
    ordered = sorted(values, key=lambda number: tuple(0 if value is None else value for value in values[number]))
    return {number: Name(values[number], rank) for rank, number in enumerate(ordered)}


class _Capture(NamedTuple):
    """A row of finra_otc_transparency_capture."""

    captured_at: str
    published_on: str | None
    revised_on: str | None


def _block(db: Database, capture: Known) -> Block:
    key = (capture.capture_key,)
    captured = _Capture._make(
        db.execute(
            "SELECT captured_at, published_on, revised_on FROM finra_otc_transparency_capture WHERE capture_key = ?", key
        ).fetchone()
    )
    dates = db.execute(
        """
        SELECT CAST(issue_id AS bigint) * 134217728 + venue_id, published_on, revised_on FROM finra_otc_transparency_row_date
        WHERE capture_key = ?
        """,
        key,
    )
    own_dates = {pair: (published, revised) for pair, published, revised in dates}
    return Block(
        capture.capture_id, capture.week, capture.tier, captured.captured_at, (captured.published_on, captured.revised_on),
        own_dates, _figures(db, key),
    )


def _figures(db: Database, key: tuple[int]) -> Figures:
    """Millionths are made of the whole part and the rest: their product as one float would not be exact. What `bigint` rounds to
    does not matter for that; SQLite cuts, PostgreSQL rounds."""
    columns = read_columns(
        db,
        Figures._fields,
        """
        SELECT CAST(issue_id AS bigint) * 134217728 + venue_id,
               CAST(total_shares AS bigint) * 1000000
               + CAST(ROUND((total_shares - CAST(total_shares AS bigint)) * 1000000) AS bigint),
               total_trades,
               CASE WHEN total_notional IS NULL THEN -1 ELSE CAST(total_notional AS bigint) * 1000000
               + CAST(ROUND((total_notional - CAST(total_notional AS bigint)) * 1000000) AS bigint) END
        FROM finra_otc_transparency_volume WHERE capture_key = ?
        """,
        key,
    )
    return Figures._make(columns)
