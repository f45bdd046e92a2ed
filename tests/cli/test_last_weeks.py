"""`--last N` and `latest` in every command that lists by week: of the tiers and of the day that are named."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.commands import Finished, run_here
from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine.core.anomalies import record_anomaly
from market_spine.db import Database
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, partition_key

BEFORE, LATER = date(2025, 11, 21), date(2025, 12, 5)
BOTH = "Error: --last and --weeks exclude each other. Try: leave one of them out\n"


@pytest.fixture
def typed(db: Database, target: str, tmp_path: Path) -> Any:
    """What a person types, where the third week is published in one tier alone, and only on the second Friday."""
    desk = Desk(tmp_path / "files", db)
    for week, tiers in ((BEFORE, (NMS_TIER_1, NMS_TIER_2, OTC)), (WEEK, (NMS_TIER_1, NMS_TIER_2, OTC)), (LATER, (NMS_TIER_1,))):
        for n, tier in enumerate(tiers):
            desk.publish(week, tier, (*REVISED, (f"OWN{n}{week.day}", "UBSA", "UBS ATS", 10 + n, 1)))
    desk.run(FRIDAYS[0], weeks=(BEFORE, WEEK))
    desk.run(FRIDAYS[1], weeks=(LATER,))
    for week in (BEFORE, WEEK, LATER):
        key = partition_key(str(week), OTC)
        record_anomaly(db, domain="finra.otc_transparency", severity="WARN", category="RAISED", message=str(week), partition_key=key)

    def run(*words: str) -> Finished:
        return run_here([*words, "--db", target], tmp_path, {"MARKET_SPINE_RUN_DATE": str(LATER)})

    return run


QUERIES = {
    "--last 1": {LATER},
    "--last 2": {WEEK, LATER},
    "--last 9": {BEFORE, WEEK, LATER},
    "--last 1 --tiers OTCE": {WEEK},
    "--weeks latest --tiers OTCE": {WEEK},
    f"--last 1 --as-of {FRIDAYS[0]}": {WEEK},
    f"--weeks latest --as-of {FRIDAYS[0]}": {WEEK},
}


def test_a_query_counts_the_stored_weeks_and_the_others_those_up_to_the_day(typed: Any, tmp_path: Path) -> None:
    for words, weeks in QUERIES.items():
        rows = json.loads(typed("spine", "query", "hhi", *words.split(), "--json").stdout)["rows"]
        assert {row["week_ending"] for row in rows} == set(map(str, weeks)), words
    assert typed("spine", "publish", "out.db", "--last", "1", "--view", "hhi").exit_code == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "out.db")) as published:
        assert published.execute("SELECT DISTINCT week_ending FROM hhi").fetchall() == [(str(LATER),)]
    listed = json.loads(typed("spine", "anomalies", "--severity", "WARN", "--last", "2", "--json").stdout)["anomalies"]
    assert {each["message"] for each in listed if each["category"] == "RAISED"} == {str(WEEK), str(LATER)}, "the weeks up to the day, stored or not"
    typed("spine", "work", "enqueue", "ingest_week", str(BEFORE), "OTC")
    assert json.loads(typed("spine", "work", "list", "--last", "1", "--json").stdout)["items"] == []
    for words in (("query", "hhi"), ("anomalies",), ("work", "list")):
        assert typed("spine", *words, "--last", "2", "--weeks", str(WEEK)).stderr == BOTH
