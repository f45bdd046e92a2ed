"""PostgreSQL partitioned by capture, which the program does not do: what a hundred times the data would gain by it."""

from __future__ import annotations

import random
import time
from statistics import median
from typing import TYPE_CHECKING

from bench.contest import Setting
from bench.goals import Finding
from bench.postgres import own_server

if TYPE_CHECKING:
    import psycopg

_CAPTURES, _SYMBOLS, _VENUES = 40, 5_000, 20
_COLUMNS = """(capture_key integer NOT NULL, issue_id integer NOT NULL, venue_id integer NOT NULL, total_shares numeric,
    total_trades bigint, total_notional double precision, PRIMARY KEY (capture_key, issue_id, venue_id))"""


def partitioned(setting: Setting) -> Finding:
    """4,000,000 rows of volume in one table and in one partition for each capture: COPY of a capture, reading, removing."""
    finding = Finding("partitioned", partitioned.__doc__ or "", setting.rounds)
    import psycopg

    server_class, _, binaries = own_server()
    with server_class(binaries, durable=True) as server, psycopg.connect(server.url, autocommit=True) as session:
        for table, by in (("plain", ""), ("parted", " PARTITION BY RANGE (capture_key)")):
            _seconds(session, f"CREATE TABLE {table} {_COLUMNS}{by}")
            _seconds(session, f"CREATE INDEX ON {table} (issue_id, capture_key)")
        loads = [_load(session, key) for key in range(_CAPTURES)][-10:]
        session.execute("VACUUM ANALYZE")
        _note(finding, "COPY of a capture", loads)
        for what, where in (("one symbol in every capture", "issue_id = 77"), ("one capture", "capture_key = 20")):
            _note(
                finding,
                what,
                [_both(session, f"SELECT SUM(total_shares) FROM {{}} WHERE {where}") for _ in range(setting.rounds)],
            )
        removed = [
            (_seconds(session, f"DELETE FROM plain WHERE capture_key = {key}"), _seconds(session, f"DROP TABLE parted_{key}"))
            for key in range(setting.rounds)
        ]
        _note(finding, "removing a capture", removed)
    return finding


def _load(session: psycopg.Connection, key: int) -> tuple[float, float]:
    _seconds(session, f"CREATE TABLE parted_{key} PARTITION OF parted FOR VALUES FROM ({key}) TO ({key + 1})")
    draw = random.Random(key)
    rows = "".join(
        f"{key}\t{issue}\t{venue}\t{draw.randrange(10**6)}\t{draw.randrange(100)}\t\\N\n"
        for issue in range(_SYMBOLS)
        for venue in range(_VENUES)
    )
    taken = {table: _copy(session, table, rows) for table in (("plain", "parted") if key % 2 else ("parted", "plain"))}
    return taken["plain"], taken["parted"]


def _copy(session: psycopg.Connection, table: str, rows: str) -> float:
    began = time.perf_counter()
    with session.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
        copy.write(rows)
    return time.perf_counter() - began


def _both(session: psycopg.Connection, text: str) -> tuple[float, float]:
    return _seconds(session, text.format("plain")), _seconds(session, text.format("parted"))


def _seconds(session: psycopg.Connection, text: str) -> float:
    began = time.perf_counter()
    session.execute(text.encode())
    return time.perf_counter() - began


def _note(finding: Finding, what: str, pairs: list[tuple[float, float]]) -> None:
    plain, parted = (median(taken) for taken in zip(*pairs, strict=True))
    ratio = median(b / a for a, b in pairs)
    finding.rows.append(
        {
            "what": what,
            "plain ms": round(1000 * plain, 1),
            "parted ms": round(1000 * parted, 1),
            "parted ÷ plain": round(ratio, 2),
        }
    )
