"""What must hold of a database at every moment, whoever was killed doing whatever; and its picture, to compare two of them."""

from __future__ import annotations

from typing import Any

from market_spine.db import Database

Picture = dict[str, list[tuple[Any, ...]]]

# Each query finds what breaks the promise; none may find anything, in any snapshot.
PROMISES = {
    "a normalized capture has all its rows": """
        SELECT c.capture_id FROM finra_otc_transparency_capture c
        LEFT JOIN (SELECT capture_key, COUNT(*) AS n FROM finra_otc_transparency_volume GROUP BY capture_key) f
          ON f.capture_key = c.capture_key
        WHERE c.normalized_at IS NOT NULL AND c.row_count <> COALESCE(f.n, 0)
    """,
    "no rows stand without their capture being normalized": """
        SELECT DISTINCT f.capture_key FROM finra_otc_transparency_volume f
        LEFT JOIN finra_otc_transparency_capture c ON c.capture_key = f.capture_key WHERE c.normalized_at IS NULL
    """,
    "a capture's rows sum to its total": """
        SELECT c.capture_id FROM finra_otc_transparency_capture c
        JOIN (SELECT capture_key, SUM(total_shares) AS shares FROM finra_otc_transparency_volume GROUP BY capture_key) f
          ON f.capture_key = c.capture_key
        WHERE ABS(c.total_shares - f.shares) > 0.001
    """,
    "the manifest and the captures agree": """
        SELECT c.capture_id FROM finra_otc_transparency_capture c
        LEFT JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'NORMALIZED'
        WHERE COALESCE(m.row_count, -1) <> COALESCE(c.row_count, -1)
    """,
    "every capture has its RAW row and its bytes": """
        SELECT c.capture_id FROM finra_otc_transparency_capture c
        LEFT JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'RAW'
        LEFT JOIN finra_otc_transparency_raw r ON r.content_hash = c.content_hash
        WHERE m.id IS NULL OR r.content_hash IS NULL
    """,
    "every manifest row of a tier has its capture": """
        SELECT m.capture_id FROM core_manifest m
        LEFT JOIN finra_otc_transparency_capture c ON c.capture_id = m.capture_id
        WHERE json_extract(m.partition_key, '$.tier') IS NOT NULL AND c.capture_key IS NULL
    """,
    "a tier is measured as a whole or not at all": """
        SELECT c.capture_id FROM finra_otc_transparency_capture c
        LEFT JOIN core_manifest m ON m.capture_id = c.capture_id AND m.stage = 'CALC'
        LEFT JOIN finra_otc_transparency_tier_measure t ON t.capture_key = c.capture_key
        WHERE (m.id IS NULL) <> (t.capture_key IS NULL)
           OR (t.capture_key IS NOT NULL AND t.venue_count = 0)
           OR (t.capture_key IS NULL AND EXISTS (
               SELECT 1 FROM finra_otc_transparency_venue_measure v WHERE v.capture_key = c.capture_key))
    """,
    "a venue share of a tier sums to one": """
        SELECT capture_key FROM finra_otc_transparency_venue_measure
        GROUP BY capture_key HAVING ABS(SUM(share) - 1) > 1e-9
    """,
    "a week has its three tiers and its manifest row": """
        SELECT w.capture_id FROM finra_otc_transparency_week w
        LEFT JOIN core_manifest m ON m.capture_id = w.capture_id AND m.stage = 'CALC'
        WHERE m.id IS NULL
           OR (SELECT COUNT(*) FROM finra_otc_transparency_week_tier t WHERE t.week_key = w.week_key) <> 3
    """,
    "a partition has at most one current capture": """
        SELECT week_ending, tier FROM finra_otc_transparency_current GROUP BY week_ending, tier HAVING COUNT(*) > 1
    """,
    "a ready week has three current captures": """
        SELECT r.partition_key FROM core_data_readiness r
        WHERE r.is_ready = 1 AND json_extract(r.partition_key, '$.tier') IS NULL AND 3 <> (
            SELECT COUNT(*) FROM finra_otc_transparency_current c
            WHERE c.week_ending = json_extract(r.partition_key, '$.week_ending'))
    """,
}


def broken(db: Database) -> list[str]:
    """The promises that do not hold in one snapshot of the database, with what breaks them."""
    found = []
    with db.snapshot():
        for promise, query in PROMISES.items():
            rows = db.execute(query).fetchall()
            if rows:
                found.append(f"{promise}: {[tuple(row) for row in rows[:3]]}")
    return found


def damage(db: Database) -> list[str]:
    """What SQLite's own check finds; nothing on PostgreSQL, which has none."""
    if db.engine != "sqlite":
        return []
    return [row[0] for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]


def picture(db: Database) -> Picture:
    """Every view of ours, row for row, and the core tables that a run fills; without what tells one run from another."""
    views = "SELECT name FROM sqlite_master WHERE type = 'view' AND name LIKE 'finra%' ORDER BY name"
    if db.engine == "postgresql":
        views = "SELECT viewname FROM pg_views WHERE schemaname = current_schema() AND viewname LIKE 'finra%' ORDER BY viewname"
    queries = {name: f"SELECT * FROM {name}" for (name,) in db.execute(views).fetchall()}
    queries |= {
        "core_manifest": "SELECT stage, partition_key, capture_id, row_count, metadata_json, captured_at FROM core_manifest",
        "core_data_readiness": "SELECT partition_key, ready_for, is_ready, blocking_issues FROM core_data_readiness",
        "core_rejects": "SELECT partition_key, capture_id, line_number, reason, line FROM core_rejects",
        "open anomalies": "SELECT partition_key, stage, severity, category, message FROM core_anomalies "
        "WHERE resolved_at IS NULL",
        "raw bytes": "SELECT content_hash, size FROM finra_otc_transparency_raw",
    }
    return {name: sorted((_told(name, row) for row in db.execute(query)), key=repr) for name, query in queries.items()}


def _told(name: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row without the database's own numbers, which may differ from one database to the next."""
    if name.removeprefix("finra_otc_transparency_") in ("current", "current_week", "current_window", "window_symbol"):
        return tuple(row[1:])
    if "_rolling_" in name:  # the keys of the window and of the venue come last
        return tuple(row[:-2] if "_rolling_venue_share" in name else row[:-1])
    return tuple(row)


def differences(here: Picture, there: Picture) -> list[str]:
    """Where two pictures differ, in words."""
    found = []
    for name in sorted(here.keys() | there.keys()):
        mine, others = here.get(name), there.get(name)
        if mine != others:
            odd = [row for row in mine or [] if row not in (others or [])][:2]
            found.append(f"{name}: {len(mine or [])} rows against {len(others or [])}, for example {odd}")
    return found
