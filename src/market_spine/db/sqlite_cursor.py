"""A cursor whose errors are ours also where they come only as rows are fetched."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any


class TranslatingConnection(sqlite3.Connection):
    """It knows how an error is put in our words."""

    translate: Callable[[Exception], Exception]


class TranslatingCursor(sqlite3.Cursor):
    """A damaged page is met in the middle of an answer, long after the statement began."""

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
