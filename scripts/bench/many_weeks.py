"""A store of many weeks, written straight into the tables: for query plans and times at size."""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta

from market_spine.core import contents
from market_spine.db import Database
from market_spine.partition import DOMAIN, TIERS, generate_capture_id, partition_key

NEWEST = date(2025, 12, 26)
SYMBOLS, VENUES = 40, 5
CONTENT = b"no file; written straight into the tables\n"


def fill(db: Database, weeks: int) -> None:
    """`weeks` × 3 tiers, one capture each, complete and ready, of SYMBOLS × VENUES rows each; the last week is NEWEST."""
    with db.transaction():
        content_hash = hashlib.sha256(CONTENT).hexdigest()
        contents.store_raw(db, CONTENT, content_hash)
        issues = [(n + 1, f"SYM{n:03}", f"Name {n}", "") for n in range(SYMBOLS)]
        db.bulk_insert("finra_otc_transparency_issue", ("issue_id", "symbol", "issue_name", "product_type"), issues)
        venues = [(n + 1, "ATS", f"MP{n:02}", 0, f"Venue {n}") for n in range(VENUES)]
        db.bulk_insert("finra_otc_transparency_venue", ("venue_id", "venue_class", "mpid", "firm_crd", "venue_name"), venues)
        key = 0
        for back in range(weeks):
            week = NEWEST - timedelta(weeks=weeks - 1 - back)
            keys = []
            for tier in TIERS:
                key += 1
                keys.append(key)
                _capture(db, key, week, tier, content_hash)
            _week(db, back + 1, week, keys)


def _capture(db: Database, key: int, week: date, tier: str, content_hash: str) -> None:
    day = week + timedelta(days=35)
    capture_id, at = generate_capture_id(DOMAIN, week, tier, day), f"{day}T12:00:00+00:00"
    rows = [(key, i + 1, v + 1, 100 + i + v, 1, None) for i in range(SYMBOLS) for v in range(VENUES)]
    total = sum(row[3] for row in rows)
    db.bulk_insert(
        "finra_otc_transparency_capture",
        (
            "capture_key",
            "capture_id",
            "week_ending",
            "tier",
            "run_date",
            "captured_at",
            "content_hash",
            "source_uri",
            "row_count",
            "total_shares",
            "normalized_at",
        ),
        [(key, capture_id, str(week), tier, str(day), at, content_hash, "file:x", len(rows), total, at)],
    )
    db.bulk_insert(
        "finra_otc_transparency_volume",
        ("capture_key", "issue_id", "venue_id", "total_shares", "total_trades", "total_notional"),
        rows,
    )
    _measures(db, key, total, len(rows))
    metadata = {"content_hash": content_hash[:16], "sha256": content_hash, "ingest_no": 1, "reason": "NEW"}
    for rank, stage in enumerate(("RAW", "NORMALIZED", "CALC"), 1):
        record_stage(db, stage, rank, partition_key(str(week), tier), capture_id, len(rows), metadata, at)


def _measures(db: Database, key: int, total: int, rows: int) -> None:
    db.bulk_insert(
        "finra_otc_transparency_venue_measure",
        ("capture_key", "venue_id", "total_shares", "total_trades", "symbol_count", "share", "rank"),
        [(key, v + 1, sum(100 + i + v for i in range(SYMBOLS)), SYMBOLS, SYMBOLS, 0.2, VENUES - v) for v in range(VENUES)],
    )
    db.bulk_insert(
        "finra_otc_transparency_symbol_measure",
        ("capture_key", "issue_id", "total_shares", "ats_shares", "total_trades", "venue_count", "hhi"),
        [(key, i + 1, 5 * (100 + i) + 10, 5 * (100 + i) + 10, VENUES, VENUES, 0.2) for i in range(SYMBOLS)],
    )
    db.bulk_insert(
        "finra_otc_transparency_tier_measure",
        ("capture_key", "total_shares", "ats_shares", "total_trades", "symbol_count", "venue_count", "hhi"),
        [(key, total, total, rows, SYMBOLS, VENUES, 0.2)],
    )


def record_stage(db: Database, stage: str, rank: int, key: str, capture_id: str, rows: int, metadata: object, at: str) -> None:
    db.bulk_insert(
        "core_manifest",
        (
            "domain",
            "stage",
            "stage_rank",
            "partition_key",
            "capture_id",
            "row_count",
            "metadata_json",
            "captured_at",
            "created_at",
        ),
        [(DOMAIN, stage, rank, key, capture_id, rows, json.dumps(metadata), at, at)],
    )


def _week(db: Database, week_key: int, week: date, keys: list[int]) -> None:
    day = week + timedelta(days=35)
    capture_id, at = generate_capture_id(DOMAIN, week, "WEEK", day), f"{day}T12:00:00+00:00"
    each = sum(100 + i + v for i in range(SYMBOLS) for v in range(VENUES))
    db.bulk_insert(
        "finra_otc_transparency_week",
        (
            "week_key",
            "capture_id",
            "week_ending",
            "run_date",
            "captured_at",
            "nms_tier_1_key",
            "nms_tier_2_key",
            "otc_key",
            "total_shares",
            "ats_shares",
            "total_trades",
            "symbol_count",
            "venue_count",
        ),
        [(week_key, capture_id, str(week), str(day), at, *keys, 3 * each, 3 * each, 600, SYMBOLS, VENUES)],
    )
    db.bulk_insert(
        "finra_otc_transparency_week_tier",
        ("week_key", "tier", "total_shares", "total_trades", "share"),
        [(week_key, tier, each, 200, 1 / 3) for tier in TIERS],
    )
    made_from = {tier: {"capture_id": generate_capture_id(DOMAIN, week, tier, day), "ingest_no": 1} for tier in TIERS}
    record_stage(db, "CALC", 3, partition_key(str(week)), capture_id, 4, {"made_from": made_from}, at)
    _certify(db, week, at)


def _certify(db: Database, week: date, at: str) -> None:
    db.bulk_insert(
        "core_data_readiness",
        (
            "domain",
            "partition_key",
            "is_ready",
            "ready_for",
            "all_partitions_present",
            "all_stages_complete",
            "no_critical_anomalies",
            "created_at",
            "updated_at",
        ),
        [(DOMAIN, partition_key(str(week)), 1, "trading", 1, 1, 1, at, at)],
    )


def enlarge(db: Database, weeks: int, issues: int = 10_000) -> None:
    """Gives the first two tiers of the newest week `issues` × VENUES rows each, of which one in a hundred differs."""
    names = [(1000 + n, f"BIG{n:05}", f"Big {n}", "") for n in range(issues)]
    with db.transaction():
        db.bulk_insert("finra_otc_transparency_issue", ("issue_id", "symbol", "issue_name", "product_type"), names)
        for more, key in enumerate((3 * weeks - 2, 3 * weeks - 1)):
            db.execute("DELETE FROM finra_otc_transparency_volume WHERE capture_key = ?", (key,))
            db.bulk_insert(
                "finra_otc_transparency_volume",
                ("capture_key", "issue_id", "venue_id", "total_shares", "total_trades", "total_notional"),
                [
                    (key, 1000 + i, v + 1, 100 + i + v + more * (i % 100 == 0), 1, None)
                    for i in range(issues)
                    for v in range(VENUES)
                ],
            )
