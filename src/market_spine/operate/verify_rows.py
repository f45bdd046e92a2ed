"""Whether the rows, dates and firm totals of a capture are those of its stored bytes, field by field: `spine verify --deep`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from market_spine.core.captures import Capture
from market_spine.db import Database
from market_spine.parse.columns import MICRO, UNKNOWN, RowDates, Venue, millionths, whole_or_fraction

if TYPE_CHECKING:
    from market_spine.app.content import Reading
    from market_spine.measure.firm_totals import Checked
    from market_spine.parse.columns import Columns


def differences(db: Database, capture: Capture, reading: Reading) -> Iterator[str]:
    """What the tables hold otherwise than the bytes that were read."""
    kept = {row.figures: row.dates for row in map(_Held._make, db.execute(_ROWS, (capture.capture_key,)))}
    read_rows = _rows_of(reading.file.columns)
    if different := len(read_rows.keys() ^ kept.keys()):
        yield f"{different:,} rows are not those of its bytes"
    if dated := sum(kept.get(row, dates) != dates for row, dates in read_rows.items()):
        yield f"{dated:,} rows have other dates than in its bytes"
    yield from _kept_totals(db, capture, reading.firm_totals)


def _kept_totals(db: Database, capture: Capture, checked: Checked) -> Iterator[str]:
    """The firm totals are those read, and the capture rests on what they allow."""
    rows = map(_FirmTotal._make, db.execute(_FIRM_TOTALS, (capture.capture_key,)))
    named = ((Venue(row.venue_class, row.mpid, row.firm_crd, row.venue_name), row) for row in rows)
    kept = {(venue.firm, _micro(row.shares), row.trades, _micro(row.notional)) for venue, row in named}
    of_bytes = {
        (total.venue.firm, millionths(whole_or_fraction(total.shares)), total.trades, _stored_money(total.notional))
        for total in checked.totals
    }
    if different := len(kept ^ of_bytes):
        yield f"{different:,} firm totals are not those of its bytes"
    (basis,) = db.execute(_BASIS, (capture.capture_key,)).fetchone()
    if basis not in (None, checked.basis):
        yield f"rests on {basis}, by its bytes on {checked.basis}"


class _FirmTotal(NamedTuple):
    """A row of _FIRM_TOTALS."""

    venue_class: str
    mpid: str
    firm_crd: int
    venue_name: str
    shares: float
    trades: int
    notional: float | None


def _stored_money(micro: int) -> int:
    """Millionths of a notional as they come back from a table."""
    return UNKNOWN if micro == UNKNOWN else millionths(micro / MICRO)


class _Held(NamedTuple):
    """A row of _ROWS."""

    symbol: str
    issue_name: str
    product_type: str
    venue_class: str
    mpid: str
    firm_crd: int
    venue_name: str
    shares: float
    trades: int
    notional: float | None
    published_on: str | None
    revised_on: str | None

    @property
    def figures(self) -> tuple[object, ...]:
        """What the row is of and its figures, in millionths."""
        return (
            self.symbol, self.issue_name, self.product_type, self.venue_class, self.mpid, self.firm_crd, self.venue_name,
            millionths(self.shares), self.trades, _micro(self.notional),
        )

    @property
    def dates(self) -> RowDates:
        return RowDates(self.published_on, self.revised_on)


def _rows_of(columns: Columns) -> dict[tuple[object, ...], RowDates]:
    """A file's rows as the tables hold them → their dates."""
    from market_spine.parse.figures import as_stored

    notional = [UNKNOWN] * len(columns.shares) if columns.notional is None else as_stored(columns.notional).tolist()
    of_file = (columns.issue, columns.venue, columns.dated, as_stored(columns.shares), columns.trades)
    return {
        (*(columns.issues[i] or ()), *(columns.venues[v] or ()), shares, trades, money): columns.dates[dated]
        for i, v, dated, shares, trades, money in zip(*(column.tolist() for column in of_file), notional, strict=True)
    }


def _micro(value: float | None) -> int:
    return UNKNOWN if value is None else millionths(value)


_ROWS = """
SELECT i.symbol, i.issue_name, i.product_type, v.venue_class, v.mpid, v.firm_crd, v.venue_name, f.total_shares, f.total_trades,
       f.total_notional, CASE WHEN d.capture_key IS NULL THEN c.published_on ELSE d.published_on END,
       CASE WHEN d.capture_key IS NULL THEN c.revised_on ELSE d.revised_on END
FROM finra_otc_transparency_volume f
JOIN finra_otc_transparency_capture c ON c.capture_key = f.capture_key
JOIN finra_otc_transparency_issue i ON i.issue_id = f.issue_id
JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id
LEFT JOIN finra_otc_transparency_row_date d
    ON d.capture_key = f.capture_key AND d.issue_id = f.issue_id AND d.venue_id = f.venue_id
WHERE f.capture_key = ?
"""
_BASIS = "SELECT basis FROM finra_otc_transparency_capture WHERE capture_key = ?"
_FIRM_TOTALS = """
SELECT v.venue_class, v.mpid, v.firm_crd, v.venue_name, f.total_shares, f.total_trades, f.total_notional
FROM finra_otc_transparency_firm_total f JOIN finra_otc_transparency_venue v ON v.venue_id = f.venue_id WHERE f.capture_key = ?
"""
