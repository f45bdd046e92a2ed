"""The columns of a result as typed frames: Arrow, pandas, polars. Each package is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from market_spine.errors import ConfigurationError
from market_spine.parse.columns import MICRO, UNKNOWN
from market_spine.query.blocks import VENUES, Block, Blocks, Name
from market_spine.query.kinds import Kind, kind_of

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow
    from numpy.typing import NDArray

_EXACT = 1 << 53  # from here on a float does not hold every integer


def arrow_table(columns: Sequence[str], rows: Collection[Sequence[Any]]) -> pyarrow.Table:
    """Dates as date32, times as seconds in UTC, counts as int64, every other figure as the float64 it is stored as."""
    arrow = needed("pyarrow", "parquet")
    if isinstance(rows, Blocks):
        return _of_blocks(arrow, rows)
    values: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(columns)
    return arrow.table({name: _array(arrow, name, given) for name, given in zip(columns, values, strict=True)})


def _array(arrow: Any, name: str, values: Sequence[Any]) -> Any:
    match kind_of(name):
        case Kind.DATE:
            return arrow.array(values, arrow.string()).cast(arrow.date32())
        case Kind.TIME:
            return arrow.array(values, arrow.string()).cast(arrow.timestamp("s", "UTC"))
        case Kind.FLAG:
            return arrow.array(values, arrow.int8()).cast(arrow.bool_())
        case Kind.COUNT:
            return arrow.array(values, arrow.int64())
        case Kind.SHARES | Kind.FIGURE:
            return arrow.array(values, arrow.float64())
        case _:
            return arrow.array(values, arrow.string())


def _of_blocks(arrow: Any, blocks: Blocks) -> pyarrow.Table:
    """The same table, without making a row: a chunk for each capture, names are taken by their numbers."""
    issues = _in_order(arrow, ("symbol", "issue_name", "product_type"), blocks.issues)
    venues = _in_order(arrow, ("venue_class", "mpid", "firm_crd", "venue_name"), blocks.venues)
    return arrow.concat_tables([_of_block(arrow, block, issues, venues).select(blocks.columns) for block in blocks.blocks])


def _of_block(arrow: Any, block: Block, issues: _Ordered, venues: _Ordered) -> pyarrow.Table:
    import numpy

    pair, shares, trades, notional = (numpy.fromstring(column, numpy.int64, sep=",") for column in block.figures)
    issue, venue, dated = issues.rank[pair // VENUES], venues.rank[pair % VENUES], _numbers_of_dates(block, pair)
    order = numpy.argsort(issue * len(venues.rank) + venue, kind="stable")
    head = {"capture_id": block.capture_id, "week_ending": block.week, "tier": block.tier, "captured_at": block.captured_at}
    columns = {name: arrow.repeat(_array(arrow, name, [value])[0], len(order)) for name, value in head.items()}
    days = dict(zip(("published_on", "revised_on"), zip(block.dates, *block.own_dates.values(), strict=True), strict=True))
    dates = {name: _array(arrow, name, values) for name, values in days.items()}
    for named, numbers in ((issues.names, issue), (venues.names, venue), (dates, dated)):
        at = arrow.array(numbers[order])
        columns |= {name: values.take(at) for name, values in named.items()}
    columns["total_shares"] = arrow.array(_of_millionths(shares[order]))
    columns["total_trades"] = arrow.array(trades[order])
    columns["total_notional"] = arrow.array(_of_millionths(notional[order]), mask=notional[order] == UNKNOWN)
    return arrow.table(columns)


def _of_millionths(micro: NDArray[numpy.int64]) -> NDArray[numpy.float64]:
    """The nearest floats."""
    figures = micro / MICRO
    large = (micro >= _EXACT).nonzero()[0]
    figures[large] = [each / MICRO for each in micro[large].tolist()]  # NumPy would round them twice
    return figures


def _numbers_of_dates(block: Block, pair: NDArray[numpy.int64]) -> NDArray[numpy.int64]:
    """For each row 0 for the dates of most rows, or the number of its own ones."""
    import numpy

    dated = numpy.zeros(len(pair), dtype=numpy.int64)
    if block.own_dates:
        by_pair = pair.argsort()
        dated[by_pair[pair.searchsorted(list(block.own_dates), sorter=by_pair)]] = range(1, len(block.own_dates) + 1)
    return dated


class _Ordered(NamedTuple):
    """The values of issues or venues by rank, as a column each, and the rank by id."""

    names: Mapping[str, Any]
    rank: Any


def _in_order(arrow: Any, columns: Sequence[str], names: Mapping[int, Name]) -> _Ordered:
    import numpy

    rank = numpy.zeros(max(names, default=0) + 1, dtype=numpy.int64)
    rank[list(names)] = [name.rank for name in names.values()]
    values = zip(*(name.values for name in sorted(names.values(), key=lambda name: name.rank)), strict=True)
    return _Ordered({name: _array(arrow, name, given) for name, given in zip(columns, values, strict=True)}, rank)


def pandas_frame(table: pyarrow.Table) -> pandas.DataFrame:
    """Dates become datetime64, counts the nullable Int64."""
    pandas_package, arrow = needed("pandas", "pandas"), needed("pyarrow", "pandas")
    frame: pandas.DataFrame = table.to_pandas(date_as_object=False, types_mapper={arrow.int64(): pandas_package.Int64Dtype()}.get)
    return frame


def polars_frame(table: pyarrow.Table) -> polars.DataFrame:
    frame: polars.DataFrame = needed("polars", "polars").from_arrow(table)
    return frame


def needed(package: str, extra: str) -> Any:
    """A package that is installed with an extra. Raises ConfigurationError."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        hint = f"pip install 'market-spine[{extra}]'"
        raise ConfigurationError(f"this needs {package}, which is not installed", hint=hint) from error
