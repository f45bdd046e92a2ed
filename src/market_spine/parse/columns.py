"""A partition's rows as columns: read from a file, measured, and stored in the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MICRO = 1_000_000
"""Figures are exact integers of millionths: FINRA publishes at most six decimals."""

UNKNOWN = -1
"""Stands for a missing notional among millionths, since no figure is negative."""


EXACT_FRACTIONS = 1 << 33
"""Units up to which floats are dense enough for millionths: from here on they are at least two millionths apart."""


class Issue(NamedTuple):
    """A security as FINRA names it; names that differ in case are different."""

    symbol: str
    issue_name: str
    product_type: str


class Venue(NamedTuple):
    """An ATS by its MPID, or a non-ATS firm by its CRD number; 'De Minimis Firms' has neither."""

    venue_class: str
    mpid: str
    firm_crd: int
    venue_name: str

    @property
    def identity(self) -> tuple[object, ...]:
        """The key of a venue: class, MPID and CRD; the name only where both are blank."""
        has_id = bool(self.mpid or self.firm_crd)
        return (self.venue_class, self.mpid, self.firm_crd, "" if has_id else self.venue_name)

    @property
    def firm(self) -> tuple[object, ...]:
        """What makes it the same firm in symbol rows and firm totals: its class, and the first it has of MPID, CRD and name."""
        return (self.venue_class, self.mpid or self.firm_crd or self.venue_name)

    @property
    def is_de_minimis(self) -> bool:
        """Whether it is the line in which FINRA adds up firms it does not name for a symbol."""
        return not self.mpid and not self.firm_crd and self.venue_name.strip().casefold() == "de minimis firms"

    @property
    def label(self) -> str:
        """What a message calls it."""
        return self.mpid or (f"{self.venue_name} (CRD {self.firm_crd})" if self.firm_crd else self.venue_name)


class RowDates(NamedTuple):
    """The days FINRA declares for a row, YYYY-MM-DD: of its publication and of its last change (the same if it never changed).
    None where the source does not give it: the 8-column download has no day of publication."""

    published_on: str | None
    revised_on: str | None


class Columns(NamedTuple):
    """n rows. `issue`, `venue` and `dated` (n,) index the lists `issues`, `venues` (None where a text was rejected) and `dates`.

    `shares` and `notional` (n,) int64 in millionths, `trades` (n,) int64 in trades; `notional` is None where the file has no
    such column, and UNKNOWN in the rows that leave it blank.
    """

    issues: list[Issue | None]
    venues: list[Venue | None]
    issue: NDArray[np.int32]
    venue: NDArray[np.int32]
    dates: list[RowDates]
    dated: NDArray[np.int32]
    shares: NDArray[np.int64]
    trades: NDArray[np.int64]
    notional: NDArray[np.int64] | None


def whole_or_fraction(micro: int) -> int | float:
    """Millionths as a figure: an int where whole, else the nearest float."""
    whole, rest = divmod(micro, MICRO)
    return micro / MICRO if rest else whole


def millionths(figure: int | float) -> int:
    """A figure as millionths: the inverse of whole_or_fraction, within the precision of a float."""
    if isinstance(figure, int):
        return figure * MICRO
    if figure < EXACT_FRACTIONS:
        return round(figure * MICRO)
    from fractions import Fraction  # a product of more than 53 bits would be rounded a second time

    return round(Fraction(figure) * MICRO)
