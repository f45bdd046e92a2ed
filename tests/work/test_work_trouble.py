"""What fails around a worker's items: how long it is waited for, what is reported, and what ends the process."""

from __future__ import annotations

import logging

import pytest

from market_spine.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseLocked,
    DatabaseLost,
    NotADatabase,
    SchemaTooNew,
    SchemaTooOld,
)
from market_spine.work.trouble import Troubles, is_hopeless, pause_after

LOST = DatabaseLost("the server is away")


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0.5), (2, 1), (3, 2), (6, 16), (7, 30), (5_000, 30)], ids=lambda value: str(value)
)
def test_a_pause_doubles_up_to_half_a_minute(failures: int, seconds: float) -> None:
    assert pause_after(failures) == seconds


@pytest.mark.parametrize(
    ("error", "seconds", "hopeless"),
    [
        pytest.param(LOST, 86_400, False, id="a server comes back some day"),
        pytest.param(DatabaseLocked("x"), 86_400, False, id="a lock is given back some day"),
        pytest.param(DatabaseError("read-only"), 86_400, False, id="a read-only or full database becomes writable again"),
        pytest.param(SchemaTooNew("x"), 0, True, id="a newer schema needs a newer program"),
        pytest.param(SchemaTooOld("x"), 0, True, id="an older schema needs a migration"),
        pytest.param(NotADatabase("x"), 0, True, id="another file in its place"),
        pytest.param(ConfigurationError("x"), 0, True, id="a setting does not change by waiting"),
        pytest.param(TypeError("x"), 599, False, id="an unexpected error is given time"),
        pytest.param(TypeError("x"), 600, True, id="and then ends the process"),
    ],
)
def test_what_ends_the_process(error: Exception, seconds: float, hopeless: bool) -> None:
    assert is_hopeless(error, seconds) is hopeless


def reported(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.event) for record in caplog.records]  # type: ignore[attr-defined]


@pytest.fixture
def troubles(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Troubles:
    monkeypatch.setattr(logging.getLogger("market_spine"), "propagate", True)
    caplog.set_level(logging.DEBUG, "market_spine.work")
    return Troubles()


def test_an_absence_is_reported_once_for_all_duties_and_its_end_once(
    troubles: Troubles, caplog: pytest.LogCaptureFixture
) -> None:
    pauses = [troubles.failed(duty, LOST) for duty in ("heartbeat", "sweep", "heartbeat", "heartbeat", "sweep")]
    assert pauses == [0.5, 0.5, 1, 2, 1]
    assert (reported(caplog), troubles.outages) == ([("WARNING", "database_unavailable")], 0)
    troubles.recovered("sweep")
    assert (reported(caplog)[1:], troubles.outages) == ([], 0), "the other still cannot reach it"
    troubles.recovered("heartbeat")
    troubles.recovered("heartbeat")
    assert (reported(caplog)[1:], troubles.outages) == ([("WARNING", "database_recovered")], 1)


def test_a_session_of_before_an_outage_that_fails_after_it_is_no_second_outage(
    troubles: Troubles, caplog: pytest.LogCaptureFixture
) -> None:
    def outage() -> None:
        troubles.failed("heartbeat", LOST)
        troubles.recovered("heartbeat")

    outage()
    troubles.failed("runner-1", LOST)
    troubles.recovered("runner-1")
    assert troubles.outages == 1
    outage()
    assert troubles.outages == 2, "the heartbeat had reached the database since the first"
    for _ in range(2):
        troubles.failed("runner-1", LOST)
    troubles.recovered("runner-1")
    assert troubles.outages == 3, "its second failure is of a new session"
    assert reported(caplog) == [("WARNING", "database_unavailable"), ("WARNING", "database_recovered")] * 3


def test_another_error_after_a_session_of_before_an_outage_is_reported(
    troubles: Troubles, caplog: pytest.LogCaptureFixture
) -> None:
    troubles.failed("heartbeat", LOST)
    troubles.recovered("heartbeat")
    for error in (LOST, ValueError("odd"), ValueError("odd")):
        troubles.failed("sweep", error)
    assert reported(caplog)[2:] == [("ERROR", "duty_failing")]


def test_any_other_error_is_reported_once_for_its_duty(troubles: Troubles, caplog: pytest.LogCaptureFixture) -> None:
    for duty in ("sweep", "sweep", "heartbeat"):
        troubles.failed(duty, ValueError("odd"))
    troubles.failed("sweep", LOST)
    troubles.recovered("sweep")
    troubles.recovered("heartbeat")
    assert reported(caplog) == [
        ("ERROR", "duty_failing"), ("ERROR", "duty_failing"), ("WARNING", "database_unavailable"),
        ("WARNING", "database_recovered"), ("WARNING", "duty_recovered"),
    ]


def test_what_is_hopeless_is_raised_to_whoever_tried(troubles: Troubles) -> None:
    with pytest.raises(ConfigurationError):
        troubles.failed("sweep", ConfigurationError("the pooler changed its mode"))
