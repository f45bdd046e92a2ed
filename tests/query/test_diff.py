"""What a restatement changed, row by row and in the whole; and the list of captures it starts from."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, WEEK, Desk, restated

from market_spine.db import Database
from market_spine.errors import NotFound, UsageError
from market_spine.operate import rollback
from market_spine.partition import NMS_TIER_1, OTC
from market_spine.query import diff, history
from market_spine.query.diff import ADDED, CHANGED, REMOVED

ID = "finra.otc_transparency:OTC:2025-11-28:"


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return restated(tmp_path / "files", db)


def test_rows_shares_movers_and_concentration(desk: Desk) -> None:
    found = diff.compare(desk.db, *history.last_two(desk.db, WEEK, OTC))
    assert [(row.kind, row.key.symbol, row.key.mpid) for row in found.rows] == [
        (CHANGED, "AAPL", "UBSA"),
        (REMOVED, "BRK.B", "UBSA"),
        (ADDED, "NVDA", "JPMX"),
    ]
    assert (found.before.shares, found.after.shares) == (2000.5, 2370)
    assert [(m.name, m.moved) for m in found.symbols] == [("AAPL", 500), ("BRK.B", -200.5), ("NVDA", 70)]
    assert [(m.name, m.moved, m.share_before, m.share_after) for m in found.venues] == [
        ("UBSA", 299.5, pytest.approx(1200.5 / 2000.5), pytest.approx(1500 / 2370)),
        ("JPMX", 70, pytest.approx(500 / 2000.5), pytest.approx(570 / 2370)),
    ]
    assert found.hhi_before == pytest.approx((1200.5**2 + 500**2 + 300**2) / 2000.5**2)
    assert found.hhi_after == pytest.approx((1500**2 + 570**2 + 300**2) / 2370**2)


def test_a_renamed_venue_is_one_changed_row_without_movement(desk: Desk) -> None:
    desk.publish(WEEK, NMS_TIER_1, [(s, m, "UBS ATS II" if m == "UBSA" else v, q, t) for s, m, v, q, t in PLAIN])
    desk.run(FRIDAYS[2])
    found = diff.compare(desk.db, *history.last_two(desk.db, WEEK, NMS_TIER_1))
    assert [(row.kind, row.key.mpid, row.moved) for row in found.rows] == [(CHANGED, "UBSA", 0), (CHANGED, "UBSA", 0)]
    assert (found.symbols, found.venues) == ((), ())


def test_the_difference_holds_for_a_withdrawn_capture_and_not_for_an_unfinished_one(desk: Desk) -> None:
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, [OTC], "why")
    assert len(diff.compare(desk.db, *history.last_two(desk.db, WEEK, OTC)).rows) == 3
    desk.publish(WEEK, OTC, PLAIN[:2])
    desk.run(FRIDAYS[2], only="ingest")
    with pytest.raises(UsageError, match="is not normalized"):
        diff.compare(desk.db, *(history.find_capture(desk.db, ID + day) for day in ("20260109", "20260123")))
    with pytest.raises(NotFound, match="has 1 normalized captures"):
        history.last_two(desk.db, WEEK, NMS_TIER_1)


@pytest.mark.parametrize("name", [ID + "20260116", "OTC:2025-11-28:20260116", "2025-11-28:20260116", "good"])
def test_a_capture_is_found_by_id_by_its_end_and_by_its_pin(desk: Desk, name: str) -> None:
    desk.db.execute("UPDATE finra_otc_transparency_capture SET pinned_as = 'good' WHERE capture_id = ?", (ID + "20260116",))
    assert history.find_capture(desk.db, name).capture_id == ID + "20260116"


@pytest.mark.parametrize(("name", "says"), [("20260109", "may be 3 captures"), ("no_such", "there is no capture 'no_such'")])
@pytest.mark.one_engine
def test_a_name_that_fits_none_or_many_is_said(desk: Desk, name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        history.find_capture(desk.db, name)


def test_captures_tell_why_how_far_and_which_is_current(desk: Desk) -> None:
    desk.publish(WEEK, OTC, PLAIN[:1])
    desk.run(FRIDAYS[2], only="ingest")
    told = [(e.run_date, e.reason, e.stage, e.rows, e.shares, e.state) for e in history.list_captures(desk.db, WEEK, (OTC,))]
    assert told == [
        ("2026-01-09", "NEW", "CALC", 4, 2000.5, "superseded"),
        ("2026-01-16", "CHANGED", "CALC", 4, 2370, "current"),
        ("2026-01-23", "CHANGED", "RAW", 1, None, "unfinished"),
    ]
    assert len(history.list_captures(desk.db)) == 5
    assert history.list_captures(desk.db, WEEK + timedelta(weeks=1)) == []


@pytest.mark.one_engine
def test_the_command_prints_a_table_csv_and_json(desk: Desk, target: str, run_command: RunCommand) -> None:
    asked = ("spine", "diff", str(WEEK), "otc", "--db", target)
    text = run_command(*asked).stdout
    assert "Rows:    4 → 4 (1 added, 1 removed, 1 changed)" in text
    assert "Shares:  2,000.5 → 2,370 (+369.5)" in text
    rows = list(csv.DictReader(io.StringIO(run_command(*asked, "--csv").stdout)))
    assert [(r["change"], r["symbol"], r["shares_before"], r["shares_after"]) for r in rows] == [
        ("changed", "AAPL", "1000", "1500"),
        ("removed", "BRK.B", "200.5", ""),
        ("added", "NVDA", "", "70"),
    ]
    document = json.loads(run_command("spine", "diff", ID + "20260109", ID + "20260116", "--json", "--db", target).stdout)
    assert document["counts"] == {"added": 1, "removed": 1, "changed": 1}
    assert len(document["rows"]) == 3
    captures = json.loads(run_command("spine", "captures", str(WEEK), "--json", "--db", target).stdout)["captures"]
    assert [c["is_current"] for c in captures] == [True, True, False, True]
    same = run_command("spine", "diff", ID + "20260109", ID + "20260109", "--db", target)
    assert same.stdout.endswith("No differences.\n")
    assert "not a Friday" in run_command("spine", "diff", "2025-11-27", "otc", "--db", target).stderr
