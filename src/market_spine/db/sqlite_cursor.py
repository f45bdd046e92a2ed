"""A cursor that translates errors also while rows are fetched."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any


class TranslatingConnection(sqlite3.Connection):
    """A connection with the function that translates an error of the driver into one of ours."""

    translate: Callable[[Exception], Exception]


class TranslatingCursor(sqlite3.Cursor):
    """A damaged page may be read only while rows are fetched, long after `execute` has returned."""

    connection: TranslatingConnection

    def fetchone(self) -> Any:
        try:
            return super().fetchone()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self.connection.translate(error) from error

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self.connection.translate(error) from error

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            yield from iter(super().fetchone, None)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self.connection.translate(error) from error
