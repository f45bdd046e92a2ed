"""Which captures a prune removes, decided from what is listed."""

from __future__ import annotations

from datetime import date

import pytest

from market_spine.operate.prune import choose
from market_spine.query.history import CURRENT, PRUNED, SUPERSEDED, UNFINISHED, WITHDRAWN, Entry

KEPT_FROM = date(2026, 1, 16)
OLD, OLDER, RECENT = "2026-01-09", "2026-01-02", "2026-01-23"
LONG_AGO, LATELY = "2026-01-09T12:00:00+00:00", "2026-01-20T12:00:00+00:00"


def capture(run_date: str, state: str, *, tier: str = "OTC", pin: str | None = None) -> Entry:
    return Entry(0, run_date, "2025-11-28", tier, run_date, "", None, None, 1, 1, "", state, pin, None)


CHOICES = {
    "superseded long ago": ([capture(OLDER, SUPERSEDED), capture(OLD, CURRENT)], {OLDER: LONG_AGO, OLD: None}, [OLDER]),
    "superseded lately": ([capture(OLDER, SUPERSEDED), capture(OLD, CURRENT)], {OLDER: LATELY, OLD: None}, []),
    "the current one": ([capture(OLDER, CURRENT), capture(OLD, UNFINISHED)], {OLDER: None}, []),
    "the newest one, refused": ([capture(OLDER, CURRENT), capture(OLD, UNFINISHED)], {OLDER: None}, []),
    "never current": ([capture(OLDER, UNFINISHED), capture(OLD, CURRENT)], {OLD: None}, []),
    "the last good one where there is no current": (
        [capture(OLDER, WITHDRAWN), capture(OLD, UNFINISHED)], {OLDER: LONG_AGO}, [],
    ),
    "pinned": ([capture(OLDER, SUPERSEDED, pin="audit"), capture(OLD, CURRENT)], {OLDER: LONG_AGO, OLD: None}, []),
    "pruned already": ([capture(OLDER, PRUNED), capture(OLD, CURRENT)], {OLD: None}, []),
    "of a recent day": ([capture(RECENT, SUPERSEDED), capture("2026-01-30", CURRENT)], {RECENT: LONG_AGO}, []),
    "each partition for itself": (
        [capture(OLDER, SUPERSEDED), capture(OLD, CURRENT, tier="NMS_TIER_1")], {OLDER: LONG_AGO, OLD: None}, [],
    ),
}


@pytest.mark.parametrize(("entries", "until", "goes"), CHOICES.values(), ids=CHOICES)
def test_a_capture_goes_when_nobody_can_need_it(entries: list[Entry], until: dict[str, str | None], goes: list[str]) -> None:
    assert [entry.capture_id for entry in choose(entries, until, KEPT_FROM)] == goes
