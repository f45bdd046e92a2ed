"""The ten promised functions, on a plain sqlite3 connection that has only the core tables."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from freezegun import freeze_time

from market_spine.app.scheduler import (
    calculate_target_weeks,
    check_revision_needed_via_hash,
    check_revision_needed_via_metadata,
    check_stage_ready,
    check_tier_completeness,
    compute_content_hash,
    evaluate_readiness,
    generate_capture_id,
    parse_week_list,
    record_anomaly,
)
from market_spine.errors import InvalidWeek

WEEK = date(2025, 12, 26)
DOMAIN = "finra.otc_transparency"

CORE_TABLES = """
CREATE TABLE core_manifest (id INTEGER PRIMARY KEY, domain TEXT, stage TEXT, partition_key TEXT, row_count INTEGER,
    metadata_json TEXT, capture_id TEXT, captured_at TEXT, created_at TEXT);
CREATE TABLE core_anomalies (id INTEGER PRIMARY KEY, domain TEXT, pipeline TEXT, partition_key TEXT, stage TEXT, severity TEXT,
    category TEXT, message TEXT, details_json TEXT, affected_records INTEGER, execution_id TEXT, capture_id TEXT,
    detected_at TEXT, resolved_at TEXT, resolution_note TEXT, created_at TEXT);
CREATE TABLE core_data_readiness (id INTEGER PRIMARY KEY, domain TEXT, partition_key TEXT, is_ready INTEGER, ready_for TEXT,
    all_partitions_present INTEGER, all_stages_complete INTEGER, no_critical_anomalies INTEGER, blocking_issues TEXT,
    created_at TEXT, updated_at TEXT, UNIQUE(domain, partition_key, ready_for));
