"""The one rule for exit codes, as a table."""

from __future__ import annotations

from datetime import date

import pytest

from market_spine import exit_rule
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, Partition

WEEK, OTHER = date(2025, 11, 28), date(2025, 12, 5)
INGEST, CALC, READINESS = Phase.INGEST, Phase.CALC, Phase.READINESS
DONE, SKIPPED, AWAITING, LATE, FAILED = Status.DONE, Status.SKIPPED, Status.AWAITING, Status.LATE, Status.FAILED


def outcome(phase: Phase, status: Status, tier: str | None = None, week: date = WEEK) -> Outcome:
    return Outcome(phase, status, week, tier, "")


RULE = {
    "nothing to do": ([], [], 0),
    "all done": ([outcome(INGEST, DONE, OTC)], [OTC], 0),
    "unchanged": ([outcome(INGEST, SKIPPED, OTC)], [OTC], 0),
    "not published yet": ([outcome(INGEST, AWAITING, OTC)], [OTC], 0),
    "late within grace": ([outcome(INGEST, LATE, OTC)], [OTC], 0),
    "a warning": ([outcome(CALC, Status.WARNING)], [OTC], 0),
    "not ready is no failure": ([outcome(READINESS, Status.NOT_READY)], [OTC], 0),
    "one of two failed": ([outcome(INGEST, FAILED, OTC), outcome(INGEST, DONE, NMS_TIER_1)], [OTC, NMS_TIER_1], 1),
    "all is held": ([outcome(Phase.NORMALIZE, Status.HELD, OTC)], [OTC], 1),
    "one is held, one failed": ([outcome(Phase.NORMALIZE, Status.HELD, OTC), outcome(INGEST, FAILED, NMS_TIER_1)], [OTC, NMS_TIER_1], 1),
    "all failed": ([outcome(INGEST, FAILED, OTC), outcome(INGEST, FAILED, NMS_TIER_1)], [OTC, NMS_TIER_1], 2),
    "all failed, in different phases": ([outcome(INGEST, FAILED, OTC), outcome(CALC, FAILED, NMS_TIER_1)], [OTC, NMS_TIER_1], 2),
    "failed after it was ingested": ([outcome(INGEST, DONE, OTC), outcome(Phase.NORMALIZE, FAILED, OTC)], [OTC], 2),
    "all failed that is published": ([outcome(INGEST, FAILED, OTC), outcome(INGEST, AWAITING, NMS_TIER_2)], [OTC, NMS_TIER_2], 2),
    "one failed, one is late": ([outcome(INGEST, FAILED, OTC), outcome(INGEST, LATE, NMS_TIER_2)], [OTC, NMS_TIER_2], 1),
    "one failed, of another nothing was to do": ([outcome(CALC, FAILED, OTC)], [OTC, NMS_TIER_1], 1),
    "only the week's results failed": ([outcome(INGEST, DONE, OTC), outcome(CALC, FAILED)], [OTC], 1),
    "without a plan, all that was tried failed": ([outcome(INGEST, FAILED, OTC), outcome(CALC, Status.WARNING)], None, 2),
    "without a plan, one of two weeks failed": ([outcome(INGEST, FAILED, OTC), outcome(INGEST, DONE, OTC, OTHER)], None, 1),
    "without a plan, a week's results failed": ([outcome(CALC, FAILED), outcome(READINESS, Status.NOT_READY)], None, 2),
    "without a plan, one of two results failed": ([outcome(CALC, FAILED), outcome(CALC, DONE, None, OTHER)], None, 1),
}


@pytest.mark.parametrize(("outcomes", "tiers", "code"), RULE.values(), ids=RULE)
def test_the_exit_code_says_how_much_failed(outcomes: list[Outcome], tiers: list[str] | None, code: int) -> None:
    requested = None if tiers is None else [Partition(WEEK, tier) for tier in tiers]
    assert exit_rule.of_outcomes(outcomes, requested) == code
