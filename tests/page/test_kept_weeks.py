"""A server judges again only the weeks that something has happened to, and always shows what a fresh look would."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, REVISED, WEEK, Desk

from market_spine import clock
from market_spine.app import coverage
from market_spine.app.context import Expectations, Run
from market_spine.core import events, manifest
from market_spine.db import Database, connect, migrations
from market_spine.operate import anomalies, hold, prune, rollback, status_grid
from market_spine.operate.status_grid import WeekStatus
from market_spine.page.kept_weeks import KeptWeeks
from market_spine.partition import NMS_TIER_2, OTC

WEEKS = [WEEK - timedelta(weeks=n) for n in range(3)]
DAY = FRIDAYS[3]


def judged(run: Run) -> list[WeekStatus]:
    return status_grid.read(run, status_grid.kept_weeks(run.run_date, coverage.known_weeks(run.db)))


def publish_other_rows(desk: Desk) -> None:
    desk.publish(WEEK, OTC, REVISED)
    desk.run(DAY)


def publish_nothing(desk: Desk) -> None:
    desk.publish(WEEKS[1], OTC, ())
    desk.run(DAY, [WEEKS[1]])


def raise_and_acknowledge(desk: Desk) -> None:
    raised = anomalies.raise_anomaly(desk.db, WEEK, NMS_TIER_2, "CRITICAL", "looks doubled", clock.moment_of(DAY))
    anomalies.acknowledge(desk.db, raised.id, DAY, "seen", clock.moment_of(DAY))


def resolve(desk: Desk) -> None:
    for each in anomalies.list_anomalies(desk.db, unresolved=True):
        anomalies.resolve(desk.db, each.id, "looked at", clock.moment_of(DAY))


STORY: list[tuple[Callable[[Desk], object], set[date]]] = [
    (lambda desk: None, set()),
    (publish_other_rows, {WEEK}),
    (publish_nothing, {WEEKS[1]}),
    (lambda desk: hold.hold(desk.context(DAY), WEEKS[2], OTC, "asked FINRA"), {WEEKS[2]}),
    (lambda desk: hold.release(desk.context(DAY), WEEKS[2], OTC, "it is right"), {WEEKS[2]}),
    (lambda desk: rollback.roll_back(desk.context(DAY), WEEK, [OTC], "faulty"), {WEEK}),
    (lambda desk: rollback.undo(desk.context(DAY), WEEK, [OTC], "it was right"), {WEEK}),
    (raise_and_acknowledge, {WEEK}),
    (resolve, {WEEK, WEEKS[1]}),
    (lambda desk: prune.prune(desk.context(DAY), 0, "old"), {WEEK}),
]


def test_after_each_change_only_its_weeks_are_judged_again(db: Database, files: Path) -> None:
    desk, kept = Desk(files, db), KeptWeeks()
    desk.publish_weeks(WEEKS)
    desk.run(FRIDAYS[0], WEEKS)
    run = replace(desk.context(DAY), expected=Expectations())
    before = {week.week: week for week in kept.read(run)}
    for change, weeks in STORY:
        change(desk)
        shown = kept.read(run)
        assert shown == judged(run)
        assert {week.week for week in shown if week is not before[week.week]} == weeks
        before = {week.week: week for week in shown}
    assert all(week.is_ready for week in before.values() if week.week in (WEEK, WEEKS[2]))


@pytest.mark.parametrize(
    "other",
    [
        lambda run: replace(run, run_date=DAY + timedelta(days=1), now=clock.moment_of(DAY + timedelta(days=1))),
        lambda run: replace(run, expected=Expectations(calendar=None)),
        lambda run: replace(run, expected=Expectations(grace_days=90)),
    ],
    ids=["another day", "without a calendar", "more days of grace"],
)
def test_on_another_day_or_with_another_calendar_everything_is_judged_again(
    db: Database, files: Path, other: Callable[[Run], Run]
) -> None:
    desk, kept = Desk(files, db), KeptWeeks()
    desk.publish_weeks(WEEKS[:1])
    desk.run(FRIDAYS[0], WEEKS)
    run = desk.context(DAY)
    kept.read(run)
    assert kept.read(other(run)) == judged(other(run))


def test_after_a_repair_everything_is_judged_again(target: str, files: Path, run_command: RunCommand) -> None:
    """It writes a row back without an event."""
    with contextlib.closing(connect(target)) as db:
        desk, kept = Desk(files, db), KeptWeeks()
        desk.publish_weeks([WEEK])
        desk.run()
        lost = next(row.capture_id for row in manifest.week_rows(WEEK, db, OTC) if row.stage == manifest.RAW)
        manifest.forget_stage(db, manifest.RAW, str(lost))
        run = desk.context(DAY)
        damaged = kept.read(run)
        run_command("spine", "doctor", "--fix", "--reason", "lost", "--run-date", str(DAY), "--db", target, "--weeks", str(WEEK))
        assert kept.read(run) == judged(run) != damaged


def test_an_older_reader_is_not_shown_what_came_later(db: Database, files: Path) -> None:
    desk, kept = Desk(files, db), KeptWeeks()
    desk.publish_weeks([WEEK])
    desk.run()
    with contextlib.closing(db.reopen()) as older, older.snapshot():
        run = replace(desk.context(DAY), db=older)
        before = kept.read(run)
        hold.hold(desk.context(DAY), WEEK, OTC, "asked FINRA")
        assert kept.read(desk.context(DAY)) != before
        assert kept.read(run) == before


def test_of_a_store_that_was_restored_everything_is_judged_again(tmp_path: Path) -> None:
    """More events, of which the later ones are about another week."""
    first, restored = (_store(tmp_path / name) for name in ("first", "restored"))
    first.publish(WEEK, OTC)
    restored.publish(WEEK, OTC, ())
    kept = KeptWeeks()
    for desk in (first, restored):
        desk.run(FRIDAYS[0], WEEKS)
    kept.read(first.context(DAY))
    for _ in range(20):
        anomalies.raise_anomaly(restored.db, WEEKS[1], OTC, "INFO", "seen", clock.moment_of(DAY))
    assert events.head(restored.db).size > events.head(first.db).size
    run = restored.context(DAY)
    assert kept.read(run) == judged(run)
    for desk in (first, restored):
        desk.db.close()


def _store(folder: Path) -> Desk:
    folder.mkdir()
    db = connect(str(folder / "store.db"))
    migrations.prepare(db)
    desk = Desk(folder / "files", db)
    desk.publish_weeks(WEEKS)
    return desk
