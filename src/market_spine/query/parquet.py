"""Rows as Parquet: the type of every column by its name, shares as exact decimals, whatever the engine stores them as."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from itertools import compress, islice
from typing import Any

from market_spine.errors import ConfigurationError
from market_spine.query.kinds import Kind, kind_of

_BATCH = 50_000
_OF_KIND = {
    Kind.COUNT: "BIGINT", Kind.FLAG: "BIGINT", Kind.DATE: "DATE", Kind.SHARES: "DECIMAL(20,6)", Kind.FIGURE: "DOUBLE",
}
# Columns of a lake's own tables; those of the views are in kinds.py.
_OWN = (
    dict.fromkeys(("row_count", "rows", "bytes", "number", "position"), "BIGINT")
    | dict.fromkeys(("run_date", "valid_from", "valid_to", "measured_from", "judged_on"), "DATE")
    | {"has_rows": "BOOLEAN"}
)
_EXACT_IN_MILLIONTHS = 1 << 32  # up to here a float times a million, rounded, is the decimal that it was read from


def check_installed() -> None:
    """Raises ConfigurationError where pyarrow is not installed."""
    _pyarrow()


def write(
    file: Any, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, but: Sequence[str] = (), group_rows: int = _BATCH
) -> int:
    """Writes the rows to an open file, without the columns `but`, in row groups of that size; returns how many there were."""
    arrow = _pyarrow()
    from pyarrow.parquet import ParquetWriter

    in_file = [name not in but for name in columns]
    schema = arrow.schema([(name, _type(arrow, name)) for name in compress(columns, in_file)])
    left, count = iter(rows), 0
    with ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(left, _BATCH)):
            turned = compress(zip(*batch, strict=True), in_file)
            arrays = [_array(arrow, field.type, values) for field, values in zip(schema, turned, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema), row_group_size=group_rows)
            count += len(batch)
    return count


def write_table(file: Any, table: Any, group_rows: int) -> None:
    """Writes an Arrow table to an open file, in row groups of that size."""
    from pyarrow import parquet

    parquet.write_table(table, file, row_group_size=group_rows, compression="zstd")


def array(name: str, values: Sequence[Any]) -> Any:
    """The values of a column, in Arrow."""
    arrow = _pyarrow()
    return _array(arrow, _type(arrow, name), values)


def type_name(column: str) -> str:
    """The type of a column, in SQL."""
    return _OWN.get(column) or _OF_KIND.get(kind_of(column), "VARCHAR")


def _type(arrow: Any, name: str) -> Any:
    types = {
        "DECIMAL(20,6)": arrow.decimal128(20, 6), "BIGINT": arrow.int64(), "DATE": arrow.date32(), "BOOLEAN": arrow.bool_(),
        "DOUBLE": arrow.float64(), "VARCHAR": arrow.string(),
    }
    return types[type_name(name)]


def _array(arrow: Any, type_: Any, values: Sequence[Any]) -> Any:
    if arrow.types.is_decimal(type_):
        return _decimals(arrow, type_, values)
    if arrow.types.is_date(type_):
        values = [date.fromisoformat(value) if isinstance(value, str) else value for value in values]
    if arrow.types.is_floating(type_):
        values = [None if value is None else float(value) for value in values]
    if arrow.types.is_boolean(type_):
        values = [None if value is None else bool(value) for value in values]
    return arrow.array(values, type_)


def _decimals(arrow: Any, type_: Any, values: Sequence[Any]) -> Any:
    """Decimals of six places: two 64-bit words each, made of whole millionths where these are exact."""
    import numpy as np

    floats = np.array([np.nan if value is None else value for value in values], np.float64)
    is_null = np.isnan(floats)
    if np.abs(floats[~is_null]).max(initial=0) >= _EXACT_IN_MILLIONTHS:
        millionth = Decimal("0.000001")
        return arrow.array([None if value is None else Decimal(repr(value)).quantize(millionth) for value in values], type_)
    low = np.rint(np.where(is_null, 0, floats) * 1e6).astype("<i8")
    words = np.column_stack((low, low >> 63)).astype("<i8")
    validity = np.packbits(~is_null, bitorder="little").tobytes() if is_null.any() else None
    buffers = [validity if validity is None else arrow.py_buffer(validity), arrow.py_buffer(words.tobytes())]
    return arrow.Array.from_buffers(type_, len(values), buffers)


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigurationError(
            "parquet needs pyarrow, which is not installed", hint="pip install 'market-spine[parquet]', or --format csv"
        ) from error
    return pyarrow
