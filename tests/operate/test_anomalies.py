"""Anomalies: one row for one fault, closed by the run that goes well, by hand, or silent until a day."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk, ready_week

from market_spine.core.anomalies import record_anomaly
from market_spine.core.locks import holder_of
from market_spine.db import Database
from market_spine.errors import NotFound, UsageError
from market_spine.operate import anomalies
from market_spine.operate.operation import changing
from market_spine.partition import DOMAIN, OTC, partition_key

BAD = (*PLAIN, ("", "UBSA", "UBS ATS", 5, 1), *((f"S{n}", "UBSA", "UBS ATS", 5, 1) for n in range(30)))


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return ready_week(tmp_path / "files", db)


def faults(desk: Desk) -> list[anomalies.Anomaly]:
    return [a for a in reversed(anomalies.list_anomalies(desk.db)) if a.category != "UNCHANGED"]


def told(desk: Desk) -> list[tuple[str, int, str, str | None]]:
    return [(a.category, a.seen_count, a.last_seen_at[:10], a.resolution_note) for a in faults(desk)]


def test_a_fault_of_the_source_is_one_row_until_a_good_run_closes_it(desk: Desk) -> None:
    path = desk.publish(WEEK, OTC, PLAIN)
    path.write_bytes(b"")
    for day in FRIDAYS[1:3]:
        assert desk.run(day).exit_code == 1
    assert told(desk) == [("EMPTY_FILE", 2, "2026-01-23", None)]
    desk.publish(WEEK, OTC, PLAIN)
    desk.run(FRIDAYS[3])
    assert told(desk) == [("EMPTY_FILE", 2, "2026-01-23", "the source works again")]


def test_a_capture_that_failed_is_closed_by_its_successor_and_not_tried_again(desk: Desk) -> None:
    desk.publish(WEEK, OTC, ())
    assert desk.run(FRIDAYS[1]).exit_code == 1
    desk.publish(WEEK, OTC, REVISED)
    assert [desk.run(day).exit_code for day in FRIDAYS[2:]] == [0, 0]
    note = "normalized as finra.otc_transparency:OTC:2025-11-28:20260123"
    assert told(desk) == [("NO_ROWS", 1, "2026-01-16", note)]


def test_rejected_lines_are_one_row_however_often_they_are_normalized(desk: Desk) -> None:
    desk.publish(WEEK, OTC, BAD)
    desk.run(FRIDAYS[1])
    desk.run(FRIDAYS[1], force=True)
    assert told(desk) == [("REJECTED_ROWS", 2, "2026-01-16", None)]
    desk.publish(WEEK, OTC, (*BAD[:4], *BAD[5:]))
    desk.run(FRIDAYS[2])
    assert told(desk) == [("REJECTED_ROWS", 2, "2026-01-16", "normalized as finra.otc_transparency:OTC:2025-11-28:20260123")]


def test_a_tier_that_comes_in_closes_the_weeks_incomplete_input(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "few", db)
    desk.publish_weeks([WEEK])
    desk.run(tiers=[OTC])
    assert [(a.category, a.resolved_at) for a in faults(desk)] == [("INCOMPLETE_INPUT", None)]
    desk.run(FRIDAYS[1])
    assert [a.resolution_note for a in faults(desk)] == ["measured as finra.otc_transparency:WEEK:2025-11-28:20260116"]


def test_resolving_a_critical_anomaly_by_hand_lets_the_week_be_ready(desk: Desk) -> None:
    moment = desk.context(FRIDAYS[1]).now
    number = record_anomaly(
        desk.db, domain=DOMAIN, severity="CRITICAL", category="BUSINESS_RULE", message="odd", now=moment,
        partition_key=partition_key(str(WEEK), OTC),
    )
    desk.run(FRIDAYS[1])
    assert desk.db.execute("SELECT MIN(is_ready) FROM core_data_readiness").fetchone() == (0,)
    closed = anomalies.resolve(desk.db, number, "looked at", moment)
    assert str(closed.resolution_note).startswith("looked at (")
    assert desk.db.execute("SELECT MIN(is_ready) FROM core_data_readiness").fetchone() == (1,)
    with pytest.raises(UsageError, match="was resolved at 2026-01-16T12:00: looked at"):
        anomalies.resolve(desk.db, number, "again", moment)
    with pytest.raises(NotFound, match="there is no anomaly 999"):
        anomalies.resolve(desk.db, 999, "x", moment)


def test_an_acknowledged_anomaly_is_silent_to_its_day_and_stays_open(desk: Desk) -> None:
    moment = desk.context(FRIDAYS[1]).now
    number = record_anomaly(
        desk.db, domain=DOMAIN, severity="ERROR", category="X", message="m", partition_key=None, now=moment
    )
    known = anomalies.acknowledge(desk.db, number, date(2026, 1, 20), "they know", moment)
    assert [known.state(date(2026, 1, day)) for day in (20, 21)] == ["acknowledged until 2026-01-20", "open"]
    assert known.resolved_at is None
    with pytest.raises(UsageError, match="2026-01-15 is past"):
        anomalies.acknowledge(desk.db, number, date(2026, 1, 15), "x", moment)


def test_the_commands_list_close_and_acknowledge(desk: Desk, target: str, run_command: RunCommand) -> None:
    desk.publish(WEEK, OTC, ())
    desk.run(FRIDAYS[1])
    on = ("--db", target, "--run-date", "2026-01-16")
    listed = run_command("spine", "anomalies", "--severity", "error", "--unresolved", "--week", str(WEEK), *on)
    assert "NO_ROWS" in listed.stdout and f"\nnext: spine backfill --weeks {WEEK} --tiers {OTC} " in listed.stdout
    document = json.loads(run_command("spine", "anomalies", "--severity", "ERROR", "--json", *on).stdout)
    number = str(document["anomalies"][0]["id"])
    acknowledged = run_command("spine", "ack", number, "--until", "2026-01-20", "--reason", "known", *on)
    assert acknowledged.stdout == f"anomaly {number} (NO_ROWS, 2025-11-28 / OTC): acknowledged until 2026-01-20\n"
    assert "next:" not in run_command("spine", "anomalies", "--unresolved", *on).stdout
    closed = run_command("spine", "resolve", number, "--note", "fine", *on, env={"MARKET_SPINE_ACTOR": "ada"})
    assert closed.stdout == f"anomaly {number} (NO_ROWS, 2025-11-28 / OTC): resolved: fine (ada)\n"
    actions = desk.db.execute("SELECT action, reason FROM core_operator_actions ORDER BY id").fetchall()
    assert [tuple(row) for row in actions] == [("ack", "known"), ("resolve", "fine")]
    assert "unknown severity 'BAD'" in run_command("spine", "anomalies", "--severity", "bad", *on).stderr


def test_a_change_by_hand_holds_the_lock_while_it_is_made(db: Database, target: str) -> None:
    moment = datetime(2026, 1, 16, 12, tzinfo=timezone.utc)
    with changing(target, moment):
        assert holder_of(db) is not None
    assert holder_of(db) is None
