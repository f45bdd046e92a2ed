"""The decisions about a piece of work: tables of what goes in and what comes out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest

from market_spine.errors import UsageError
from market_spine.work.item import (
    Item,
    Lease,
    Params,
    Request,
    State,
    Verdict,
    after_failure,
    after_loss,
    after_waiting,
    given_back,
    is_dead,
)

NOW = datetime(2026, 1, 9, 12, tzinfo=timezone.utc)
WEEK = date(2025, 12, 26)
ITEM = Item(
    id=7, domain="finra.otc_transparency", pipeline="ingest_week", partition_key='{"week_ending": "2025-12-26", "tier": "OTC"}',
    params_json="{}", desired_at="2026-01-09T12:00:00+00:00", priority=0, state=State.RUNNING, attempt_count=1, max_attempts=3,
    last_error=None, last_error_at=None, next_attempt_at=None, current_execution_id="e", latest_execution_id="e",
    locked_by="host:1:ab", locked_at="2026-01-09T12:00:00+00:00", created_at="2026-01-09T12:00:00+00:00",
    updated_at="2026-01-09T12:00:00+00:00", completed_at=None,
)


def minutes(count: float) -> datetime:
    return NOW + timedelta(minutes=count)


FAILURES = [
    ("the first is tried again after 5 minutes", 1, 3, State.RETRY_WAIT, 5),
    ("the second after three times as long", 2, 3, State.RETRY_WAIT, 15),
    ("the third is final", 3, 3, State.FAILED, None),
    ("with one attempt the first is final", 1, 1, State.FAILED, None),
    ("with more attempts it goes on growing", 4, 9, State.RETRY_WAIT, 135),
]


@pytest.mark.parametrize(("attempt", "most", "state", "wait"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES])
def test_after_a_failure(attempt: int, most: int, state: State, wait: float | None) -> None:
    item = replace(ITEM, attempt_count=attempt, max_attempts=most)
    assert after_failure(item, "HTTP 503", NOW) == Verdict(state, "HTTP 503", None if wait is None else minutes(wait))


WAITS = [
    ("at first 5 minutes", 0, None, 5),
    ("a third of the time waited so far", 60, None, 20),
    ("at most 6 hours", 5000, None, 360),
    ("not before its publication", 0, 600, 600),
    ("a publication that is past does not hurry it", 60, -5, 20),
]


@pytest.mark.parametrize(("waited", "until", "wait"), [w[1:] for w in WAITS], ids=[w[0] for w in WAITS])
def test_what_waits_for_its_input_is_asked_again(waited: float, until: float | None, wait: float) -> None:
    item = replace(ITEM, desired_at=minutes(-waited).isoformat())
    verdict = after_waiting(item, "prerequisite missing: RAW", NOW, None if until is None else minutes(until))
    assert verdict == Verdict(State.RETRY_WAIT, "waits: prerequisite missing: RAW", minutes(wait), counts=False)


def test_a_dead_workers_item_goes_to_the_next_and_the_attempt_counts() -> None:
    assert after_loss(ITEM, "gone") == Verdict(State.PENDING, "gone")
    assert after_loss(replace(ITEM, attempt_count=3), "gone") == Verdict(State.FAILED, "gone")


def test_an_item_given_back_is_as_if_never_taken() -> None:
    assert given_back() == Verdict(State.PENDING, None, counts=False)


def test_a_long_error_becomes_one_line_of_bounded_length() -> None:
    reason = Verdict(State.FAILED, "first\n  second\t" + "x" * 5000).reason
    assert reason is not None
    assert reason.startswith("first second xxx")
    assert len(reason) == 2000


DEAD = [
    # age by the ledger's clock, seconds of silence while we watched, patience, dead?
    ("a heartbeat just came", 5, 5, 12, False),
    ("the lease has one second left", 1799, 700, 12, False),
    ("the lease is over, and we have watched long enough", 1800, 12, 12, True),
    ("the lease is over, but we have only just come", 1800, 11, 12, False),
    ("the lease is over, and nobody asks us to watch", 1800, 0, 0, True),
    ("our clock jumped by a day, but the worker is heard", 86400, 3, 12, False),
    ("the stamp lies in the future, and no heartbeat came for a whole lease", -7200, 1800, 12, True),
    ("the stamp lies in the future, and we have not watched a whole lease", -7200, 1799, 12, False),
]


@pytest.mark.parametrize(("age", "silent", "patience", "dead"), [d[1:] for d in DEAD], ids=[d[0] for d in DEAD])
def test_a_lease_is_taken_back_when(age: float, silent: float, patience: float, dead: bool) -> None:
    assert is_dead(age, silent, Lease(), patience) is dead


@pytest.mark.parametrize(("seconds", "beat"), [(3, 0.6), (60, 12), (1800, 60), (86400, 60)])
def test_heartbeats_come_five_times_a_lease_and_at_least_once_a_minute(seconds: int, beat: float) -> None:
    assert Lease(timedelta(seconds=seconds)).beat == beat


REFUSED = [
    ("a Monday", {"week_ending": date(2025, 12, 22)}, "not a Friday"),
    ("an unknown tier", {"tier": "T1"}, "unknown tier 'T1'"),
    ("an unknown pipeline", {"pipeline": "drop_tables"}, "no pipeline 'drop_tables'"),
    ("another domain", {"domain": "sec"}, "no domain 'sec'"),
    ("no tier where one is needed", {"tier": None}, "needs a tier"),
    ("a tier where there is none", {"pipeline": "compute_weekly_totals"}, "takes no tier"),
]


@pytest.mark.parametrize(("change", "says"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_a_request_checks_itself(change: dict[str, object], says: str) -> None:
    facts: dict[str, object] = {"pipeline": "ingest_week", "week_ending": WEEK, "tier": "OTC", **change}
    with pytest.raises(UsageError, match=says) as caught:
        Request(**facts)  # type: ignore[arg-type]
    assert caught.value.hint


@pytest.mark.parametrize("params", [Params(), Params(date(2026, 1, 9)), Params(force=True), Params(date(2026, 1, 9), True)])
def test_params_survive_being_stored(params: Params) -> None:
    assert Params.from_json(params.to_json()) == params


def test_an_item_as_a_document_has_its_key_and_params_opened() -> None:
    document = replace(ITEM, params_json='{"force": true}').as_document()
    assert document["partition_key"] == {"week_ending": "2025-12-26", "tier": "OTC"}
    assert document["params"] == {"force": True}
    assert document["state"] == "RUNNING"
    assert (ITEM.where, ITEM.tier, ITEM.week_ending) == ("ingest_week 2025-12-26 / OTC", "OTC", WEEK)
