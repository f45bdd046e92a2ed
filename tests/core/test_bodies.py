"""Bodies of events: what a line leaves out is added again, and lines that leave out nothing are read as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.desk import FRIDAYS, WEEK, restated

from market_spine.core import bodies, events, judgements, replay
from market_spine.core.events import Kind, Line
from market_spine.db import Database
from market_spine.operate import rollback
from market_spine.partition import OTC

AT = "2026-02-13T12:00:00+00:00"
LATER = "2026-02-13T12:00:01+00:00"
CAPTURE = "finra.otc_transparency:OTC:2026-01-09:20260213"
RESULT = "finra.otc_transparency:WEEK:2026-01-09:20260213"

Body = dict[str, Any]
SHORT: dict[str, tuple[str, Body, Body]] = {
    "a content": (
        "2026-01-09/OTC", {"capture_id": CAPTURE, "ingest_no": 2, "run_date": "2026-02-13", "observed_at": AT, "lines": 3},
        {"capture": "20260213@2", "lines": 3},
    ),
    "a content that was observed before": (
        "2026-01-09/OTC", {"capture_id": CAPTURE, "ingest_no": 1, "observed_at": LATER},
        {"capture": "20260213@1", "observed_at": LATER},
    ),
    "a capture without a content": ("2026-01-09/OTC", {"capture_id": CAPTURE, "name": None}, {"capture": "20260213", "name": None}),
    "another run date": (
        "2026-01-09/OTC", {"capture_id": CAPTURE, "run_date": "2026-02-14"}, {"capture": "20260213", "run_date": "2026-02-14"},
    ),
    "a capture of another partition": ("2026-01-09/NMS_TIER_1", {"capture_id": CAPTURE}, {"capture_id": CAPTURE}),
    "no capture": ("2026-01-09/OTC", {"capture_id": None, "ingest_no": 1}, {"capture_id": None, "ingest_no": 1}),
    "an id of another form": (
        "2026-01-09/OTC", {"capture_id": f"{CAPTURE[:-8]}x"}, {"capture_id": f"{CAPTURE[:-8]}x"},
    ),
    "a result": (
        "2026-01-09", {"result_id": RESULT, "made_from": {"OTC": {"capture_id": CAPTURE, "ingest_no": 4}}},
        {"result": "20260213", "made_from": {"OTC": "20260213@4"}},
    ),
    "a result of what was imported": (
        "2026-01-09", {"result_id": RESULT, "made_from": {"OTC": {"capture_id": "c", "ingest_no": 1}}},
        {"result": "20260213", "made_from": {"OTC": {"capture_id": "c", "ingest_no": 1}}},
    ),
    "nothing to leave out": ("", {"id": 1, "note": "looked at"}, {"id": 1, "note": "looked at"}),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_line_leaves_out_what_its_subject_and_time_say(name: str) -> None:
    subject, body, expected = SHORT[name]
    short = bodies.short(subject, AT, body)
    assert short == expected
    moments = {"observed_at": AT} if body.get("observed_at") == AT else {}
    assert bodies.full({"subject": subject, "body": short}) | moments == body | (
        {"run_date": body.get("run_date", "2026-02-13")} if "capture" in short else {}
    )


def as_before(entry: Body) -> list[Body]:
    """The events that lines held before they left anything out."""
    body = bodies.full(entry)
    if entry["kind"] == Kind.READINESS_CHANGED.value:
        judged = judgements.read(entry)
        return [entry | {"subject": s, "body": {"ready": j.is_ready, "issues": list(j.issues)}} for s, j in judged.items()]
    if entry["kind"] == Kind.WINDOW_MADE.value:
        nothing = {"hhi_before": None, "total_shares_before": None}
        return [entry | {"body": nothing | window} for window in body["windows"]]
    for name, kind in (("observed_at", Kind.CAPTURE_STORED), ("normalized_at", Kind.CAPTURE_NORMALIZED)):
        if entry["kind"] == kind.value:
            body.setdefault(name, entry["at"])
    return [entry | {"body": body}]


def test_a_log_that_began_with_whole_bodies_adds_up_to_the_same(db: Database, tmp_path: Path) -> None:
    desk = restated(tmp_path / "files", db)
    rollback.roll_back(desk.context(FRIDAYS[3]), WEEK, (OTC,), "wrong")
    windows = [{"length": length, "inputs_hash": "ab", "hhi": None, "total_shares": "5"} for length in (6, 13)]
    events.record(db, Kind.WINDOW_MADE, f"{WEEK}/{OTC}", AT, windows=windows)
    lines = list(events.lines(db))
    old = [Line(0, json.dumps(each), b"") for line in lines for each in as_before(json.loads(line.line))]
    assert len(old) > len(lines)
    assert replay.replay(old) == replay.replay(lines)
    assert replay.differences(db, replay.replay(old)) == []
