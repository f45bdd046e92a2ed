"""The control of a partition's firm totals against its symbol rows, and the totals as columns. Pure; millionths of a share.

FINRA publishes every firm's volume in a tier. So the rows of an ATS add up to its total, those of all other firms, the line
'De Minimis Firms' included, to the sum of theirs, and no named firm has more than its total: what is left of a total is hidden in
that line. Totals are used only where all of it holds to the last millionth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from market_spine.categories import Category
from market_spine.errors import PartitionError
from market_spine.measure.measures import ranks
from market_spine.parse.columns import MICRO, Columns, Venue, whole_or_fraction
from market_spine.parse.figures import money, summable
from market_spine.parse.firm_totals import FirmTotal, TotalRow, read

if TYPE_CHECKING:
    from market_spine.db.bulk_sql import Values
    from market_spine.measure.facts import Totals
    from market_spine.parse.weekly_file import WeeklyFile
    from market_spine.partition import Partition

FIRM_TOTAL, SYMBOL_ROWS = "firm_total", "symbol_rows"
_NAMED = 20  # differences in an anomaly's details
_IN_MESSAGE = 3

Sums = Mapping[Venue, int]


class Difference(NamedTuple):
    """Where symbol rows and totals do not agree: of what, and the millionths that each has."""

    what: str
    rows: int
    total: int

    def __str__(self) -> str:
        return f"{self.what}: rows {figure(self.rows)}, total {figure(self.total)}"


class Checked(NamedTuple):
    """A partition's firm totals and what is wrong with them; nothing of either where it has none."""

    totals: tuple[FirmTotal, ...] = ()
    problem: Category | None = None
    message: str = ""
    differences: tuple[Difference, ...] = ()

    @property
    def basis(self) -> str:
        """What the measures of its tier rest on."""
        return FIRM_TOTAL if self.totals and self.problem is None else SYMBOL_ROWS

    @property
    def details(self) -> dict[str, object]:
        """The differences, for machines."""
        named = [{"what": d.what, "rows": figure(d.rows), "total": figure(d.total)} for d in self.differences[:_NAMED]]
        return {"differences": named, "count": len(self.differences)}


def check(file: WeeklyFile, rows: Sequence[TotalRow], partition: Partition) -> Checked:
    """The totals that came with a file's rows, and whether they fit them; lines that were rejected for want of a symbol count."""
    if not rows:
        return Checked()
    try:
        totals = read(rows, partition)
    except PartitionError as error:
        message = f"firm totals are not used: {error.message}"
        return Checked(problem=Category.FIRM_TOTALS_UNUSABLE, message=message)
    different = differences(sums(file.columns, file.nameless), {total.venue: total.shares for total in totals})
    if not different:
        return Checked(totals)
    more = f" and {len(different) - _IN_MESSAGE:,} more" if len(different) > _IN_MESSAGE else ""
    message = f"firm totals differ from the rows: {'; '.join(map(str, different[:_IN_MESSAGE]))}{more}"
    return Checked(totals, Category.FIRM_TOTALS_DIFFER, message, different)


def sums(columns: Columns, nameless: Iterable[tuple[Venue | None, int]] = ()) -> dict[Venue, int]:
    """The shares of each venue's rows and of its lines without a symbol."""
    shares = summable(columns.shares)
    added = np.zeros(len(columns.venues), dtype=shares.dtype)
    np.add.at(added, columns.venue, shares)
    volumes: dict[Venue, int] = {}
    for venue, volume in (*zip(columns.venues, added.tolist(), strict=True), *nameless):
        if venue:
            volumes[venue] = volumes.get(venue, 0) + volume
    return volumes


def differences(rows: Sums, totals: Sums) -> tuple[Difference, ...]:
    """Every disagreement of symbol rows and firm totals, ATSs first. `rows` holds the De Minimis line, too."""
    given, published = _by_firm(rows.items()), _by_firm(totals.items())
    names = {venue.firm: venue.label for venue in (*totals, *rows)}
    firms = sorted((firm for firm in {*given, *published} if firm[0] == "ATS"), key=str)
    compared = [Difference(names[firm], given.get(firm, 0), published.get(firm, 0)) for firm in firms]
    different = [difference for difference in compared if difference.rows != difference.total]
    non_ats = sum(volume for venue, volume in rows.items() if venue.venue_class == "OTC")
    total = sum(volume for venue, volume in totals.items() if venue.venue_class == "OTC")
    if non_ats != total:
        mass = figure(sum(volume for venue, volume in rows.items() if venue.is_de_minimis))
        different.append(Difference(f"firms that are not an ATS (De Minimis {mass})", non_ats, total))
    above = {firm: volume for firm, volume in hidden(rows, totals).items() if volume < 0}
    return (*different, *(Difference(f"{names[firm]} above its total", given[firm], published.get(firm, 0)) for firm in above))


def hidden(rows: Sums, totals: Sums) -> dict[tuple[object, ...], int]:
    """Of each firm that is not an ATS, what its total has beyond the rows that name it. Their sum is the De Minimis line's,
    less what the totals have under that name (until November 2019 they had such a line as well)."""
    named = _by_firm((venue, volume) for venue, volume in rows.items() if _is_named(venue))
    published = _by_firm((venue, volume) for venue, volume in totals.items() if _is_named(venue))
    return {firm: published.get(firm, 0) - named.get(firm, 0) for firm in sorted({*named, *published}, key=str)}


def stored_columns(firms: Totals, totals: Sequence[FirmTotal]) -> dict[str, Values]:
    """The columns of the table of firm totals."""
    tier = sum(firms.shares)
    notional = np.array([total.notional for total in totals], dtype=np.int64)
    return {
        "venue_id": firms.venue_id,
        "total_shares": [whole_or_fraction(shares) for shares in firms.shares],
        "total_trades": [total.trades for total in totals],
        "total_notional": money(notional),
        "share": [shares / tier if tier else None for shares in firms.shares],
        "rank": ranks(firms.shares),
    }


def _is_named(venue: Venue) -> bool:
    return venue.venue_class == "OTC" and not venue.is_de_minimis


def _by_firm(volumes: Iterable[tuple[Venue, int]]) -> dict[tuple[object, ...], int]:
    added: dict[tuple[object, ...], int] = {}
    for venue, volume in volumes:
        added[venue.firm] = added.get(venue.firm, 0) + volume
    return added


def figure(micro: int) -> str:
    """Millionths as a figure, every digit of it."""
    whole, rest = divmod(abs(micro), MICRO)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{'-' if micro < 0 else ''}{whole:,}{fraction}"
