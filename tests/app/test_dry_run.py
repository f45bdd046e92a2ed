"""A dry run is the same walk without the writes: its list equals what the run then does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from support import database_picture
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine import clock
from market_spine.app.context import Limits, Run
from market_spine.app.plan import Plan, phases_of
from market_spine.app.scheduler import Result, record_anomaly, run_schedule
from market_spine.db import Database
from market_spine.operate import rollback
from market_spine.outcome import Outcome
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC, TIERS, Partition

DAY, NEXT, LAST = FRIDAYS[0], FRIDAYS[1], FRIDAYS[2]
EARLIER = date(2025, 11, 21)


def nothing(desk: Desk) -> None:
    """An empty database, and a folder with a week."""
    desk.publish_weeks([WEEK])


def captured(desk: Desk) -> None:
    desk.publish_weeks([WEEK, EARLIER])
    desk.run(DAY, [WEEK, EARLIER])


def restated(desk: Desk) -> None:
    captured(desk)
    desk.publish(WEEK, OTC, REVISED)


def shrunken(desk: Desk) -> None:
    captured(desk)
    desk.publish(WEEK, OTC, PLAIN[:1])


def empty(desk: Desk) -> None:
    captured(desk)
    desk.publish(WEEK, OTC, [])


def headless(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    desk.publish(WEEK, OTC).write_text("nothing|of\nthe|kind\n")


def with_rejects(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    lines = [("AAPL", f"M{n}", "A venue", 100 + n, 1) for n in range(40)]
    desk.publish(WEEK, OTC, [*lines, ("BAD", "X", "A venue", -1, 1)])


def same_content(desk: Desk) -> None:
    """The older week shows the newer week's file, which is captured already; another week's is offered twice."""
    captured(desk)
    source = desk.folder / f"otc_week_{WEEK}.psv"
    (desk.folder / f"otc_week_{EARLIER}.psv").write_bytes(source.read_bytes())


def same_new_content(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    (desk.folder / f"otc_week_{EARLIER}.psv").write_bytes((desk.folder / f"otc_week_{WEEK}.psv").read_bytes())


def content_moves_on(desk: Desk) -> None:
    """A week's file is replaced, and the one it showed before lies under another week."""
    captured(desk)
    (desk.folder / f"otc_week_{EARLIER}.psv").write_bytes((desk.folder / f"otc_week_{WEEK}.psv").read_bytes())
    desk.publish(WEEK, OTC, REVISED)


def only_ingested(desk: Desk) -> None:
    desk.publish_weeks([WEEK])
    desk.run(DAY, only="ingest")


def only_normalized(desk: Desk) -> None:
    only_ingested(desk)
    desk.run(DAY, only="normalize")


def replay_left_over(desk: Desk) -> None:
    """Another content of the first day waits, with the rows of the one before beside it."""
    captured(desk)
    desk.publish(WEEK, OTC, REVISED)
    desk.run(DAY, only="ingest")


def replay_overtaken(desk: Desk) -> None:
    replay_left_over(desk)
    desk.publish(WEEK, OTC, [*REVISED, ("TSLA", "UBSA", "UBS ATS", 5, 1)])


def withdrawn(desk: Desk) -> None:
    captured(desk)
    desk.publish(WEEK, OTC, REVISED)
    desk.run(DAY)
    rollback.roll_back(desk.context(DAY), WEEK, [OTC], "wrong")


def withdrawn_and_replaced(desk: Desk) -> None:
    withdrawn(desk)
    desk.publish(WEEK, OTC, [*REVISED, ("TSLA", "UBSA", "UBS ATS", 5, 1)])


def withdrawn_content_offered_again(desk: Desk) -> None:
    restated(desk)
    desk.run(NEXT)
    rollback.roll_back(desk.context(NEXT), WEEK, [OTC], "wrong")
    desk.publish(WEEK, OTC, [*REVISED, ("TSLA", "UBSA", "UBS ATS", 5, 1)])
    desk.run(NEXT)
    desk.publish(WEEK, OTC, REVISED)


def one_file_gone(desk: Desk) -> None:
    captured(desk)
    (desk.folder / f"otc_week_{WEEK}.psv").unlink()
    desk.publish(WEEK, NMS_TIER_1, REVISED)


def one_tier_never_came(desk: Desk) -> None:
    desk.publish(WEEK, NMS_TIER_1)
    desk.publish(WEEK, NMS_TIER_2)


