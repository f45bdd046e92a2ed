"""A capture's rows with their database ids: what the volume table holds and what the measures are taken from."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from market_spine.db import Database
from market_spine.parse.columns import UNKNOWN, Columns, Venue, millionths
from market_spine.parse.figures import as_stored, figures, money

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from market_spine.measure.dimensions import Dimensions

    Ints = NDArray[np.int64]


_ROWS_AT_ONCE = 50_000


class Facts(NamedTuple):
    """n rows of one tier, sorted by issue and venue id. `issue`, `venue` (n,) are positions in the arrays of ids below.

    `issue_id`, `symbol_of` (issues,): an issue's id, and the least id among those with its symbol; `venue_id`, `venue_of`
    (venues,) likewise by class, MPID and CRD; `is_ats` (venues,). `shares`, `notional` (n,) in millionths, as a table holds them
    (`notional` None where no row has one, UNKNOWN where some have none), `trades` (n,).
    """

    issue: NDArray[np.int32]
    venue: NDArray[np.int32]
    shares: Ints
    trades: Ints
    notional: Ints | None
    issue_id: Ints
    venue_id: Ints
    symbol_of: Ints
    venue_of: Ints
    is_ats: NDArray[np.bool_]


def from_columns(dimensions: Dimensions, columns: Columns) -> Facts:
    """A file's columns with ids; issues and venues that are new are inserted. Call it inside a transaction."""
    issue_id = np.array(dimensions.issue_ids(columns.issues), dtype=np.int64)
    venue_id = np.array(dimensions.venue_ids(columns.venues), dtype=np.int64)
    # Nearly sorted already, since ids follow the order of the first file: a stable sort of one key takes little time.
    order = np.argsort((issue_id[columns.issue] << 32) | venue_id[columns.venue], kind="stable")
    return Facts(
        issue=columns.issue[order],
        venue=columns.venue[order],
        shares=as_stored(columns.shares)[order],
        trades=columns.trades[order],
        notional=None if columns.notional is None else as_stored(columns.notional)[order],
        issue_id=issue_id,
        venue_id=venue_id,
        symbol_of=_filed_under([issue.symbol if issue else "" for issue in columns.issues], issue_id),
        venue_of=_filed_under([venue.identity if venue else () for venue in columns.venues], venue_id),
        is_ats=np.array([venue is not None and venue.venue_class == "ATS" for venue in columns.venues], dtype=np.bool_),
    )


# The columns of the statement in from_tables, by name and in its order: on 50,000 rows faster than a value per row.
_issue_id, _venue_id, _shares, _trades, _notional = map(itemgetter, range(5))


def from_tables(db: Database, capture_key: int) -> Facts:
    """The rows of a capture read back."""
    rows = db.execute(
        """
        SELECT issue_id, venue_id, total_shares, total_trades, total_notional
        FROM finra_otc_transparency_volume WHERE capture_key = ? ORDER BY issue_id, venue_id
        """,
        (capture_key,),
    ).fetchall()
    issue_id, issue = np.unique(np.fromiter(map(_issue_id, rows), np.int64, len(rows)), return_inverse=True)
    venue_id, venue = np.unique(np.fromiter(map(_venue_id, rows), np.int64, len(rows)), return_inverse=True)
    symbols = dict(db.execute(_SYMBOLS, (capture_key,)).fetchall())
    venues = {venue_id: Venue._make(facts) for venue_id, *facts in db.execute(_VENUES, (capture_key,))}
    return Facts(
        issue=issue.astype(np.int32),
        venue=venue.astype(np.int32),
        shares=_millionths(map(_shares, rows)),
        trades=np.fromiter(map(_trades, rows), np.int64, len(rows)),
        notional=None if all(value is None for value in map(_notional, rows)) else _millionths(map(_notional, rows)),
        issue_id=issue_id,
        venue_id=venue_id,
        symbol_of=_filed_under([symbols[i] for i in issue_id.tolist()], issue_id),
        venue_of=_filed_under([venues[v].identity for v in venue_id.tolist()], venue_id),
        is_ats=np.array([venues[v].venue_class == "ATS" for v in venue_id.tolist()], dtype=np.bool_),
    )


def volume_columns(facts: Facts) -> Iterator[dict[str, NDArray[Any]]]:
    """The columns of the volume table, in key order, 50,000 rows at a time, so that a large tier is never
    in memory twice. Notional is left out where it is unknown."""
    for start in range(0, len(facts.shares), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        columns: dict[str, NDArray[Any]] = {
            "issue_id": facts.issue_id[facts.issue[rows]],
            "venue_id": facts.venue_id[facts.venue[rows]],
            "total_shares": figures(facts.shares[rows]),
            "total_trades": facts.trades[rows],
        }
        if facts.notional is not None:
            columns["total_notional"] = money(facts.notional[rows])
        yield columns


def _millionths(values: Iterable[float | None]) -> Ints:
    return np.array([UNKNOWN if value is None else millionths(value) for value in values], dtype=np.int64)


def _filed_under(names: Sequence[Hashable], ids: Ints) -> Ints:
    """For each name the least id that has it."""
    if len(set(names)) == len(names):
        return ids
    least: dict[Hashable, int] = {}
    for name, number in zip(names, ids.tolist(), strict=True):
        if number < least.get(name, number + 1):
            least[name] = number
    return np.fromiter(map(least.__getitem__, names), np.int64, len(ids))


_SYMBOLS = """
SELECT DISTINCT i.issue_id, i.symbol FROM finra_otc_transparency_volume f
JOIN finra_otc_transparency_issue i ON i.issue_id = f.issue_id WHERE f.capture_key = ?
"""
_VENUES = """
SELECT DISTINCT v.venue_id, v.venue_class, v.mpid, v.firm_crd, v.venue_name FROM finra_otc_transparency_volume f
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id WHERE f.capture_key = ?
"""
