"""What others would write to load the same files: one small program each, run as `loaders.py NAME FOLDER FILE…`.

Each makes FOLDER/loaded.db and prints nothing. They are written as their own manuals teach, not slowed down.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COLUMNS = (
    "tierDescription",
    "issueSymbolIdentifier",
    "issueName",
    "marketParticipantName",
    "MPID",
    "totalWeeklyShareQuantity",
    "totalWeeklyTradeCount",
    "lastUpdateDate",
)


def pandas_to_sql(db: Path, files: list[str]) -> None:
    """read_csv and to_sql, a transaction a file."""
    import sqlite3

    import pandas

    connection = sqlite3.connect(db)
    for file in files:
        frame = pandas.read_csv(file, sep="|", quoting=3, keep_default_na=False)
        frame.to_sql("weekly", connection, if_exists="append", index=False)
    connection.close()


def dlt_dicts(db: Path, files: list[str]) -> None:
    """A resource that yields dictionaries."""
    import csv

    import dlt

    def weekly() -> Iterator[dict[str, Any]]:
        for file in files:
            with open(file, encoding="utf-8", newline="") as lines:  # noqa: PTH123
                for row in csv.DictReader(lines, delimiter="|", quoting=csv.QUOTE_NONE):
                    row["totalWeeklyShareQuantity"] = float(row["totalWeeklyShareQuantity"])
                    row["totalWeeklyTradeCount"] = int(row["totalWeeklyTradeCount"])
                    yield row

    _dlt_run(db, dlt.resource(weekly, name="weekly", write_disposition="append"))


def dlt_arrow(db: Path, files: list[str]) -> None:
    """A resource that yields an Arrow table a file."""
    import dlt
    from pyarrow import csv

    options = csv.ParseOptions(delimiter="|", quote_char=False)

    def weekly() -> Iterator[Any]:
        for file in files:
            yield csv.read_csv(file, parse_options=options)

    _dlt_run(db, dlt.resource(weekly, name="weekly", write_disposition="append"))


def _dlt_run(db: Path, resource: Any) -> None:
    import dlt

    destination = dlt.destinations.sqlalchemy(f"sqlite:///{db}")
    dlt.pipeline("weekly", pipelines_dir=str(db.parent / "dlt"), destination=destination, dataset_name="main").run(resource)


def duckdb_measures(db: Path, files: list[str]) -> None:
    """Loads each file and computes our measures of it, one transaction a partition."""
    import duckdb

    connection = duckdb.connect(str(db))
    connection.execute(_DUCKDB_TABLES)
    for number, file in enumerate(files):
        connection.execute("BEGIN")
        connection.execute(_DUCKDB_ROWS, [number, file])
        for measure in (_DUCKDB_VENUES, _DUCKDB_SYMBOLS, _DUCKDB_TIER):
            connection.execute(measure, {"capture": number})
        connection.execute("COMMIT")
    connection.close()


_DUCKDB_TABLES = """
CREATE TABLE weekly (capture INTEGER, symbol VARCHAR, issue_name VARCHAR, venue_name VARCHAR, mpid VARCHAR,
    shares DOUBLE, trades BIGINT, updated DATE);
CREATE TABLE venue (capture INTEGER, mpid VARCHAR, venue_name VARCHAR, shares DOUBLE, trades BIGINT, symbols BIGINT,
    share DOUBLE, rank BIGINT);
CREATE TABLE symbol (capture INTEGER, symbol VARCHAR, shares DOUBLE, ats_shares DOUBLE, trades BIGINT, venues BIGINT, hhi DOUBLE);
CREATE TABLE tier (capture INTEGER, shares DOUBLE, ats_shares DOUBLE, trades BIGINT, symbols BIGINT, venues BIGINT, hhi DOUBLE);
"""
_DUCKDB_ROWS = """
INSERT INTO weekly SELECT ?, issueSymbolIdentifier, issueName, marketParticipantName, MPID, totalWeeklyShareQuantity,
    totalWeeklyTradeCount, lastUpdateDate
FROM read_csv(?, delim = '|', quote = '', header = true, columns = {'tierDescription': 'VARCHAR',
    'issueSymbolIdentifier': 'VARCHAR', 'issueName': 'VARCHAR', 'marketParticipantName': 'VARCHAR', 'MPID': 'VARCHAR',
    'totalWeeklyShareQuantity': 'DOUBLE', 'totalWeeklyTradeCount': 'BIGINT', 'lastUpdateDate': 'DATE'})
"""
_DUCKDB_VENUES = """
INSERT INTO venue SELECT $capture, mpid, venue_name, sum(shares), sum(trades), count(DISTINCT symbol),
    sum(shares) / sum(sum(shares)) OVER (), rank() OVER (ORDER BY sum(shares) DESC)
FROM weekly WHERE capture = $capture GROUP BY mpid, venue_name
"""
_DUCKDB_SYMBOLS = """
INSERT INTO symbol SELECT $capture, symbol, sum(shares), sum(shares) FILTER (mpid IS NOT NULL), sum(trades), count(*),
    sum(shares * shares) / (sum(shares) * sum(shares))
FROM weekly WHERE capture = $capture GROUP BY symbol
"""
_DUCKDB_TIER = """
INSERT INTO tier SELECT $capture, any_value(w.shares), any_value(w.ats_shares), any_value(w.trades), any_value(w.symbols),
    count(*), sum(v.share * v.share)
FROM venue v, (SELECT sum(shares) AS shares, sum(shares) FILTER (mpid IS NOT NULL) AS ats_shares, sum(trades) AS trades,
    count(DISTINCT symbol) AS symbols FROM weekly WHERE capture = $capture) w
WHERE v.capture = $capture
"""

LOADERS = {"pandas": pandas_to_sql, "dlt-dicts": dlt_dicts, "dlt-arrow": dlt_arrow, "duckdb": duckdb_measures}

if __name__ == "__main__":
    LOADERS[sys.argv[1]](Path(sys.argv[2]) / "loaded.db", sys.argv[3:])
