"""Rows as the bytes of an SQLite database, laid out with NumPy: one statement reads them all, and no value is bound.

The layout is that of https://www.sqlite.org/fileformat2.html, reduced to what such rows need: every cell of the table has the
same width, so that a page is an array. The only table is `rows`, with the columns `a`, `b`, `c`, …
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from string import ascii_lowercase
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Column = NDArray[np.int64] | NDArray[np.float64]

MOST_ROWS = 1 << 20  # more would need wider row numbers
MOST_COLUMNS = 13  # more would need two bytes for the length of the CREATE TABLE statement, and then of a row
_LARGEST, _EXACT = (1 << 63) - 1, 1 << 53  # the largest integer; from the second on, a double does not hold every integer
_PAGE = 1 << 16
_LEAF, _INTERIOR = 13, 5
_FIRST_ROWID = 1 << 14  # from here to 2,097,151 a row number takes three bytes
_ROOT = 2
_INT8, _INT32, _INT64, _DOUBLE = 1, 4, 6, 7  # serial types: how a value is written
_DTYPE = {_INT32: ">i4", _INT64: ">i8", _DOUBLE: ">f8"}


def names(count: int) -> str:
    """The columns of `rows`, as written in a statement."""
    return ", ".join(ascii_lowercase[:count])


class Unsuitable(ValueError):
    """Rows that this layout cannot hold exactly; they are bound instead."""


def plain(values: NDArray[np.generic]) -> Column:
    """A column of integers or doubles; objects are figures and become doubles. Raises Unsuitable where a value would change."""
    kind = values.dtype.kind
    if kind in "biu" and (kind != "u" or values.max(initial=0) <= _LARGEST):
        return values.astype(np.int64, copy=False)
    if kind == "f" and values.itemsize <= 8:
        return values.astype(np.float64, copy=False)
    if kind == "O" and {*map(type, values.tolist())} <= {int, float, type(None)}:
        try:
            doubles = values.astype(np.float64)
        except OverflowError as error:
            raise Unsuitable("integers larger than any double") from error
        if not (np.abs(doubles) >= _EXACT).any():
            return doubles
    raise Unsuitable(f"{values.dtype} values that are neither 64-bit integers nor doubles")


def image(columns: Sequence[Column]) -> Bytes:
    """A complete database whose table `rows` holds the columns (n,), n up to MOST_ROWS, of integers and doubles; NaN is NULL.

    Raises Unsuitable for rows that are too many, too wide, or none.
    """
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or not 1 <= min(lengths) <= MOST_ROWS:
        raise Unsuitable(f"columns of {sorted(lengths)} rows")
    if len(columns) > MOST_COLUMNS:
        raise Unsuitable(f"rows of {len(columns)} columns")
    cells = _cells(columns)
    count, width = cells.shape
    rows_a_page = (_PAGE - 8) // (width + 2)
    leaves = [_page(_LEAF, cells[start : start + rows_a_page]) for start in range(0, count, rows_a_page)]
    root = [_root(len(leaves), rows_a_page)] if len(leaves) > 1 else []
    return np.concatenate([_schema(len(columns), 1 + len(root + leaves)), *root, *leaves])


def _cells(columns: Sequence[Column]) -> Bytes:
    """(n, width): payload length, row number, record header, values."""
    types = [_serial_type(column) for column in columns]
    header = bytes([1 + len(types), *types])
    values = [(name, _DTYPE[serial]) for name, serial in zip(ascii_lowercase, types, strict=False)]
    layout = np.dtype([("length", "u1"), ("rowid", "V3"), ("header", f"V{len(header)}"), *values])
    cells = np.empty(len(columns[0]), dtype=layout)
    cells["length"] = layout.itemsize - 4  # the payload: without the length byte and the three of the row number
    cells["rowid"] = _rowids(len(cells))
    cells["header"] = np.void(header)
    for (name, _), column in zip(values, columns, strict=True):
        cells[name] = column
    return cells.view(np.uint8).reshape(len(cells), -1)


def _serial_type(column: Column) -> int:
    if column.dtype.kind == "f":
        return _DOUBLE
    limits = np.iinfo(np.int32)  # the narrower type halves the bytes to write and to read
    return _INT32 if limits.min <= column.min(initial=0) and column.max(initial=0) <= limits.max else _INT64


@lru_cache(maxsize=4)
def _rowids(count: int) -> NDArray[np.void]:
    """(n,): row numbers of fifteen to twenty-one bits, seven per byte; the highest bit means that another byte follows."""
    # A varint holds 7 bits per byte, most significant first: from 1 << 14 to 2,097,151 it always has three bytes, so every
    # cell has the same width, which lets a page be an array.
    numbers = _FIRST_ROWID + np.arange(count)
    rowids = np.stack([0x80 | numbers >> 14, 0x80 | numbers >> 7 & 0x7F, numbers & 0x7F], axis=1).astype(np.uint8)
    return rowids.view("V3").ravel()


def _page(kind: int, cells: Bytes, *, before: bytes = b"", after: bytes = b"") -> Bytes:
    """A page: `before`, the page header, `after`, a pointer to each cell; the cells fill it from its end."""
    count, width = cells.shape
    start = _PAGE - cells.size
    head = before + bytes([kind, 0, 0, *count.to_bytes(2, "big"), *start.to_bytes(2, "big"), 0]) + after
    pointers = _pointers(count, width)
    page = np.zeros(_PAGE, dtype=np.uint8)
    page[: len(head)] = np.frombuffer(head, np.uint8)
    page[len(head) : len(head) + len(pointers)] = pointers
    page[start:] = cells.reshape(-1)
    return page


@lru_cache(maxsize=8)
def _pointers(count: int, width: int) -> Bytes:
    """The offsets of `count` cells that fill a page from its end."""
    return (_PAGE - width * np.arange(count, 0, -1)).astype(">u2").view(np.uint8)


def _root(leaves: int, rows_a_page: int) -> Bytes:
    """The interior page: a pointer to each leaf, for all but the last with the number of its last row."""
    cells = np.empty(leaves - 1, dtype=[("leaf", ">u4"), ("last", "V3")])
    cells["leaf"] = _ROOT + 1 + np.arange(leaves - 1)
    cells["last"] = _rowids(leaves * rows_a_page)[rows_a_page - 1 :: rows_a_page][:-1]
    return _page(_INTERIOR, cells.view(np.uint8).reshape(leaves - 1, -1), after=(_ROOT + leaves).to_bytes(4, "big"))


def _schema(columns: int, pages: int) -> Bytes:
    """The first page: the database's header, and the one row of sqlite_schema.

    A prepared statement keeps the page of the table's root and is run for one image after the other. It stays valid, since
    the root is the same in all; and when the schema cookie differs, which is the number of columns, SQLite prepares it again.
    """
    statement = f"CREATE TABLE rows({names(columns)})".encode()
    texts = [b"table", b"rows", b"rows", statement]
    kinds = [13 + 2 * len(text) for text in texts]
    record = bytes([6, *kinds[:3], _INT8, kinds[3]]) + b"".join(texts[:3]) + bytes([_ROOT]) + statement
    cell = bytes([len(record), 1]) + record
    before = b"".join(
        (
            b"SQLite format 3\0",
            bytes([0, 1, 1, 1, 0, 64, 32, 32]),  # 65,536-byte pages, a rollback journal, nothing reserved
            _words(1, pages, 0, 0, columns, 4, 0, 0, 1),  # change counter, size, …, schema cookie and format, …, UTF-8
            bytes(32),
            _words(1, 3_040_000),
        )
    )
    return _page(_LEAF, np.frombuffer(cell, np.uint8).reshape(1, -1), before=before)


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)
