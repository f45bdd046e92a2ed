"""Which lines a run logs for people: table tests of the journal and the marks."""

from __future__ import annotations

import logging
from datetime import date, timedelta

import pytest

from market_spine.app import report
from market_spine.app.journal import Journal
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import OTC, TIERS, Partition

WEEK = date(2026, 1, 9)


def of_partition(status: Status, tier: str = OTC, phase: Phase = Phase.INGEST, **facts: object) -> Outcome:
    return Outcome.of(phase, status, Partition(WEEK, tier), "text", **facts)


def of_week(status: Status, weeks: int = 0, **details: object) -> Outcome:
    return Outcome(Phase.READINESS, status, WEEK - timedelta(weeks=weeks), None, "text", details=details)


def lines_of(journal: Journal, *outcomes: Outcome) -> list[str]:
    lines = [line.text for outcome in outcomes for line in journal.lines(outcome)]
    return lines + [line.text for line in journal.rest()]


@pytest.mark.parametrize(
    ("outcome", "mark"),
    [
        (of_partition(Status.DONE), "✓"),
        (of_partition(Status.SKIPPED), "→"),
        (of_partition(Status.LATE), "⚠"),
        (of_partition(Status.FAILED), "✗"),
        (of_partition(Status.WARNING, phase=Phase.NORMALIZE, rows=300, details={"rejects": 1}), "✓"),
        (of_partition(Status.WARNING, phase=Phase.NORMALIZE, rows=300, details={"rejects": 4}), "⚠"),
        (of_partition(Status.WARNING, phase=Phase.NORMALIZE, rows=9, details={"rejects": 0, "totals_problem": "X"}), "⚠"),
        (of_partition(Status.WARNING, phase=Phase.NORMALIZE), "⚠"),
        (of_week(Status.NOT_READY, only_awaits=True), "→"),
        (of_week(Status.NOT_READY, only_awaits=False), "⚠"),
    ],
    ids=[
        "done", "unchanged", "late", "failed", "a stray bad line", "many bad lines", "totals that do not fit", "nothing to do",
        "a week that waits for FINRA", "a week that is blocked",
    ],
)
def test_a_mark_warns_only_of_what_somebody_should_look_at(outcome: Outcome, mark: str) -> None:
    assert report.mark_of(outcome) == mark


def test_what_is_awaited_is_one_line_with_the_next_day() -> None:
    lines = lines_of(Journal(), *(of_partition(Status.AWAITING, tier) for tier in TIERS), of_partition(Status.DONE, phase=Phase.NORMALIZE))
    assert lines == [
        "Phase 1: Ingestion", "→ 3 partitions not yet published; next Mon 2026-01-26: 2026-01-09 / NMS_TIER_1",
        "Phase 2: Normalization", "2026-01-09 / OTC: ✓ text",
    ]


def test_weeks_that_wait_are_one_line_and_a_blocked_one_has_its_own() -> None:
    waiting = [of_week(Status.NOT_READY, weeks, only_awaits=True) for weeks in range(4)]
    lines = lines_of(Journal(), *waiting, of_week(Status.NOT_READY, 5, only_awaits=False))
    assert lines == [
        "Phase 4: Readiness", "2025-12-05: ⚠ text", "→ Awaiting publication: 4 weeks (2025-12-19 to 2026-01-09)",
    ]


def test_a_ready_week_in_which_nothing_happened_was_ready_already() -> None:
    changed = of_partition(Status.DONE, phase=Phase.CALC)
    assert lines_of(Journal(), of_week(Status.READY))[-1] == "2026-01-09: ✓ Already ready (no changes)"
    assert lines_of(Journal(), changed, of_week(Status.READY))[-1] == "2026-01-09: ✓ text"


def test_unfolded_each_outcome_has_a_line_and_there_are_no_headings() -> None:
    assert lines_of(Journal(folds=False), *(of_partition(Status.AWAITING, tier) for tier in TIERS)) == [
        f"2026-01-09 / {tier}: → text" for tier in TIERS
    ]


def test_a_failure_is_an_error_and_a_bad_week_a_warning() -> None:
    lines = [*Journal().lines(of_partition(Status.FAILED)), *Journal().lines(of_week(Status.NOT_READY, only_awaits=False))]
    assert [line.level for line in lines if line.outcome] == [logging.ERROR, logging.WARNING]
