"""A held capture: stored and measured, never current, until it is released or other content passes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk, ready_week

from market_spine.app.context import Run
from market_spine.app.pipelines import run_pipeline
from market_spine.app.plan import Plan
from market_spine.app.scheduler import run_schedule
from market_spine.core import events, replay
from market_spine.db import Database, connect
from market_spine.errors import NotFound
from market_spine.operate import gates, hold, rollback, status
from market_spine.outcome import Outcome, Phase, Status
from market_spine.partition import OTC, TIERS, Partition
from market_spine.query import as_of, history

SHRUNKEN = PLAIN[:1]
HERE = Partition(WEEK, OTC)


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """A ready week, of which the second Friday shows a far smaller OTC file."""
    desk = ready_week(tmp_path / "files", db)
    desk.publish(WEEK, OTC, SHRUNKEN)
    return desk


def states(db: Database) -> list[str]:
    """The state of each capture of the partition, oldest first."""
    return [entry.state for entry in history.list_captures(db, WEEK, (OTC,))]


def check_log(db: Database) -> None:
    assert replay.differences(db, replay.replay(events.lines(db))) == []


def test_it_is_stored_and_measured_and_the_good_one_stays_current(desk: Desk) -> None:
    result = desk.run(FRIDAYS[1])
    assert [o.status for o in result.of(Phase.NORMALIZE)] == [Status.HELD] and result.exit_code == 1
    assert states(desk.db) == ["current", "held"]
    (rows,) = desk.db.execute(
        "SELECT COUNT(*) FROM finra_otc_transparency_venue_volume WHERE capture_id LIKE '%:OTC:2025-11-28:20260116'"
    ).fetchone()
    assert rows == 1, "its measures"
    (ready,) = result.of(Phase.READINESS)
    assert ready.details["blocking_issues"] == [f"held: OTC: {gates.explain(desk.context(), HERE).hold.reason}"]  # type: ignore[union-attr]
    (week,) = status.examine(desk.context(FRIDAYS[1]), [WEEK])
    assert str(week.cells[2]) == "held (CALC)"
    check_log(desk.db)


def test_it_fails_each_run_and_is_one_anomaly(desk: Desk) -> None:
    codes = [desk.run(day).exit_code for day in (FRIDAYS[1], FRIDAYS[1], FRIDAYS[2])]
    faults = desk.db.execute("SELECT category, seen_count FROM core_anomalies WHERE severity = 'ERROR'").fetchall()
    assert codes == [1, 1, 1] and [tuple(row) for row in faults] == [("SHRUNK_CAPTURE", 3)]
    assert [e for e in events.lines(desk.db) if '"kind":"capture.held"' in e.line] != []
    check_log(desk.db)


def test_a_release_makes_it_current_and_the_same_content_passes_later(desk: Desk) -> None:
    desk.run(FRIDAYS[1])
    (change,) = hold.release(desk.context(FRIDAYS[1]), WEEK, OTC, "FINRA confirmed it").changes
    assert (str(change.after)[-8:], states(desk.db)) == ("20260116", ["superseded", "current"])
    (action,) = desk.db.execute("SELECT reason FROM core_operator_actions WHERE action = 'release'").fetchone()
    assert action == "FINRA confirmed it"
    desk.publish(WEEK, OTC, PLAIN)
    desk.run(FRIDAYS[2])
    desk.publish(WEEK, OTC, SHRUNKEN)
    assert desk.run(FRIDAYS[3]).exit_code == 0, "an operator released exactly this content"
    check_log(desk.db)
    with pytest.raises(NotFound):
        hold.release(desk.context(FRIDAYS[3]), WEEK, OTC, "again")


def test_other_content_that_passes_supersedes_it(desk: Desk) -> None:
    desk.run(FRIDAYS[1])
    desk.publish(WEEK, OTC, REVISED)
    assert desk.run(FRIDAYS[2]).exit_code == 0
    assert states(desk.db) == ["superseded", "held", "current"]
    with pytest.raises(NotFound, match="is held any more: …:20260123 passed the gates since"):
        hold.release(desk.context(FRIDAYS[2]), WEEK, OTC, "too late")
    check_log(desk.db)


def test_held_content_of_the_same_day_waits_beside_the_good_rows(desk: Desk) -> None:
    assert desk.run(FRIDAYS[0]).exit_code == 1
    assert states(desk.db) == ["current"]
    check_log(desk.db)
    hold.release(desk.context(FRIDAYS[0]), WEEK, OTC, "true")
    (rows,) = desk.db.execute("SELECT row_count FROM finra_otc_transparency_current WHERE tier = 'OTC'").fetchone()
    assert rows == len(SHRUNKEN)
    check_log(desk.db)


def test_an_operators_hold_lasts_until_it_is_released(desk: Desk) -> None:
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1])
    hold.hold(desk.context(FRIDAYS[1]), WEEK, OTC, "asked FINRA")
    assert states(desk.db) == ["current", "held"]
    assert desk.run(FRIDAYS[2]).exit_code == 1
    desk.run(FRIDAYS[2], force=True)
    assert states(desk.db) == ["current", "held", "held"], "the same content is held however it comes"
    hold.release(desk.context(FRIDAYS[2]), WEEK, OTC, "they confirmed")
    assert states(desk.db)[-1] == "current" and desk.run(FRIDAYS[3]).exit_code == 0
    check_log(desk.db)


def test_past_days_keep_what_was_current_on_them(desk: Desk) -> None:
    desk.run(FRIDAYS[1])
    hold.release(desk.context(FRIDAYS[2]), WEEK, OTC, "true")
    days = {day: current(desk.db, day) for day in range(3)}
    assert days == {0: "20260109", 1: "20260109", 2: "20260116"}


def current(db: Database, friday: int) -> str:
    known = as_of.current_captures(db, as_of.end_of(FRIDAYS[friday]), [WEEK], (OTC,))
    return known[0].capture_id[-8:]


def test_every_verdict_is_computed_again_alike(desk: Desk) -> None:
    desk.run(FRIDAYS[1])
    explained = gates.explain(desk.context(FRIDAYS[1]), HERE)
    assert explained.is_same and {check.verdict for check in explained.checks} == {"PASS", "INFO", "HOLD"}
    desk.db.execute("UPDATE core_checks SET explanation = 'x' WHERE verdict = 'HOLD'")
    assert not gates.explain(desk.context(FRIDAYS[1]), HERE).is_same


def test_a_dry_run_foresees_the_hold(desk: Desk) -> None:
    run = replace(desk.context(FRIDAYS[1]), dry=True)
    foreseen = run_schedule(run, desk.source(), Plan((WEEK,), TIERS), lambda outcome: None).outcomes
    real = desk.run(FRIDAYS[1]).outcomes
    pairs = [(o.phase, o.status, o.tier) for o in real]
    assert [(o.phase, o.status, o.tier) for o in foreseen] == pairs
    later = (Phase.NORMALIZE, Phase.READINESS)
    assert [o.message for o in foreseen if o.phase in later] == [o.message for o in real if o.phase in later]


def test_no_reader_sees_it_as_current_before_or_after_the_commit(desk: Desk, target: str) -> None:
    """Another connection looks while the transaction of each stage is open, and when it has committed."""
    shown: list[tuple[str, str | None]] = []

    def look(at: str) -> None:
        with contextlib.closing(connect(target, read_only=True)) as reader:
            (row,) = reader.execute("SELECT capture_id FROM finra_otc_transparency_current WHERE tier = 'OTC'").fetchall()
            shown.append((at, row[0][-8:]))

    plan = Plan((WEEK,), (OTC,))
    run = desk.context(FRIDAYS[1])
    begun = run.db.transaction

    @contextlib.contextmanager
    def watched() -> Iterator[None]:
        with begun():
            yield
            look("open")
        look("committed")

    with mock.patch.object(run.db, "transaction", watched):
        run_schedule(run, desk.source(), plan, lambda outcome: None)
    assert len(shown) > 4 and {day for _, day in shown} == {"20260109"}
    assert states(desk.db) == ["current", "held"]


def test_a_pipeline_measures_what_is_held_and_the_week_waits_for_nothing(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    path = desk.publish(WEEK, OTC)
    path.write_bytes(path.read_bytes()[:-20])
    run = desk.context()
    done = [outcome for name in ("ingest_week", "normalize_week", "compute_hhi") for outcome in ran(name, run, desk)]
    assert [o.status for o in done if o.phase in (Phase.NORMALIZE, Phase.CALC) and o.tier] == [Status.HELD, Status.DONE]
    assert states(db) == ["held"]


def ran(name: str, run: Run, desk: Desk) -> list[Outcome]:
    return run_pipeline(name, run, desk.source(), WEEK, OTC)


def test_content_left_over_from_a_day_does_not_release_what_that_day_holds(desk: Desk) -> None:
    assert desk.run(FRIDAYS[1]).exit_code == 1
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1], only="ingest")
    assert [o.status for o in desk.run(FRIDAYS[2]).of(Phase.READINESS)] == [Status.READY]
    assert current(desk.db, 1) == "20260109"
    assert states(desk.db) == ["superseded", "held", "current"]
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, [OTC], "FINRA took it back")
    assert states(desk.db)[:2] == ["current", "held"], "and not what a gate holds"
    check_log(desk.db)


def test_content_that_waited_and_was_overtaken_leaves_the_hold_of_its_day(desk: Desk) -> None:
    assert desk.run(FRIDAYS[1]).exit_code == 1
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1], only="ingest")
    desk.publish(WEEK, OTC, PLAIN)
    desk.run(FRIDAYS[2])
    assert states(desk.db)[1:] == ["held", "current"]
    check_log(desk.db)
