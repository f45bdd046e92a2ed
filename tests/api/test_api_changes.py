"""The log of events over HTTP: changes since a cursor, and readiness and anomalies as of a day."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.api_server import serving
from support.desk import FRIDAYS, WEEK, Desk, ready_week

from market_spine.core import events
from market_spine.db import Database
from market_spine.operate import rollback
from market_spine.partition import OTC


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    desk = ready_week(tmp_path / "files", db)
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, (OTC,), "wrong")
    return desk


def test_changes_and_past_days_are_served(desk: Desk, target: str, tmp_path: Path) -> None:
    size = events.head(desk.db).size
    with serving(target, tmp_path) as api:
        first = api.client.get("/api/v1/changes", params={"since": 0, "limit": 5}).json()
        rest = api.client.get("/api/v1/changes", params={"since": first["cursor"], "limit": 500}).json()
        empty = api.client.get("/api/v1/changes", params={"since": size, "wait": 0.1}).json()
        assert [entry["seq"] for entry in first["events"] + rest["events"]] == list(range(1, size + 1))
        assert empty == {"events": [], "cursor": size}
        week = {"week": str(WEEK), "limit": 10}
        now = api.client.get("/api/v1/readiness", params=week).json()["readiness"]
        then = api.client.get("/api/v1/readiness", params={**week, "as_of": str(FRIDAYS[1])}).json()["readiness"]
        assert [all(row["is_ready"] for row in rows) for rows in (now, then)] == [False, True]
        before = api.client.get("/api/v1/anomalies", params={"as_of": "2020-01-01"})
        assert (before.status_code, before.json()["status"]) == (404, 404)
