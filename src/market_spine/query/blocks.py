"""The rows of `normalized`, capture by capture, as they are stored: numbers, and once the names that these stand for.

A week of a tier has fifty thousand rows whose names repeat: joined by the database and returned as sixteen values a row they take
four times as long, and as much memory again when they are turned into columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from market_spine.db import Database
from market_spine.query.answer import Row, named
from market_spine.query.as_of import Known
from market_spine.query.views import VIEWS

Fact = tuple[int, float, int] | tuple[int, float, int, float]  # pair, shares, trades; notional, where the capture has any
Dates = tuple["str | None", "str | None"]  # published on, revised on


# A pair is an issue and a venue in one number, issue id * VENUES + venue id: a value less to fetch with each row. As a float it
# is exact up to 67 million issues.
VENUES = 1 << 27
UNKNOWN = -1  # stands for a missing notional, since no figure is negative


class Name(NamedTuple):
    """The values of an issue or a venue, and its rank in the order of the view."""

    values: tuple[str | int | None, ...]
    rank: int


class Block(NamedTuple):
    """The rows of one capture. `dates` are those of most rows, `own_dates` those of the others, by pair."""

    capture_id: str
    week: str
    tier: str
    captured_at: str
    dates: Dates
    own_dates: Mapping[int, Dates]
    has_notional: bool
    facts: Sequence[Fact]


class Blocks(Collection[Row]):
    """The rows of several captures, in the order of the view: iterated over, they are its rows."""

    columns = VIEWS["normalized"].columns

    def __init__(self, blocks: Sequence[Block], issues: Mapping[int, Name], venues: Mapping[int, Name]) -> None:
        self.blocks, self.issues, self.venues = blocks, issues, venues

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)

    def __len__(self) -> int:
        return sum(len(block.facts) for block in self.blocks)

    def __iter__(self) -> Iterator[Row]:
        return named(self.columns, self._rows())

    def _rows(self) -> Iterator[Row]:
        issues, venues, many = self.issues, self.venues, len(self.venues)
        for block in self.blocks:
            head, usual, own = (block.capture_id, block.week, block.tier), block.dates, block.own_dates
            order = [issues[fact[0] // VENUES].rank * many + venues[fact[0] % VENUES].rank for fact in block.facts]
            for _, (pair, shares, trades, *rest) in sorted(zip(order, block.facts, strict=True)):
                dates = own.get(pair, usual) if own else usual
                names = (*issues[pair // VENUES].values, *venues[pair % VENUES].values)
                notional = rest[0] if rest and rest[0] != UNKNOWN else None
                yield (*head, *names, shares, trades, notional, block.captured_at, *dates)


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
    with_notional = db.execute(
        "SELECT 1 FROM finra_otc_transparency_volume WHERE capture_key = ? AND total_notional IS NOT NULL LIMIT 1", key
    )
    has_notional = with_notional.fetchone() is not None
    return Block(
        capture.capture_id, capture.week, capture.tier, captured.captured_at, (captured.published_on, captured.revised_on),
        own_dates, has_notional, _facts(db, key, has_notional),
    )


def _facts(db: Database, key: tuple[int], has_notional: bool) -> list[Fact]:
    if has_notional:
        return db.execute(
            """
            SELECT CAST(issue_id AS bigint) * 134217728 + venue_id, total_shares, total_trades, COALESCE(total_notional, -1)
            FROM finra_otc_transparency_volume WHERE capture_key = ?
            """,
            key,
        ).fetchall()
    return db.execute(
        """
        SELECT CAST(issue_id AS bigint) * 134217728 + venue_id, total_shares, total_trades FROM finra_otc_transparency_volume
        WHERE capture_key = ?
        """,
        key,
    ).fetchall()
