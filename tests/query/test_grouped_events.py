"""What changed at once is one event, and is read by subject."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.desk import FRIDAYS, WEEK, Desk

from market_spine.core import events
from market_spine.core.events import Kind
from market_spine.db import Database
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS
from market_spine.query import changes


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """Tier 1 is loaded a week before the others."""
    desk = Desk(tmp_path / "files", db)
    desk.publish(WEEK, NMS_TIER_1)
    desk.run(FRIDAYS[0])
    desk.publish_weeks([WEEK])
    desk.run(FRIDAYS[1])
    return desk


def judgements(db: Database) -> Iterator[dict[str, Any]]:
    entries = (json.loads(line.line) for line in events.lines(db))
    return (entry for entry in entries if entry["kind"] == Kind.READINESS_CHANGED.value)


def test_tiers_that_changed_with_their_week_are_in_its_event(desk: Desk) -> None:
    found = [(entry["subject"], entry["body"]["ready"], entry["body"].get("tiers", {})) for entry in judgements(desk.db)]
    ready = {"issues": [], "ready": True}
    assert [subject for subject, _, _ in found] == [str(WEEK)] * len(found)
    first, second, third, last = found[0][2], *(tiers for _, _, tiers in found[-3:])
    assert (first[NMS_TIER_1], set(first)) == (ready, set(TIERS))
    assert (second[NMS_TIER_2], third, last, found[-1][1]) == (ready, {OTC: ready}, {}, True)


def test_a_week_is_not_judged_for_rows_of_a_tier_that_was_not_ready(desk: Desk) -> None:
    """Tier 1 is ready, and the rows of the others are stored before the measures of either."""
    second_run = [entry for entry in judgements(desk.db) if entry["at"].startswith(str(FRIDAYS[1]))]
    assert len(second_run) == 3  # after the measures of each tier, and after those of the week


def test_the_log_of_a_tier_has_its_own_part_of_such_an_event(desk: Desk) -> None:
    entries = changes.of_week(desk.db, WEEK, (OTC,))
    told = [(line.subject, line.words) for line in changes.lines(entries, (OTC,))]
    assert (f"{WEEK} / {OTC}", "ready") in told
    assert not any(NMS_TIER_2 in subject for subject, _ in told)


def test_changes_have_a_line_for_each_subject_of_an_event(desk: Desk) -> None:
    entry = next(entry for entry in judgements(desk.db) if entry["body"].get("tiers", {}).keys() == {OTC})
    week, tier = changes.sentences(entry)
    assert f"{WEEK}: not ready: " in week
    assert f"{WEEK} / {OTC}: ready" in tier
    assert int(week.split()[0]) == int(tier.split()[0]) == entry["seq"]
