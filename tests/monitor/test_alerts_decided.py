"""Which notifications are sent: the decision, the state in the database, and the texts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from market_spine.core import anomalies
from market_spine.db import Database
from market_spine.monitor import alerts, deliveries
from market_spine.monitor.alerts import Action, Delivered, Event, Notice, decide
from market_spine.partition import DOMAIN

NOW = datetime(2026, 1, 9, 13, tzinfo=timezone.utc)
BEFORE, LATER = NOW - timedelta(days=7), NOW + timedelta(days=7)
EVENT = Event("SOURCE_UNAVAILABLE", "2025-12-26", "OTC", "ERROR", "not found", BEFORE)
KEY = EVENT.key
HOUR = timedelta(hours=1)
NEWS = replace(EVENT, kind="RESTATED", severity="NOTICE")

DECISIONS = [
    pytest.param(EVENT, None, [Action.BEGAN], id="it begins"),
    pytest.param(EVENT, Delivered(EVENT, BEFORE), [], id="it lasts: silence"),
    pytest.param(None, Delivered(EVENT, BEFORE), [Action.OVER], id="it is over"),
    pytest.param(None, Delivered(EVENT, BEFORE, over_at=NOW - HOUR), [], id="it has long been over: silence"),
    pytest.param(EVENT, Delivered(EVENT, BEFORE, over_at=NOW - HOUR), [Action.BEGAN], id="it begins again"),
    pytest.param(replace(EVENT, silent_until=LATER), None, [], id="acknowledged before it was notified: silence"),
    pytest.param(replace(EVENT, silent_until=LATER), Delivered(EVENT, BEFORE), [], id="acknowledged: silence"),
    pytest.param(replace(EVENT, silent_until=NOW), Delivered(EVENT, BEFORE), [Action.STILL], id="its date has come"),
    pytest.param(replace(EVENT, silent_until=NOW + HOUR), Delivered(EVENT, BEFORE), [], id="an hour before its date"),
    pytest.param(replace(EVENT, silent_until=NOW), Delivered(EVENT, NOW), [], id="its date has come and was notified"),
    pytest.param(replace(EVENT, silent_until=NOW), None, [Action.BEGAN], id="its date has come, never notified"),
    pytest.param(replace(EVENT, severity="CRITICAL"), Delivered(EVENT, BEFORE), [], id="it got worse: the same event"),
    pytest.param(None, None, [], id="nothing"),
    pytest.param(NEWS, None, [Action.NEWS], id="news"),
    pytest.param(NEWS, Delivered(NEWS, BEFORE, over_at=BEFORE), [], id="the same news again"),
    pytest.param(NEWS, Delivered(replace(NEWS, since=BEFORE - HOUR), BEFORE, over_at=BEFORE), [Action.NEWS], id="newer news"),
    pytest.param(None, Delivered(NEWS, BEFORE, over_at=BEFORE), [], id="news is never over"),
]


@pytest.mark.parametrize(("event", "last", "actions"), DECISIONS)
def test_each_event_is_notified_when_it_begins_and_when_it_is_over(
    event: Event | None, last: Delivered | None, actions: list[Action]
) -> None:
    notices = decide({KEY: event} if event else {}, {KEY: last} if last else {}, NOW)
    assert [notice.action for notice in notices] == actions


def test_what_is_over_is_notified_before_what_begins() -> None:
    other = replace(EVENT, tier="NMS_TIER_1")
    notices = decide({other.key: other}, {KEY: Delivered(EVENT, BEFORE)}, NOW)
    assert [(notice.action, notice.event.tier) for notice in notices] == [(Action.OVER, "OTC"), (Action.BEGAN, "NMS_TIER_1")]


def test_the_key_is_stable_and_says_what_where() -> None:
    assert KEY == "market_spine:SOURCE_UNAVAILABLE:2025-12-26:OTC"
    assert replace(EVENT, week=None, tier=None, message="x", since=NOW).key == "market_spine:SOURCE_UNAVAILABLE:-:-"


def test_a_message_has_what_where_since_when_and_what_next() -> None:
    notice = Notice(Action.BEGAN, replace(EVENT, hint="ask FINRA"))
    assert alerts.title(notice) == "Market Spine: SOURCE_UNAVAILABLE 2025-12-26 / OTC"
    assert alerts.body(notice, {"run": "r1", "host": ""}) == (
        "not found\nTry: ask FINRA\n\nseverity: ERROR\nsince: 2026-01-02T13:00:00+00:00\nrun: r1\n"
        "key: market_spine:SOURCE_UNAVAILABLE:2025-12-26:OTC"
    )
    over = Notice(Action.OVER, notice.event)
    assert alerts.title(over) == "Market Spine: over: SOURCE_UNAVAILABLE 2025-12-26 / OTC"
    assert "Try:" not in alerts.body(over, {})


def record(db: Database, severity: str = "ERROR", category: str = "EMPTY_FILE", tier: str = "OTC", **more: object) -> int:
    key = {"week_ending": "2025-12-26", "tier": tier}
    return anomalies.record_anomaly(
        db, domain=DOMAIN, severity=severity, category=category, message="why", partition_key=key, now=BEFORE, **more  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("level", "kinds"),
    [("WARN", {"W", "E", "C"}), ("ERROR", {"E", "C"}), ("CRITICAL", {"C"})],
)
def test_the_level_is_the_least_grave_severity(db: Database, level: str, kinds: set[str]) -> None:
    for severity, kind in (("INFO", "I"), ("WARN", "W"), ("ERROR", "E"), ("CRITICAL", "C")):
        record(db, severity, kind)
    assert {event.kind for event in alerts.unresolved_events(db, level).values()} == kinds


def test_several_anomalies_of_one_kind_and_partition_are_one_event(db: Database) -> None:
    record(db, stage="RAW")
    record(db, "CRITICAL", stage="NORMALIZED")
    record(db, tier="NMS_TIER_1")
    unresolved = alerts.unresolved_events(db, "ERROR")
    assert {key: event.severity for key, event in unresolved.items()} == {
        "market_spine:EMPTY_FILE:2025-12-26:OTC": "CRITICAL",
        "market_spine:EMPTY_FILE:2025-12-26:NMS_TIER_1": "ERROR",
    }


def test_a_resolved_anomaly_is_no_event(db: Database) -> None:
    record(db, resolution_note="fetched again")
    assert alerts.unresolved_events(db, "WARN") == {}


def test_an_anomaly_without_a_partition_is_an_event_too(db: Database) -> None:
    anomalies.record_anomaly(db, domain=DOMAIN, severity="CRITICAL", category="DISK", message="why", now=BEFORE)
    assert list(alerts.unresolved_events(db, "ERROR")) == ["market_spine:DISK:-:-"]


def acknowledge(db: Database, number: int, until: str) -> None:
    with db.transaction():
        db.execute("UPDATE core_anomalies SET acknowledged_until = ? WHERE id = ?", (until, number))


@pytest.mark.parametrize("until", ["2026-01-12", "2026-01-12T05:00:00+00:00"])
def test_an_acknowledgement_holds_until_its_day_begins_in_new_york(db: Database, until: str) -> None:
    acknowledge(db, record(db), until)
    (event,) = alerts.unresolved_events(db, "ERROR").values()
    assert event.silent_until == datetime(2026, 1, 12, 5, tzinfo=timezone.utc)


def test_an_event_is_silent_only_while_all_its_anomalies_are_acknowledged(db: Database) -> None:
    acknowledge(db, record(db, stage="RAW"), "2026-01-12")
    acknowledge(db, record(db, stage="NORMALIZED"), "2026-01-10")
    (event,) = alerts.unresolved_events(db, "ERROR").values()
    assert event.silent_until == datetime(2026, 1, 10, 5, tzinfo=timezone.utc)
    record(db, stage="CALC")
    (event,) = alerts.unresolved_events(db, "ERROR").values()
    assert event.silent_until is None


def test_a_failed_work_item_is_an_event(db: Database) -> None:
    with db.transaction():
        db.execute(
            """
            INSERT INTO core_work_items (domain, pipeline, partition_key, desired_at, state, attempt_count, last_error,
                                         last_error_at, created_at, updated_at)
            VALUES ('d', 'ingest_week', '{"week_ending": "2025-12-26", "tier": "OTC"}', ?, 'FAILED', 3, 'HTTP 503', ?, ?, ?)
            """,
            ("2026-01-09T00:00:00+00:00",) * 4,
        )
    (event,) = alerts.unresolved_events(db, "ERROR").values()
    assert (event.key, event.message) == ("market_spine:WORK_ITEM_FAILED:2025-12-26:OTC", "ingest_week gave up: HTTP 503")


def test_what_was_notified_is_kept_per_channel(db: Database) -> None:
    deliveries.write(db, "mail", Notice(Action.BEGAN, EVENT), BEFORE)
    assert deliveries.read(db, "mail") == {KEY: Delivered(EVENT, BEFORE)}
    assert deliveries.read(db, "pager") == {}
    deliveries.write(db, "mail", Notice(Action.OVER, EVENT), NOW)
    assert deliveries.read(db, "mail")[KEY].over_at == NOW
    deliveries.write(db, "mail", Notice(Action.BEGAN, EVENT), LATER)
    assert deliveries.read(db, "mail") == {KEY: Delivered(EVENT, LATER)}


def test_the_database_takes_over_what_the_file_remembers(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "state" / "notified.json"
    deliveries.write_file(path, "mail", Notice(Action.BEGAN, EVENT), BEFORE)
    deliveries.write_file(path, "pager", Notice(Action.BEGAN, EVENT), BEFORE)
    assert deliveries.read_file(path, "mail") == {KEY: Delivered(EVENT, BEFORE)}
    deliveries.take_over(db, path)
    assert deliveries.read(db, "mail") == deliveries.read(db, "pager") == {KEY: Delivered(EVENT, BEFORE)}
    assert list(path.parent.iterdir()) == []


def test_the_file_of_an_older_version_is_read_and_taken_over(db: Database, tmp_path: Path) -> None:
    older = {
        "channel": "mail", "kind": EVENT.kind, "week": EVENT.week, "tier": EVENT.tier, "severity": EVENT.severity,
        "message": EVENT.message, "since": EVENT.since.isoformat(), "told_at": BEFORE.isoformat(),
    }
    path = tmp_path / "state" / deliveries.FILE_NAME
    path.parent.mkdir()
    path.with_name("told.json").write_text(json.dumps([older]), "utf-8")
    assert deliveries.read_file(path, "mail") == {KEY: Delivered(EVENT, BEFORE)}
    deliveries.write_file(path, "mail", Notice(Action.BEGAN, EVENT), NOW)
    assert deliveries.read_file(path, "mail") == {KEY: Delivered(EVENT, NOW)}, "the newer file counts"
    deliveries.take_over(db, path)
    assert (deliveries.read(db, "mail"), list(path.parent.iterdir())) == ({KEY: Delivered(EVENT, NOW)}, [])


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"channel": "mail"}]'], ids=["empty", "cut", "other", "partial"])
def test_a_damaged_file_counts_as_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notified.json"
    path.write_text(content)
    assert deliveries.read_file(path, "mail") == {}
