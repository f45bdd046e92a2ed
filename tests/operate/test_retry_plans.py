"""What a retry repeats, decided from the outcomes a run has kept."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from market_spine.app.plan import Plan, only
from market_spine.operate.retry import Failed, Retry, failed_of
from market_spine.outcome import Phase
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC

WEEK = date(2025, 11, 28)
ONE = (WEEK,)


def failure(phase: str, tier: str | None, reason: str, outcome: str = "failed") -> dict[str, Any]:
    return {"week_ending": str(WEEK), "tier": tier, "phase": phase, "reason": reason, "outcome": outcome}


WAYS = {
    "nothing failed": ([failure("ingest", OTC, "NEW", "done")], {}),
    "the source": ([failure("ingest", OTC, "SOURCE_UNAVAILABLE")], {WEEK: Failed((OTC,))}),
    "refused content": ([failure("normalize", OTC, "NO_ROWS")], {WEEK: Failed((OTC,))}),
    "damaged bytes": ([failure("normalize", OTC, "RAW_DAMAGED")], {WEEK: Failed(damaged=(OTC,))}),
    "the connection": ([failure("normalize", OTC, "DATABASE_LOST")], {WEEK: Failed(later=(OTC,))}),
    "a fault of the program": ([failure("normalize", OTC, "UNEXPECTED")], {WEEK: Failed(later=(OTC,))}),
    "a tier's measures": ([failure("calc", OTC, "UNEXPECTED")], {WEEK: Failed(later=(OTC,))}),
    "the week's results": ([failure("calc", None, "UNEXPECTED")], {WEEK: Failed()}),
    "the first failure decides": (
        [failure("ingest", OTC, "SOURCE_UNAVAILABLE"), failure("calc", OTC, "UNEXPECTED")], {WEEK: Failed((OTC,))},
    ),
    "each tier its way": (
        [failure("normalize", OTC, "RAW_DAMAGED"), failure("ingest", NMS_TIER_1, "X"), failure("calc", NMS_TIER_2, "UNEXPECTED")],
        {WEEK: Failed((NMS_TIER_1,), (OTC,), (NMS_TIER_2,))},
    ),
}


@pytest.mark.parametrize(("partitions", "expected"), WAYS.values(), ids=WAYS)
def test_what_failed_says_how_it_is_repeated(partitions: list[dict[str, Any]], expected: dict[date, Failed]) -> None:
    assert failed_of({"partitions": partitions}) == expected


PLANS = {
    "at the source": (Failed((OTC,)), [Plan(ONE, (OTC,))]),
    "damaged": (Failed(damaged=(OTC,)), [Plan(ONE, (OTC,))]),
    "later stages only": (Failed(later=(OTC,)), [Plan(ONE, (OTC,), only(Phase.NORMALIZE)), Plan(ONE, (OTC,), only(Phase.CALC))]),
    "the week itself": (Failed(), [Plan(ONE, (), only(Phase.CALC))]),
    "both": (Failed((OTC,), (), (NMS_TIER_1,)),
             [Plan(ONE, (OTC,)), Plan(ONE, (NMS_TIER_1,), only(Phase.NORMALIZE)), Plan(ONE, (NMS_TIER_1,), only(Phase.CALC))]),
}


@pytest.mark.parametrize(("failed", "plans"), PLANS.values(), ids=PLANS)
def test_it_is_repeated_by_just_these_plans(failed: Failed, plans: list[Plan]) -> None:
    assert failed.plans(WEEK) == plans
    assert failed.asks_source == bool(failed.at_source or failed.damaged)


def test_a_retry_takes_the_arguments_of_the_run_and_says_whose_they_are() -> None:
    asked = Retry("run-1", {"source": "api", "max_reject_percent": 10, "force": True, "weeks": ["x"]}, {WEEK: Failed((OTC,))})
    assert (asked.source, asked.limits.max_reject_ratio, asked.force) == (("api", "", 512, False, False), 0.1, True)
    assert (asked.repeated()["retry_of"], asked.repeated()["weeks"]) == ("run-1", [str(WEEK)])
