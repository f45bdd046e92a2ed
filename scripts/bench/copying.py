"""A bare COPY into PostgreSQL: `copying.py files|rows URL FILE…`; `copying.py normalize OUT FILE…` makes the rows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_CHUNK = 1 << 20


def copy_files(url: str, files: Sequence[str]) -> None:
    """The files as they are, a transaction each, into one table with the key ours has."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE weekly (tier text, symbol text, issue_name text, venue_name text, mpid text, shares numeric,"
            " trades bigint, updated date, PRIMARY KEY (updated, symbol, mpid))"
        )
        for file in files:
            _copy(connection, "COPY weekly FROM STDIN (FORMAT csv, DELIMITER '|', QUOTE E'\\b', HEADER)", file)


def copy_rows(url: str, files: Sequence[str]) -> None:
    """Rows of numbers into one table without a key."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE volume (week integer, issue integer, venue integer, shares numeric, trades bigint)")
        for file in files:
            _copy(connection, "COPY volume FROM STDIN", file)


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


def _copy(connection: object, statement: str, file: str) -> None:
    with Path(file).open("rb") as content, connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
        while chunk := content.read(_CHUNK):
            copy.write(chunk)


if __name__ == "__main__":
    sys.path.pop(0)
    {"files": copy_files, "rows": copy_rows, "normalize": normalize}[sys.argv[1]](sys.argv[2], sys.argv[3:])
