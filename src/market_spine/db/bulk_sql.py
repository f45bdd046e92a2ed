"""The text of bulk writes: INSERT statements for SQLite, COPY lines for PostgreSQL. Names come from our schema only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = tuple[Any, ...]
Values: TypeAlias = "list[Any] | NDArray[Any]"  # a column of rows; NaN in an array stands for NULL
VALUES_ROWS = 50  # rows in one INSERT; twice as fast as executemany, no gain beyond


@lru_cache(maxsize=64)
def insert(table: str, columns: tuple[str, ...], rows: int) -> str:
    one = "(" + ",".join("?" * len(columns)) + ")"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {','.join([one] * rows)}"


@lru_cache(maxsize=64)
def insert_or_ignore(table: str, columns: tuple[str, ...], rows: int) -> str:
    return insert(table, columns, rows) + " ON CONFLICT DO NOTHING"


def insert_new(table: str, columns: Sequence[str], rows: Sequence[Row], key: str, rows_at_once: int) -> Iterator[tuple[str, Row]]:
    """Statements with their parameters that insert `rows`, skipping those whose key already exists; each returns the rows it
    inserted, with their number (`key`) first."""
    for start in range(0, len(rows), rows_at_once):
        batch = rows[start : start + rows_at_once]
        statement = insert(table, tuple(columns), len(batch)) + f" ON CONFLICT DO NOTHING RETURNING {key}, {', '.join(columns)}"
        yield statement, tuple(chain.from_iterable(batch))


@lru_cache(maxsize=64)
def insert_columns(table: str, constants: tuple[str, ...], columns: tuple[str, ...], rows: int) -> str:
    """Numbered parameters: the constants first, then row by row the columns."""
    fixed = [f"?{n + 1}" for n in range(len(constants))]
    numbers = iter(range(len(constants) + 1, len(constants) + 1 + rows * len(columns)))
    values = (",".join([*fixed, *(f"?{next(numbers)}" for _ in columns)]) for _ in range(rows))
    return f"INSERT INTO {table} ({', '.join((*constants, *columns))}) VALUES ({'),('.join(values)})"


def insert_selected(table: str, constants: tuple[str, ...], columns: tuple[str, ...], selected: str) -> str:
    """Rows selected from elsewhere, each with the constants before it."""
    fixed = "".join("?, " for _ in constants)
    return f"INSERT INTO {table} ({', '.join((*constants, *columns))}) SELECT {fixed}{selected}"


def listed(values: Values) -> list[Any]:
    """A column as Python values."""
    if isinstance(values, list):
        return values
    items: list[Any] = values.tolist()
    return [None if item != item else item for item in items] if values.dtype.kind == "f" else items


@lru_cache(maxsize=512)
def to_format(sql: str) -> str:
    """Our `?` text as psycopg's `%s` text."""
    return sql.replace("%", "%%").replace("?", "%s")


def nulls(values: list[Any]) -> list[Any]:
    """A column of figures with None as COPY writes it."""
    return [r"\N" if value is None else value for value in values] if None in values else values


def copy_fields(row: Row) -> Row:
    """A row's values as COPY reads them."""
    return tuple(map(_copy_field, row))


def _copy_field(value: Any) -> Any:
    if value is None:
        return r"\N"
    if isinstance(value, str):
        return _escape(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, bytes):
        return r"\\x" + value.hex()
    return value


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
