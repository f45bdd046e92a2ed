"""What a restatement changed: rows, shares, who moved most, and what it did to concentration and venue shares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from market_spine.db import Database
from market_spine.errors import UsageError
from market_spine.parse.columns import millionths, whole_or_fraction
from market_spine.query import windows
from market_spine.query.history import UNFINISHED, Entry

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


class RowKey(NamedTuple):
    """A row's natural key inside a partition; `venue_name` only where a venue has neither MPID nor CRD number, else ''."""

    symbol: str
    issue_name: str
    product_type: str
    venue_class: str
    mpid: str
    firm_crd: int
    venue_name: str


class Figures(NamedTuple):
    """A row's figures, and the venue's name, which is not part of its key."""

    shares: float
    trades: int
    notional: float | None
    venue_name: str


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that is not the same in both captures; `before` is None where it was added, `after` where it was removed."""

    key: RowKey
    before: Figures | None
    after: Figures | None

    @property
    def kind(self) -> str:
        return ADDED if self.before is None else REMOVED if self.after is None else CHANGED

    @property
    def moved(self) -> int:
        """Millionths of a share gained."""
        return millionths(self.after.shares if self.after else 0) - millionths(self.before.shares if self.before else 0)


@dataclass(frozen=True, slots=True)
class Mover:
    """A symbol or venue and the shares it gained; for a venue also its share of the tier before and after."""

    name: str
    moved: float
    share_before: float | None = None
    share_after: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs between two captures; all movers, the largest move first."""

    before: Entry
    after: Entry
    rows: tuple[RowChange, ...]
    symbols: tuple[Mover, ...]
    venues: tuple[Mover, ...]
    hhi_before: float | None
    hhi_after: float | None
    windows: tuple[windows.Moved, ...] = ()

    def count(self, kind: str) -> int:
        return sum(row.kind == kind for row in self.rows)


ROW_COLUMNS = (
    "change", "symbol", "issue_name", "product_type", "venue_class", "mpid", "firm_crd", "venue_name", "shares_before",
    "shares_after", "trades_before", "trades_after", "notional_before", "notional_after",
)


def row_values(change: RowChange) -> tuple[object, ...]:
    """A changed row under ROW_COLUMNS."""
    key, old, new = change.key, change.before, change.after
    name = (new or old or Figures(0, 0, None, "")).venue_name
    return (
        change.kind, key.symbol, key.issue_name, key.product_type, key.venue_class, key.mpid, key.firm_crd or None, name,
        old and old.shares, new and new.shares, old and old.trades, new and new.trades, old and old.notional,
        new and new.notional,
    )


def compare(db: Database, before: Entry, after: Entry) -> Difference:
    """Compares two captures row by row. Raises UsageError for one that is not normalized."""
    for entry in (before, after):
        if entry.state == UNFINISHED:
            raise UsageError(f"{entry.capture_id} is not normalized, so there is nothing to compare", hint="spine status")
    rows = tuple(_row_changes(db, before.capture_key, after.capture_key))
    keys = before.capture_key, after.capture_key
    shares = [_venue_shares(db, key) for key in keys]
    return Difference(
        before, after, rows, tuple(_movers((row.key.symbol, row.moved) for row in rows)), tuple(_venues(rows, *shares)),
        _hhi(db, keys[0]), _hhi(db, keys[1]), tuple(windows.moved(db, *keys)),
    )


def _row_changes(db: Database, before: int, after: int) -> Iterator[RowChange]:
    """The rows that differ, by key. A venue that was only renamed is one changed row, not one removed and one added."""
    old, new = _not_in(db, after, before), _not_in(db, before, after)
    for key in sorted(old.keys() | new.keys()):
        yield RowChange(key, old.get(key), new.get(key))


class _Row(NamedTuple):
    """A row of _NOT_IN_OTHER."""

    symbol: str
    issue_name: str
    product_type: str
    venue_class: str
    mpid: str
    firm_crd: int
    shares: float
    trades: int
    notional: float | None
    venue_name: str


def _not_in(db: Database, other: int, capture_key: int) -> dict[RowKey, Figures]:
    """The rows of a capture that are missing or different in the other one, by key."""
    rows = map(_Row._make, db.execute(_NOT_IN_OTHER, (other, capture_key)))
    return {_key(row): Figures(row.shares, row.trades, row.notional, row.venue_name) for row in rows}


def _key(row: _Row) -> RowKey:
    unnamed = "" if row.mpid or row.firm_crd else row.venue_name
    return RowKey(row.symbol, row.issue_name, row.product_type, row.venue_class, row.mpid, row.firm_crd, unnamed)


def _movers(moves: Iterable[tuple[str, int]]) -> list[Mover]:
    """Sums per name, the largest move first; what did not move is left out."""
    sums: dict[str, int] = defaultdict(int)
    for name, moved in moves:
        sums[name] += moved
    ordered = sorted(((name, moved) for name, moved in sums.items() if moved), key=lambda pair: (-abs(pair[1]), pair[0]))
    return [Mover(name, whole_or_fraction(moved)) for name, moved in ordered]


def _venues(rows: Iterable[RowChange], before: Mapping[str, float], after: Mapping[str, float]) -> list[Mover]:
    """The venues that moved, with their share of the tier before and after."""
    movers = _movers((_venue(row), row.moved) for row in rows)
    return [Mover(m.name, m.moved, before.get(m.name, 0.0), after.get(m.name, 0.0)) for m in movers]


def _venue(row: RowChange) -> str:
    figures = row.after or row.before
    return _venue_label(row.key.mpid, row.key.firm_crd, figures.venue_name if figures else "")


def _venue_label(mpid: str, firm_crd: int, name: str) -> str:
    """The label of a venue: its MPID, else its CRD number, else its name."""
    return mpid or (f"CRD {firm_crd}" if firm_crd else name)


def _venue_shares(db: Database, capture_key: int) -> dict[str, float]:
    rows = db.execute(
        """
        SELECT v.mpid, v.firm_crd, v.venue_name, m.share FROM finra_otc_transparency_venue_measure m
        JOIN finra_otc_transparency_venue v ON v.venue_id = m.venue_id WHERE m.capture_key = ?
        """,
        (capture_key,),
    )
    return {_venue_label(mpid, firm_crd, name): share or 0.0 for mpid, firm_crd, name, share in rows}


def _hhi(db: Database, capture_key: int) -> float | None:
    measured = db.execute("SELECT hhi FROM finra_otc_transparency_tier_measure WHERE capture_key = ?", (capture_key,))
    (hhi,) = measured.fetchone() or (None,)
    return hhi


# The rows of one capture (second parameter) that are missing or different in the other one (first parameter).
_NOT_IN_OTHER = """
SELECT i.symbol, i.issue_name, i.product_type, v.venue_class, v.mpid, v.firm_crd, a.total_shares, a.total_trades,
       a.total_notional, v.venue_name
FROM finra_otc_transparency_volume a
LEFT JOIN finra_otc_transparency_volume b ON b.capture_key = ? AND b.issue_id = a.issue_id AND b.venue_id = a.venue_id
JOIN finra_otc_transparency_issue i ON i.issue_id = a.issue_id
JOIN finra_otc_transparency_venue v ON v.venue_id = a.venue_id
WHERE a.capture_key = ?
  AND (b.capture_key IS NULL OR a.total_shares <> b.total_shares OR a.total_trades <> b.total_trades
       OR COALESCE(a.total_notional, -1) <> COALESCE(b.total_notional, -1))
"""