def critical_of_the_file(desk: Desk) -> None:
    """A CRITICAL anomaly that the next good ingest resolves, and one of a stage that nothing touches."""
    restated(desk)
    for tier, stage in ((OTC, "RAW"), (NMS_TIER_1, "AUDIT")):
        record_anomaly(
            desk.db, domain="finra.otc_transparency", severity="CRITICAL", category="WRONG", message="wrong",
            partition_key=Partition(WEEK, tier).key, stage=stage,
        )


STATES: list[Callable[[Desk], None]] = [
    nothing, captured, restated, shrunken, empty, headless, with_rejects, same_content, same_new_content, content_moves_on,
    only_ingested, only_normalized, replay_left_over, replay_overtaken, withdrawn, withdrawn_and_replaced,
    withdrawn_content_offered_again, one_file_gone, one_tier_never_came, critical_of_the_file,
]


def walk(
    desk: Desk, day: date, *, dry: bool, only: str = "all", force: bool = False, fail_fast: bool = False,
    tiers: tuple[str, ...] = TIERS, as_observed: bool = False, limits: Limits | None = None, sweeps: bool = False,
) -> Result:
    run = Run(
        desk.db, day, clock.moment_of(day), f"run-{day}", limits=limits or Limits(), force=force, as_observed=as_observed,
        present=clock.moment_of(FRIDAYS[3]) if as_observed else None, dry=dry,
    )
    weeks = (WEEK,) if sweeps else (WEEK, EARLIER)
    return run_schedule(run, desk.source(), Plan(weeks, tiers, phases_of(only), fail_fast, sweeps=sweeps), lambda outcome: None)


def shown(outcome: Outcome) -> tuple[object, ...]:
    """What a dry run promises of an outcome: all but what only doing it can tell."""
    return (outcome.phase, outcome.where, outcome.status, outcome.category, outcome.capture_id, outcome.details.get("blocking_issues"))


def agree(desk: Desk, day: date, **how: object) -> None:
    """A dry run, and the run itself."""
    before = database_picture.everything(desk.db)
    dry = walk(desk, day, dry=True, **how)  # type: ignore[arg-type]
    assert database_picture.everything(desk.db) == before, "a dry run writes nothing"
    done = walk(desk, day, dry=False, **how)  # type: ignore[arg-type]
    assert list(map(shown, dry.outcomes)) == list(map(shown, done.outcomes))
    assert (dry.exit_code, dry.plan) == (done.exit_code, done.plan)


@pytest.mark.parametrize(
    ("engine", "day"),
    [
        pytest.param("sqlite", DAY, id="the same day"),
        pytest.param("sqlite", NEXT, id="a week later"),
        pytest.param("sqlite", LAST, id="two weeks later"),
        pytest.param("postgresql", NEXT, id="a week later, PostgreSQL"),
    ],
    indirect=["engine"],
)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__.replace("_", " "))
def test_the_run_then_does_what_the_dry_run_says(db: Database, tmp_path: Path, state: Callable[[Desk], None], day: date) -> None:
    desk = Desk(tmp_path / "files", db)
    state(desk)
    if state.__name__ == "withdrawn_content_offered_again" and day == DAY:
        day = NEXT  # days only run forward
    agree(desk, day)
    agree(desk, day)


WAYS: dict[str, dict[str, object]] = {
    "ingest only": {"only": "ingest"}, "normalize only": {"only": "normalize"}, "calc only": {"only": "calc"},
    "forced": {"force": True}, "fail fast": {"fail_fast": True}, "one tier": {"tiers": (OTC,)},
    "accepting what shrinks": {"limits": Limits(accept_shrink=True)}, "with what is open outside": {"sweeps": True},
}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # both engines have their turn in the test above
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "state", [restated, shrunken, only_ingested, only_normalized, replay_left_over, withdrawn, one_file_gone, headless],
    ids=lambda state: state.__name__.replace("_", " "),
)
def test_so_it_is_with_every_option(db: Database, tmp_path: Path, state: Callable[[Desk], None], way: str) -> None:
    desk = Desk(tmp_path / "files", db)
    state(desk)
    agree(desk, NEXT, **WAYS[way])


@pytest.mark.parametrize("state", [nothing, restated, only_ingested], ids=lambda state: state.__name__.replace("_", " "))
def test_so_it_is_with_content_loaded_under_a_past_day(db: Database, tmp_path: Path, state: Callable[[Desk], None]) -> None:
    desk = Desk(tmp_path / "files", db)
    state(desk)
    agree(desk, date(2026, 1, 8), as_observed=True)
