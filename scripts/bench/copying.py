"""A bare COPY into PostgreSQL: `copying.py files|rows URL FILE…`; `copying.py normalize OUT FILE…` makes the rows.

`copying.py keyed|unkeyed URL ROWS` copies the second of two weeks into a table that has the first, and reports that alone."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 20
_COLUMNS = "week integer, issue integer, venue integer, shares numeric, trades bigint"


def copy_files(url: str, files: Sequence[str]) -> None:
    """The files as they are, a transaction each, into one table with the key ours has."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE weekly (tier text, symbol text, issue_name text, venue_name text, mpid text, shares numeric,"
            " trades bigint, updated date, PRIMARY KEY (updated, symbol, mpid))"
        )
        for file in files:
            _copy(
                connection,
                "COPY weekly FROM STDIN (FORMAT csv, DELIMITER '|', QUOTE E'\\b', HEADER)",
                io.BytesIO(Path(file).read_bytes()),
            )


def copy_rows(url: str, files: Sequence[str]) -> None:
    """Rows of numbers into one table without a key."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE volume ({_COLUMNS})")
        for file in files:
            _copy(connection, "COPY volume FROM STDIN", io.BytesIO(Path(file).read_bytes()))


def copy_keyed(url: str, files: Sequence[str]) -> None:
    """The second week's rows, after the first one's, into a table with the columns and the key of ours."""
    _copy_one(url, files, ", PRIMARY KEY (week, issue, venue)")


def copy_unkeyed(url: str, files: Sequence[str]) -> None:
    """The same without a key."""
    _copy_one(url, files, "")


def _copy_one(url: str, files: Sequence[str], key: str) -> None:
    import psycopg

    from bench.within import reported

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE volume ({_COLUMNS}{key})")
        rows = Path(files[0]).read_bytes()
        second = rows.index(b"\n1\t") + 1
        _copy(connection, "COPY volume FROM STDIN", io.BytesIO(rows[:second]))
    with reported(), psycopg.connect(url, autocommit=True) as connection:
        _copy(connection, "COPY volume FROM STDIN", io.BytesIO(rows[second:]))


def normalize(out: str, files: Sequence[str]) -> None:
    """Numbers for the names, in the order they come."""
    issues: dict[tuple[str, str], int] = {}
    venues: dict[str, int] = {}
    with Path(out).open("w", encoding="utf-8") as rows:
        for week, file in enumerate(files):
            for line in Path(file).read_text("utf-8").splitlines()[1:]:
                _, symbol, name, venue, _, shares, trades, _ = line.split("|")
                issue_id = issues.setdefault((symbol, name), len(issues))
                rows.write(f"{week}\t{issue_id}\t{venues.setdefault(venue, len(venues))}\t{shares}\t{trades}\n")


def _copy(connection: object, statement: str, content: BinaryIO) -> None:
    with content, connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
        while chunk := content.read(_CHUNK):
            copy.write(chunk)


if __name__ == "__main__":
    ways = {"files": copy_files, "rows": copy_rows, "keyed": copy_keyed, "unkeyed": copy_unkeyed, "normalize": normalize}
    ways[sys.argv[1]](sys.argv[2], sys.argv[3:])
