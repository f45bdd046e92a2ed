"""What was answered as of a past day stays, whatever is run, replayed, withdrawn or pruned afterwards."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk, restated

from market_spine import clock
from market_spine.app.readiness import evaluate_readiness
from market_spine.core import captures
from market_spine.core.timeline import Permits, check_day
from market_spine.db import Database, redact
from market_spine.errors import FutureDay, NotFound, PastDay, Pruned, UsageError
from market_spine.operate import prune, rollback, verify
from market_spine.operate.operation import Task, operation
from market_spine.operate.rebuild import rebuild
from market_spine.outcome import Phase, Status
from market_spine.partition import OTC, TIERS, Partition
from market_spine.query import answer, history, raw
from market_spine.query.views import VIEWS

OF_OTC = Partition(WEEK, OTC)
ID = "finra.otc_transparency:OTC:2025-11-28:"
THIRD = (*REVISED, ("TSLA", "UBSA", "UBS ATS", 9, 1))


def answers(db: Database, *days: date) -> dict[tuple[str, date], list[object]]:
    """Every view as of every day."""
    return {
        (name, day): [tuple(row) for row in answer.answer(db, answer.Question(view, as_of=day))]
        for name, view in VIEWS.items()
        for day in days
    }


def faults(db: Database) -> list[str]:
    return [str(fault) for fault in verify.verify(db, deep=True)]


def state(desk: Desk) -> list[tuple[str, str]]:
    return [(e.run_date, e.state) for e in history.list_captures(desk.db, WEEK, (OTC,))]


@pytest.mark.parametrize(
    ("run_date", "today", "permits", "refusal"),
    [
        pytest.param(FRIDAYS[1], FRIDAYS[3], Permits(), None, id="the newest day again"),
        pytest.param(FRIDAYS[2], FRIDAYS[3], Permits(), None, id="a later day"),
        pytest.param(FRIDAYS[0], FRIDAYS[3], Permits(), PastDay, id="an earlier day"),
        pytest.param(FRIDAYS[0], FRIDAYS[3], Permits(past=True), None, id="an earlier day, as observed"),
        pytest.param(FRIDAYS[0], FRIDAYS[0], Permits(), None, id="a day in the future of the clock is no newest day"),
        pytest.param(FRIDAYS[3], FRIDAYS[2], Permits(), FutureDay, id="tomorrow"),
        pytest.param(FRIDAYS[3], FRIDAYS[2], Permits(future=True), None, id="tomorrow, and meant"),
    ],
)
@pytest.mark.one_engine
def test_days_only_run_forward(
    db: Database, tmp_path: Path, run_date: date, today: date, permits: Permits, refusal: type[Exception] | None
) -> None:
    restated(tmp_path / "files", db)  # captures of the first two Fridays
    if refusal is None:
        check_day(db, run_date, today, permits)
    else:
        with pytest.raises(refusal):
            check_day(db, run_date, today, permits)


def test_a_run_on_which_nothing_was_new_makes_its_day_the_newest_too(desk: Desk, target: str) -> None:
    with operation(Task(target, "rebuild", FRIDAYS[2], clock.moment_of(FRIDAYS[2]), {})):
        pass
    with pytest.raises(PastDay), operation(Task(target, "rebuild", FRIDAYS[1], clock.moment_of(FRIDAYS[1]), {})):
        pass


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return restated(tmp_path / "files", db)


@pytest.mark.parametrize("mode", ["run", "dry-run"])
def test_a_run_of_a_past_day_is_refused_whole(desk: Desk, target: str, run_command: RunCommand, mode: str) -> None:
    before = answers(desk.db, *FRIDAYS)
    desk.publish(WEEK, OTC, THIRD)
    arguments = ("--run-date", FRIDAYS[0], "--weeks", WEEK, "--db", target, "--data-dir", desk.folder, "--mode", mode)
    done = run_command("run_finra_weekly_schedule", *map(str, arguments))
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        "Error: the run date 2026-01-09 lies before 2026-01-16, the newest day this store has recorded, and what was answered "
        "since may not change. Try: leave --run-date out, or load kept files with --as-observed-on 2026-01-09"
    )
    assert answers(desk.db, *FRIDAYS) == before


def test_a_replay_left_unfinished_becomes_a_capture_of_the_day_it_is_normalized(desk: Desk) -> None:
    desk.publish(WEEK, OTC, THIRD)
    desk.run(FRIDAYS[1], only="ingest")
    before = answers(desk.db, *FRIDAYS[:2])
    desk.run(FRIDAYS[2])
    assert answers(desk.db, *FRIDAYS[:2]) == before
    assert state(desk) == [("2026-01-09", "superseded"), ("2026-01-16", "superseded"), ("2026-01-23", "current")]
    assert captures.current(desk.db, OF_OTC) == (ID + "20260123", 5, 2379)
    assert faults(desk.db) == []


def test_a_week_is_ready_when_content_of_the_day_of_a_rollback_is_normalized_later(desk: Desk) -> None:
    rollback.roll_back(desk.context(FRIDAYS[1]), WEEK, [OTC], "faulty")
    desk.publish(WEEK, OTC, THIRD)
    desk.run(FRIDAYS[1], only="ingest")
    (ready,) = desk.run(FRIDAYS[2]).of(Phase.READINESS)
    assert ready.status is Status.READY, ready.message


def test_a_replay_overtaken_by_a_later_capture_is_set_aside_and_can_be_fetched(desk: Desk) -> None:
    path = desk.publish(WEEK, OTC, THIRD)
    kept = path.read_bytes()
    desk.run(FRIDAYS[1], only="ingest")
    desk.publish(WEEK, OTC, PLAIN)
    before = answers(desk.db, *FRIDAYS[:2])
    desk.run(FRIDAYS[2])
    assert answers(desk.db, *FRIDAYS[:2]) == before
    assert state(desk)[1:] == [("2026-01-16", "superseded"), ("2026-01-23", "current")]
    named = raw.find(desk.db, OF_OTC, name=f"{ID}20260116@3")
    assert b"".join(raw.read(desk.db, named)) == kept
    assert (faults(desk.db), desk.run(FRIDAYS[2]).exit_code) == ([], 0)


def test_a_refused_replay_lends_its_name_to_no_rows(desk: Desk) -> None:
    before = answers(desk.db, *FRIDAYS[:2])
    desk.publish(WEEK, OTC, ())
    assert desk.run(FRIDAYS[1]).exit_code == 1
    assert answers(desk.db, *FRIDAYS[:2]) == before
    assert faults(desk.db) == []
    assert raw.find(desk.db, OF_OTC).name == ID + "20260116@2"
    assert [c.name[-10:] for c in raw.list_contents(desk.db, ID + "20260116")] == ["20260116@2", "20260116@3"]


def test_a_refused_replay_without_a_row_leaves_the_week_ready(desk: Desk) -> None:
    desk.publish(WEEK, OTC, ())  # the header alone, on the day of the good capture
    assert desk.run(FRIDAYS[1]).exit_code == 1
    assert evaluate_readiness(WEEK, desk.db) == (True, [])


def test_a_pruned_capture_is_missed_from_the_day_it_was_measured_on(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    desk.publish(WEEK, OTC, PLAIN)
    desk.run(FRIDAYS[0], tiers=[OTC], only="ingest")
    desk.run(FRIDAYS[0], tiers=[OTC], only="normalize")
    desk.run(FRIDAYS[1], tiers=[OTC])  # measured a week later
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[2], tiers=[OTC])
    before = answers(db, FRIDAYS[0])
    prune.prune(desk.context(FRIDAYS[3]), 0, "space")
    unmeasured = answer.Question(VIEWS["hhi"], as_of=FRIDAYS[0])
    assert (list(answer.answer(db, unmeasured)), before["hhi", FRIDAYS[0]]) == ([], [])
    assert [c.run_date for c in answer.left_out(db, answer.Question(VIEWS["hhi"], as_of=FRIDAYS[1]))] == ["2026-01-09"]


def test_nobody_reads_measures_of_rows_that_a_replay_has_replaced(desk: Desk) -> None:
    desk.publish(WEEK, OTC, THIRD)
    desk.run(FRIDAYS[1], only="ingest")
    desk.run(FRIDAYS[1], only="normalize")  # and is killed here
    for name in ("venue_volume", "hhi", "tier_split", "weekly_totals"):
        rows = desk.db.execute(f"SELECT capture_id FROM finra_otc_transparency_{name}_latest").fetchall()
        assert ID + "20260116" not in {capture_id for (capture_id,) in rows}
        assert name not in ("tier_split", "weekly_totals") or not rows
    desk.run(FRIDAYS[1])
    totals = desk.db.execute("SELECT total_shares FROM finra_otc_transparency_weekly_totals_latest").fetchall()
    assert [shares for (shares,) in totals] == [2 * 2000.5 + 2379]
    assert faults(desk.db) == []


def test_kept_content_fills_a_past_day_and_all_days_it_changes(db: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    desk.run(FRIDAYS[1], tiers=TIERS[:2])
    desk.publish(WEEK, TIERS[0], REVISED)
    desk.run(FRIDAYS[2], tiers=TIERS[:2])
    (desk.folder / "nms_tier_1_week_2025-11-28.psv").unlink()
    (desk.folder / "nms_tier_2_week_2025-11-28.psv").unlink()
    desk.load_kept(FRIDAYS[0])  # only the OTC file was kept
    split = {day: [row[3] for row in answer.answer(db, answer.Question(VIEWS["tier_split"], as_of=day))] for day in FRIDAYS}
    assert split == {FRIDAYS[0]: [], FRIDAYS[1]: [2000.5] * 3, FRIDAYS[2]: [2370, 2000.5, 2000.5], FRIDAYS[3]: [2370, 2000.5, 2000.5]}
    assert faults(db) == []


def test_a_past_day_that_has_other_content_is_taken(desk: Desk) -> None:
    before = answers(desk.db, *FRIDAYS)
    desk.publish(WEEK, OTC, THIRD)
    result = desk.load_kept(FRIDAYS[0])
    assert [(o.tier, o.category) for o in result.outcomes if o.category] == [(OTC, "DAY_TAKEN")]
    assert answers(desk.db, *FRIDAYS) == before
    desk.publish(WEEK, OTC, PLAIN)
    assert desk.load_kept(FRIDAYS[0]).exit_code == 0
    assert answers(desk.db, *FRIDAYS) == before


def test_withdrawn_content_stays_withdrawn_when_it_comes_after_another(desk: Desk) -> None:
    rollback.roll_back(desk.context(FRIDAYS[1]), WEEK, [OTC], "faulty")  # REVISED is taken back
    desk.publish(WEEK, OTC, THIRD)
    desk.run(FRIDAYS[2])
    desk.publish(WEEK, OTC, REVISED)
    refused = desk.run(FRIDAYS[3])
    (outcome,) = [outcome for outcome in refused.outcomes if outcome.category]
    assert outcome.category == "WITHDRAWN_CONTENT"
    assert outcome.message.endswith(f"if it was right: spine rollback {WEEK} OTC --undo")
    assert captures.current(desk.db, OF_OTC) == (ID + "20260123", 5, 2379)
    desk.run(FRIDAYS[3], force=True)
    assert captures.current(desk.db, OF_OTC) == (ID + "20260130", 4, 2370)


def test_an_undone_rollback_lets_the_content_come_again(desk: Desk) -> None:
    rollback.roll_back(desk.context(FRIDAYS[1]), WEEK, [OTC], "faulty")
    rollback.undo(desk.context(FRIDAYS[1]), WEEK, [OTC], "it was right")
    for day, lines in ((FRIDAYS[2], THIRD), (FRIDAYS[3], REVISED)):
        desk.publish(WEEK, OTC, lines)
        assert desk.run(day).exit_code == 0
    assert captures.current(desk.db, OF_OTC) == (ID + "20260130", 4, 2370)


def test_content_withdrawn_and_replaced_on_one_day_stays_withdrawn(desk: Desk) -> None:
    rollback.roll_back(desk.context(FRIDAYS[1]), WEEK, [OTC], "faulty")
    desk.publish(WEEK, OTC, THIRD)
    desk.run(FRIDAYS[1])  # the same capture, with other content, stands again
    assert captures.current(desk.db, OF_OTC) == (ID + "20260116", 5, 2379)
    desk.publish(WEEK, OTC, REVISED)
    (refused,) = [outcome for outcome in desk.run(FRIDAYS[2]).outcomes if outcome.category]
    assert refused.category == "WITHDRAWN_CONTENT"
    again = f"if it was right: run_finra_weekly_schedule --force --weeks {WEEK} --tiers OTC"
    assert refused.message.endswith(again), "no withdrawal stands that --undo could take back"
    assert desk.run(FRIDAYS[2], force=True).exit_code == 0
    assert captures.current(desk.db, OF_OTC) == (ID + "20260123", 4, 2370)


def test_after_prune_and_rollback_every_other_partition_can_be_asked(desk: Desk) -> None:
    prune.prune(desk.context(FRIDAYS[2]), 0, "space")
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEK, [OTC], "faulty")
    left = {row[2] for row in answer.answer(desk.db, answer.Question(VIEWS["normalized"], as_of=FRIDAYS[2]))}
    assert left == set(TIERS) - {OTC}
    with pytest.raises(Pruned):
        list(answer.answer(desk.db, answer.Question(VIEWS["normalized"], (WEEK,), (OTC,), as_of=FRIDAYS[0])))


def test_captures_from_the_future_are_named_and_withdrawn_by_one_command(
    desk: Desk, target: str, run_command: RunCommand
) -> None:
    desk.publish(WEEK, OTC, THIRD)
    desk.run(date(2126, 1, 11))
    named = run_command("spine", "verify", "--db", target)
    assert named.exit_code == 1
    assert f"{ID}21260111: is of 2126-01-11, a day after today" in named.stdout
    doctor = json.loads(run_command("spine", "doctor", "--json", "--db", target).stdout)
    assert [gap["remedy"] for gap in doctor["gaps"] if gap["kind"] == "FUTURE"] == ["WITHDRAW"]
    command = named.stdout.splitlines()[-1].removeprefix("next: ")
    assert command == f'spine rollback --future --reason "a run dated in the future" --db {redact(target)}'
    done = run_command("spine", "rollback", "--future", "--reason", "a typing error", "--json", "--db", target)
    assert json.loads(done.stdout)["changes"] == [
        {"week_ending": "2025-11-28", "tier": OTC, "was_current": ID + "21260111", "is_current": ID + "20260116"}
    ]
    assert run_command("spine", "verify", "--db", target).exit_code == 0
    assert desk.run(FRIDAYS[3]).exit_code == 0  # the content itself was not at fault
    assert captures.current(desk.db, OF_OTC) == (ID + "20260130", 5, 2379)
    again = run_command("spine", "rollback", "--future", "--reason", "x", "--db", target)
    assert again.exit_code == 2


def test_a_rebuild_changes_no_past_day(desk: Desk) -> None:
    desk.publish(WEEK, OTC, THIRD)
    desk.run(FRIDAYS[1])  # a replay, so that the capture has had two contents
    before = answers(desk.db, *FRIDAYS)
    rebuild(desk.context(FRIDAYS[3]), WEEK)
    assert answers(desk.db, *FRIDAYS) == before


def test_the_stored_content_comes_back_byte_for_byte(
    desk: Desk, target: str, run_command: RunCommand, tmp_path: Path
) -> None:
    out = tmp_path / "otc.psv"
    done = run_command("spine", "raw", str(WEEK), "otc", "--out", out, "--db", target)
    content = (desk.folder / "otc_week_2025-11-28.psv").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert (done.exit_code, out.read_bytes()) == (0, content)
    assert done.stderr == f"{ID}20260116@2: the exact bytes of file:otc_week_2025-11-28.psv, SHA-256 {digest}\n"
    as_of = run_command("spine", "raw", str(WEEK), "OTC", "--as-of", str(FRIDAYS[0]), "--db", target)
    named = run_command("spine", "raw", str(WEEK), "OTC", "--capture", "OTC:2025-11-28:20260109", "--db", target)
    assert as_of.stdout == named.stdout != content.decode()
    twice = run_command("spine", "raw", str(WEEK), "OTC", "--out", out, "--db", target)
    assert (twice.exit_code, twice.stderr) == (2, f"Error: {out} already exists. Try: name a new file with --out\n")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        pytest.param("OTC:2025-11-28:20260109@7", NotFound, id="no such content"),
        pytest.param("OTC:2025-11-28:20250101", NotFound, id="no such capture"),
        pytest.param("NMS_TIER_1:2025-11-28:20260109", UsageError, id="another partition's"),
    ],
)
def test_a_name_that_is_not_there_is_said(desk: Desk, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        raw.find(desk.db, OF_OTC, name=name)
