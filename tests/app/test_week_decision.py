"""Whether a week's results are made, left alone or waited for, as a table."""

from __future__ import annotations

from datetime import date

import pytest

from market_spine.app.calc import decide_week
from market_spine.outcome import Status
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS

WEEKS = {
    "every tier measured": (TIERS, (), False, Status.DONE),
    "made of just these": (TIERS, (), True, Status.SKIPPED),
    "one tier missing": ((NMS_TIER_1, NMS_TIER_2), (), False, Status.WARNING),
    "the missing ones are not due": ((NMS_TIER_1,), (NMS_TIER_2, OTC), False, Status.AWAITING),
    "one of the missing is due": ((NMS_TIER_1,), (OTC,), False, Status.WARNING),
    "nothing measured, nothing due": ((), TIERS, False, Status.AWAITING),
    "a tier came before it was due": (TIERS, (OTC,), False, Status.DONE),
}


@pytest.mark.parametrize(("used", "awaited", "is_fresh", "status"), WEEKS.values(), ids=WEEKS)
def test_a_week_is_measured_when_its_tiers_are(
    used: tuple[str, ...], awaited: tuple[str, ...], is_fresh: bool, status: Status
) -> None:
    assert decide_week(date(2025, 11, 28), used, awaited, is_fresh=is_fresh).status is status


def test_a_tier_that_is_awaited_is_not_called_missing() -> None:
    """One tier is due and held, the others are not published yet: only one of them is somebody's to look at."""
    outcome = decide_week(date(2025, 11, 28), [], [NMS_TIER_2, OTC], is_fresh=False)
    assert outcome.message == "Missing tiers [NMS_TIER_1], skipping cross-tier calcs"
    assert (outcome.details["expected_tiers"], outcome.details["actual_tiers"]) == ([NMS_TIER_1], [])