"""


@pytest.fixture
def plain() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(CORE_TABLES)
    yield connection
    connection.close()


def stage(
    connection: sqlite3.Connection,
    name: str,
    tier: str = "NMS_TIER_1",
    *,
    rows: int = 100,
    capture: str | None = None,
    at: str = "2025-12-30T10:00:00",
    **metadata: object,
) -> None:
    connection.execute(
        "INSERT INTO core_manifest (domain, stage, partition_key, row_count, metadata_json, capture_id, captured_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            DOMAIN,
            name,
            json.dumps({"week_ending": "2025-12-26", "tier": tier}),
            rows,
            json.dumps(metadata) if metadata else None,
            capture,
            at,
        ),
    )
    connection.commit()


@pytest.mark.parametrize(
    ("reference", "newest"),
    [
        (date(2026, 1, 5), date(2026, 1, 2)),
        (date(2026, 1, 2), date(2026, 1, 2)),
        (date(2026, 1, 1), date(2025, 12, 26)),
        (date(2026, 1, 3), date(2026, 1, 2)),
        (date(2024, 2, 29), date(2024, 2, 23)),
    ],
    ids=["Monday", "Friday", "Thursday", "Saturday", "leap day"],
)
def test_the_target_weeks_are_fridays_counted_back(reference: date, newest: date) -> None:
    assert calculate_target_weeks(4, reference) == [newest - timedelta(weeks=n) for n in range(4)]


@pytest.mark.parametrize("moment", ["2026-01-03T04:30:00Z", "2026-01-02T05:30:00Z"], ids=["Friday night", "Friday morning"])
def test_today_is_today_in_new_york(moment: str) -> None:
    with freeze_time(moment):
        assert calculate_target_weeks(1) == [date(2026, 1, 2)]


@pytest.mark.parametrize("lookback", [0, -1])
def test_looking_back_no_weeks_is_refused(lookback: int) -> None:
    with pytest.raises(ValueError, match="cannot look back"):
        calculate_target_weeks(lookback, WEEK)


def test_a_week_list_keeps_its_order_and_drops_repeats() -> None:
    assert parse_week_list("2025-12-26, 2025-12-12,2025-12-26") == [date(2025, 12, 26), date(2025, 12, 12)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2025-12-22", "not a Friday.*2025-12-26"),
        ("2025-12-27", "not a Friday.*2025-12-26"),
        ("2025/12/26", "Invalid date format"),
        ("2025-13-01", "Invalid date format"),
        ("20251226", "Invalid date format"),
        ("2025-W52-5", "Invalid date format"),
        ("", "Invalid date format"),
        ("2025-12-26,x", "Invalid date format"),
    ],
)
def test_a_bad_week_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(InvalidWeek, match=said):
        parse_week_list(text)


def test_a_content_hash_is_the_first_sixteen_digits_of_sha256() -> None:
    assert compute_content_hash(b"abc") == "ba7816bf8f01cfea"


def test_a_capture_id_names_domain_tier_week_and_run_date() -> None:
    made = generate_capture_id(DOMAIN, WEEK, "NMS_TIER_1", date(2025, 12, 30))
    assert made == "finra.otc_transparency:NMS_TIER_1:2025-12-26:20251230"


@freeze_time("2025-12-31T03:00:00Z")
def test_a_capture_made_late_at_night_carries_new_yorks_day() -> None:
    assert generate_capture_id(DOMAIN, WEEK, "OTC").endswith(":20251230")


def test_the_hash_decides_between_first_changed_and_identical(plain: sqlite3.Connection) -> None:
    assert check_revision_needed_via_hash(WEEK, "NMS_TIER_1", b"a", plain) == (True, "No prior capture (first ingest)")
    stage(plain, "RAW", content_hash=compute_content_hash(b"a"))
    needed, reason = check_revision_needed_via_hash(WEEK, "NMS_TIER_1", b"b", plain)
    assert needed
    assert "Content changed" in reason
    needed, reason = check_revision_needed_via_hash(WEEK, "NMS_TIER_1", b"a", plain)
    assert not needed
    assert "Content identical" in reason
    assert check_revision_needed_via_hash(WEEK, "OTC", b"a", plain).needed
    assert check_revision_needed_via_hash(date(2025, 12, 19), "NMS_TIER_1", b"a", plain).needed


def test_the_newest_capture_is_the_one_compared(plain: sqlite3.Connection) -> None:
    stage(plain, "RAW", content_hash=compute_content_hash(b"new"), capture="x:20251231", at="2025-12-31T10:00:00")
    stage(plain, "RAW", content_hash=compute_content_hash(b"old"), capture="x:20251230", at="2025-12-30T10:00:00")
    assert not check_revision_needed_via_hash(WEEK, "NMS_TIER_1", b"new", plain).needed
    assert check_revision_needed_via_hash(WEEK, "NMS_TIER_1", b"old", plain).needed
    assert not check_revision_needed_via_hash(WEEK, "NMS_TIER_1", b"old", plain, as_of=date(2025, 12, 30)).needed


@pytest.mark.parametrize(
    ("source", "needed", "words"),
    [
        (datetime(2025, 12, 31, 14, 0), True, ["Source updated", "2025-12-31 14:00"]),  # noqa: DTZ001
        (datetime(2025, 12, 30, 10, 0), False, ["Source unchanged", "2025-12-30 10:00"]),  # noqa: DTZ001
        (datetime(2025, 12, 29, 10, 0), True, ["Source updated", "2025-12-29 10:00"]),  # noqa: DTZ001
    ],
    ids=["newer", "equal", "older: a revision was taken back"],
)
def test_the_update_time_decides(plain: sqlite3.Connection, source: datetime, needed: bool, words: list[str]) -> None:
    assert "No prior capture" in check_revision_needed_via_metadata(WEEK, "NMS_TIER_1", source, plain).reason
    stage(plain, "RAW", source_last_updated="2025-12-30T10:00:00")
    check = check_revision_needed_via_metadata(WEEK, "NMS_TIER_1", source, plain)
    assert check.needed is needed
    assert all(word in check.reason for word in words)


def test_a_stage_is_ready_when_it_has_rows(plain: sqlite3.Connection) -> None:
    assert not check_stage_ready(WEEK, "NMS_TIER_1", "RAW", plain)
    stage(plain, "RAW", rows=0)
    assert not check_stage_ready(WEEK, "NMS_TIER_1", "RAW", plain)
    stage(plain, "RAW")
    assert check_stage_ready(WEEK, "NMS_TIER_1", "RAW", plain)
    assert not check_stage_ready(WEEK, "NMS_TIER_1", "NORMALIZED", plain)


def test_a_withdrawn_capture_counts_for_nothing(plain: sqlite3.Connection) -> None:
    stage(plain, "RAW", capture="c")
    stage(plain, "WITHDRAWN", capture="c", rows=0)
    assert not check_stage_ready(WEEK, "NMS_TIER_1", "RAW", plain)
    assert check_tier_completeness(WEEK, plain).missing_tiers == {"NMS_TIER_1", "NMS_TIER_2", "OTC"}


def test_missing_tiers_are_named(plain: sqlite3.Connection) -> None:
    for tier in ("NMS_TIER_1", "NMS_TIER_2"):
        stage(plain, "RAW", tier)
    assert check_tier_completeness(WEEK, plain) == (False, {"OTC"})
    stage(plain, "RAW", "OTC")
    assert check_tier_completeness(WEEK, plain) == (True, set())


def test_an_anomaly_is_stored_and_committed(plain: sqlite3.Connection) -> None:
    number = record_anomaly(
        plain, domain=DOMAIN, severity="ERROR", category="SOURCE_UNAVAILABLE", message="HTTP 503",
        partition_key={"week_ending": "2025-12-26", "tier": "OTC"}, details_json={"status": 503},
    )
    plain.rollback()
    row = plain.execute(
        "SELECT severity, category, message, partition_key, resolved_at FROM core_anomalies WHERE id = ?", (number,)
    )
    assert row.fetchone() == ("ERROR", "SOURCE_UNAVAILABLE", "HTTP 503", '{"week_ending": "2025-12-26", "tier": "OTC"}', None)


def test_an_anomaly_joins_the_transaction_that_is_open(plain: sqlite3.Connection) -> None:
    plain.execute("BEGIN")
    record_anomaly(plain, domain=DOMAIN, severity="WARN", category="X", message="m")
    plain.rollback()
    assert plain.execute("SELECT COUNT(*) FROM core_anomalies").fetchone() == (0,)


def test_an_unknown_severity_is_refused(plain: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="FATAL"):
        record_anomaly(plain, domain=DOMAIN, severity="FATAL", category="X", message="m")


def complete(connection: sqlite3.Connection, *stages: str) -> None:
    for tier in ("NMS_TIER_1", "NMS_TIER_2", "OTC"):
        for name in stages:
            stage(connection, name, tier)


def test_a_complete_week_is_ready_and_says_so(plain: sqlite3.Connection) -> None:
    complete(plain, "RAW", "NORMALIZED", "CALC")
    assert evaluate_readiness(WEEK, plain) == (True, [])
    row = plain.execute(
        "SELECT is_ready, all_partitions_present, all_stages_complete, no_critical_anomalies, ready_for, partition_key "
        "FROM core_data_readiness"
    ).fetchall()
    assert row == [(1, 1, 1, 1, "trading", '{"week_ending": "2025-12-26"}')]


@pytest.mark.parametrize(
    ("stages", "issue"),
    [((), "Missing tiers: NMS_TIER_1, NMS_TIER_2, OTC"), (("RAW",), "Missing NORMALIZED stage for OTC"),
     (("RAW", "NORMALIZED"), "Missing CALC stage for OTC")],
    ids=["nothing", "raw only", "not calculated"],
)
def test_an_incomplete_week_says_what_is_missing(plain: sqlite3.Connection, stages: tuple[str, ...], issue: str) -> None:
    complete(plain, *stages)
    ready, issues = evaluate_readiness(WEEK, plain)
    assert not ready
    assert issue in issues


def test_a_missing_tier_is_the_first_issue(plain: sqlite3.Connection) -> None:
    for name in ("RAW", "NORMALIZED", "CALC"):
        stage(plain, name, "NMS_TIER_1")
        stage(plain, name, "NMS_TIER_2")
    assert evaluate_readiness(WEEK, plain) == (False, ["Missing tiers: OTC"])


def test_a_restated_tier_is_complete_only_when_the_new_capture_is_calculated(plain: sqlite3.Connection) -> None:
    complete(plain, "RAW", "NORMALIZED", "CALC")
    stage(plain, "RAW", capture="new", at="2025-12-31T10:00:00")
    assert evaluate_readiness(WEEK, plain).is_ready, "the old capture stays current until the new one is normalized"
    stage(plain, "NORMALIZED", capture="new", at="2025-12-31T10:00:00")
    assert evaluate_readiness(WEEK, plain) == (False, ["Missing CALC stage for NMS_TIER_1"])
    stage(plain, "CALC", capture="new", at="2025-12-31T10:00:00")
    assert evaluate_readiness(WEEK, plain).is_ready


def test_an_open_critical_anomaly_blocks_and_a_resolved_one_does_not(plain: sqlite3.Connection) -> None:
    complete(plain, "RAW", "NORMALIZED", "CALC")
    record_anomaly(
        plain,
        domain=DOMAIN,
        severity="CRITICAL",
        category="BUSINESS_RULE",
        message="m",
        partition_key={"week_ending": "2025-12-26"},
    )
    ready, issues = evaluate_readiness(WEEK, plain)
    assert not ready
    assert any("CRITICAL anomalies" in issue for issue in issues)
    plain.execute("UPDATE core_anomalies SET resolved_at = '2026-01-01'")
    assert evaluate_readiness(WEEK, plain).is_ready


def test_a_rollback_blocks_until_a_newer_capture_is_normalized(plain: sqlite3.Connection) -> None:
    complete(plain, "RAW", "NORMALIZED", "CALC")
    for name in ("RAW", "NORMALIZED", "CALC"):
        stage(plain, name, capture="bad", at="2025-12-31T10:00:00")
    stage(plain, "WITHDRAWN", capture="bad", at="2025-12-31T10:00:00", reason="fat finger")
    assert evaluate_readiness(WEEK, plain) == (False, ["Manual rollback: NMS_TIER_1: fat finger"])
    for name in ("RAW", "NORMALIZED", "CALC"):
        stage(plain, name, capture="good", at="2026-01-02T10:00:00")
    assert evaluate_readiness(WEEK, plain).is_ready
