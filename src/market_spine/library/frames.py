"""The columns of a result as typed frames: Arrow, pandas, polars. Each package is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from market_spine.errors import ConfigurationError
from market_spine.query.kinds import Kind, kind_of

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


def arrow_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pyarrow.Table:
    """Dates as date32, times as seconds in UTC, counts as int64, every other figure as the float64 it is stored as."""
    arrow = needed("pyarrow", "parquet")
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
