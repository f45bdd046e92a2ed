"""The columns of a result as typed frames: Arrow, pandas, polars. Each package is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from market_spine.errors import ConfigurationError
from market_spine.query.blocks import Blocks, Name
from market_spine.query.kinds import Kind, kind_of

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


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
        case Kind.TEXT:
            return arrow.array(values, arrow.string())
        case Kind.COUNT:
            return arrow.array(values, arrow.int64())
        case _:
            return arrow.array(values, arrow.float64())


def _of_blocks(arrow: Any, blocks: Blocks) -> pyarrow.Table:
    """The same table, without making a row: names are put in place by their numbers, and so are the days of a row."""
    import numpy

    of_issue, of_venue = (_in_order(names) for names in (blocks.issues, blocks.venues))
    days = list(dict.fromkeys(pair for block in blocks.blocks for pair in (block.dates, *block.own_dates.values())))
    number_of_days = {pair: number for number, pair in enumerate(days)}
    parts = []
    for number, block in enumerate(blocks.blocks):
        facts = numpy.array(block.facts, dtype=numpy.float64).reshape(-1, 5)  # exact: every figure is stored within 2**53
        issue, venue = of_issue.rank[facts[:, 0].astype(int)], of_venue.rank[facts[:, 1].astype(int)]
        dated = numpy.full(len(facts), number_of_days[block.dates])
        if block.own_dates:
            at = {(issue_id, venue_id): n for n, (issue_id, venue_id, *_) in enumerate(block.facts)}
            dated[[at[key] for key in block.own_dates]] = [number_of_days[pair] for pair in block.own_dates.values()]
        order = numpy.argsort(issue * len(of_venue.values) + venue, kind="stable")
        parts.append((numpy.full(len(facts), number), *(values[order] for values in (issue, venue, dated, *facts.T[2:]))))
    captured, issue, venue, dated, shares, trades, notional = (numpy.concatenate(each) for each in zip(*parts, strict=True))
    heads = [(block.capture_id, block.week, block.tier, block.captured_at) for block in blocks.blocks]
    columns = {name: (captured, values) for name, values in _named(("capture_id", "week_ending", "tier", "captured_at"), heads)}
    columns |= {name: (issue, values) for name, values in _named(("symbol", "issue_name", "product_type"), of_issue.values)}
    columns |= {n: (venue, values) for n, values in _named(("venue_class", "mpid", "firm_crd", "venue_name"), of_venue.values)}
    columns |= {name: (dated, values) for name, values in _named(("published_on", "revised_on"), days)}
    made = {name: _array(arrow, name, values).take(arrow.array(at)) for name, (at, values) in columns.items()}
    made |= {"total_shares": arrow.array(shares), "total_trades": arrow.array(trades.astype(numpy.int64))}
    made["total_notional"] = arrow.array(notional, from_pandas=True)
    return arrow.table({name: made[name] for name in blocks.columns})


class _Ordered(NamedTuple):
    """The values of issues or venues by rank, and the rank by id."""

    values: list[tuple[Any, ...]]
    rank: Any


def _in_order(names: Mapping[int, Name]) -> _Ordered:
    import numpy

    rank = numpy.zeros(max(names, default=0) + 1, dtype=numpy.int64)
    for number, name in names.items():
        rank[number] = name.rank
    return _Ordered([name.values for name in sorted(names.values(), key=lambda name: name.rank)], rank)


def _named(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Iterable[tuple[str, Sequence[Any]]]:
    return zip(columns, zip(*rows, strict=True), strict=True)


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
