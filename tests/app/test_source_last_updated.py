"""The newest lastUpdateDate of a content is in its RAW row, whatever it came from."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.app.scheduler import check_revision_needed_via_metadata
from market_spine.db import Database
from market_spine.operate import rebuild
from market_spine.partition import OTC

DATED = "2026-01-05"


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """A file whose newest row is dated after its publication."""
    made = Desk(tmp_path / "files", db)
    path = made.publish(WEEK, OTC)
    *lines, last = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([*lines, last.rpartition("|")[0] + f"|{DATED}"]) + "\n", "utf-8")
    return made


def kept(desk: Desk) -> list[str | None]:
    rows = desk.db.execute("SELECT metadata_json FROM core_manifest WHERE stage = 'RAW' ORDER BY capture_id").fetchall()
    return [json.loads(text).get("source_last_updated") for (text,) in rows]


def test_a_file_keeps_its_newest_date_once_it_is_read(desk: Desk) -> None:
    desk.run(FRIDAYS[0], tiers=(OTC,), only="ingest")
    assert kept(desk) == [None]
    desk.run(FRIDAYS[0], tiers=(OTC,))
    assert kept(desk) == [f"{DATED}T00:00:00+00:00"]


def test_a_capture_is_compared_by_it(desk: Desk) -> None:
    desk.run(FRIDAYS[0], tiers=(OTC,))
    dates = [datetime(2026, 1, day, tzinfo=timezone.utc) for day in (5, 6)]
    checks = [check_revision_needed_via_metadata(WEEK, OTC, each, desk.db) for each in dates]
    assert [check.needed for check in checks] == [False, True]


def test_each_content_has_its_own(desk: Desk) -> None:
    desk.run(FRIDAYS[0], tiers=(OTC,))
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[0], tiers=(OTC,))
    desk.publish(WEEK, OTC, PLAIN)
    desk.run(FRIDAYS[1], tiers=(OTC,))
    assert kept(desk) == ["2025-12-29T00:00:00+00:00"] * 2


def test_a_rebuild_adds_it_to_captures_of_earlier_releases(desk: Desk) -> None:
    desk.run(FRIDAYS[0], tiers=(OTC,))
    before = kept(desk)
    for (capture_id, text) in desk.db.execute("SELECT capture_id, metadata_json FROM core_manifest WHERE stage = 'RAW'").fetchall():
        facts = {name: value for name, value in json.loads(text).items() if name != "source_last_updated"}
        desk.db.execute("UPDATE core_manifest SET metadata_json = ? WHERE capture_id = ? AND stage = 'RAW'", (json.dumps(facts), capture_id))
    rebuild.rebuild(desk.context(FRIDAYS[1]), WEEK)
    assert kept(desk) == before
