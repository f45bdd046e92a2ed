"""A database as values to compare: what its views and tables show, whatever engine holds them."""

from __future__ import annotations

from typing import Any

from market_spine.db import Database

VIEWS = tuple(
    f"finra_otc_transparency_{name}{latest}"
    for name in (
        "normalized",
        "venue_volume",
        "venue_share",
        "hhi",
        "concentration",
        "symbol_summary",
        "symbol_venue_share",
        "weekly_totals",
        "tier_split",
    )
    for latest in ("", "_latest")
)


def views(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every view that people query, sorted."""
    return {view: sorted(map(tuple, db.execute(f"SELECT * FROM {view}")), key=repr) for view in VIEWS}


def core(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """The core tables without their own numbers and without what tells one run from another."""
    queries = {
        "manifest": "SELECT domain, stage, stage_rank, partition_key, capture_id, row_count, metadata_json, captured_at "
        "FROM core_manifest",
        "anomalies": "SELECT partition_key, stage, severity, category, message, capture_id, seen_count, resolved_at, resolution_note "
        "FROM core_anomalies",
        "readiness": "SELECT domain, partition_key, is_ready, ready_for, all_partitions_present, all_stages_complete, "
        "no_critical_anomalies, blocking_issues FROM core_data_readiness",
        "rejects": "SELECT partition_key, capture_id, line_number, reason, line FROM core_rejects",
        "raw": "SELECT content_hash, size FROM finra_otc_transparency_raw",
    }
    return {name: sorted(map(tuple, db.execute(query)), key=repr) for name, query in queries.items()}


def everything(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {**views(db), **core(db)}
