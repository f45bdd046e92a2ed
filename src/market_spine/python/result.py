"""What a query returned, as it was at one moment: rows and frames, and what they rest on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from market_spine.process import collector_paused
from market_spine.python.frames import arrow_table, pandas_frame, polars_frame
from market_spine.query.sources import Source

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


class Readiness(NamedTuple):
    """Whether a week of a tier was ready; `blocking_issues` says what blocked it."""

    week_ending: str
    tier: str
    is_ready: bool
    blocking_issues: str | None


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What a query returned, read completely.

    - `query`: how it was asked for; `columns`: the names of its columns
    - `captures`: what its rows rest on, each with `capture_id`, `week_ending`, `tier`, `captured_at` and `content_hash`
    - `readiness`: of each week and tier it rests on or left out, `is_ready` and `blocking_issues`
    - `as_of`: the day asked for, or None; `seen_at`: when it was read (UTC)
    - `basis`: `observed` where days are those on which the store held the figures; of releases of `volume`, what their rows say
    - `checkpoint`: the end of the log of events at that moment; `pruned`: captures that were left out because they were pruned

    >>> result = store.venue_share(tier="T1", week="2025-12-26").latest()
    >>> len(result), result.captures[0].capture_id, result.readiness[0].is_ready, result.basis
    (44, 'finra.otc_transparency:NMS_TIER_1:2025-12-26:20260130', True, 'observed')
    """

    query: str
    columns: tuple[str, ...]
    captures: tuple[Source, ...]
    readiness: tuple[Readiness, ...]
    as_of: date | None
    basis: str
    seen_at: str
    checkpoint: str | None
    pruned: tuple[str, ...]
    _rows: Collection[tuple[Any, ...]] = field(compare=False)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        blocked = sum(not each.is_ready for each in self.readiness)
        state = f", {blocked} partitions not ready" if blocked else ""
        return f"<{self.query}: {len(self):,} rows of {len(self.captures)} captures{state}>"

    def rows(self) -> list[Any]:
        """The rows as named tuples, in the order and with the values of `spine query`: dates and times are text, NULL is None.

        >>> store.hhi(tier="T1", week="2025-12-26").latest().rows()[0].week_ending
        '2025-12-26'
        """
        with collector_paused():
            return list(self._rows)

    def to_arrow(self) -> pyarrow.Table:
        """An Arrow table: dates as `date32`, times as `timestamp[s, UTC]`, counts as `int64`, texts as `string`, all other
        figures as `double`, which is how they are stored. A column has the same type whatever it holds.

        Raises `ConfigurationError` where pyarrow is not installed; the extra `parquet` has it.

        >>> store.hhi(tier="OTC").latest().to_arrow().schema.field("week_ending").type
        DataType(date32[day])
        """
        return arrow_table(self.columns, self._rows)

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas data frame: dates become `datetime64`, counts the nullable `Int64`.

        Raises `ConfigurationError` where pandas or pyarrow is not installed; the extra `pandas` has both.

        >>> store.hhi(tier="OTC").latest().to_pandas()[["week_ending", "hhi", "venue_count"]].head(2)
          week_ending       hhi  venue_count
        0  2025-12-05  0.529878            9
        1  2025-12-12  0.499902            8
        """
        return pandas_frame(self.to_arrow())

    def to_polars(self) -> polars.DataFrame:
        """A polars data frame, with the types of the Arrow table.

        Raises `ConfigurationError` where polars or pyarrow is not installed; the extra `polars` has both.

        >>> store.hhi(tier="OTC").latest().to_polars().select("week_ending", "venue_count").head(2).rows()
        [(datetime.date(2025, 12, 5), 9), (datetime.date(2025, 12, 12), 8)]
        """
        return polars_frame(self.to_arrow())
