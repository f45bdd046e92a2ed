"""Any view on any day: what is answered later about a day is, byte for byte, what was answered on it."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.commands import RunCommand, StartCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.db import Database
from market_spine.errors import Pruned, UsageError
from market_spine.operate import prune, rollback
from market_spine.operate.rebuild import rebuild
from market_spine.partition import NMS_TIER_1, OTC, TIERS
from market_spine.query import answer
from market_spine.query.answer import Question
from market_spine.query.views import VIEWS, find_view

FIRST, RESTATED, ROLLED_BACK, UNDONE = FRIDAYS


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    desk.run(FIRST)
    return desk


def shown(desk: Desk, as_of: date | None = None) -> dict[str, str]:
    """Every view as CSV."""
    return {name: "".join(answer.as_csv(view, answer.answer(desk.db, Question(view, as_of=as_of)))) for name, view in VIEWS.items()}


def live_through(desk: Desk) -> dict[date, dict[str, str]]:
    """Four Fridays: captured, restated, rolled back, undone; what every view showed at the end of each."""
    seen = {FIRST: shown(desk)}
    desk.publish(WEEK, OTC, REVISED)
    desk.publish(WEEK, NMS_TIER_1, REVISED)
    desk.run(RESTATED)
    seen[RESTATED] = shown(desk)
    rollback.roll_back(desk.context(ROLLED_BACK), WEEK, [OTC], "faulty file")
    seen[ROLLED_BACK] = shown(desk)
    rollback.undo(desk.context(UNDONE), WEEK, [OTC], "right after all")
    seen[UNDONE] = shown(desk)
    return seen


def test_a_past_day_is_answered_byte_for_byte_as_on_that_day(desk: Desk) -> None:
    seen = live_through(desk)
    assert seen[FIRST] != seen[RESTATED] != seen[ROLLED_BACK] != seen[UNDONE]
    assert {day: shown(desk, day) for day in FRIDAYS} == seen
    assert shown(desk, FIRST - timedelta(days=1)) == {name: ",".join(view.columns) + "\n" for name, view in VIEWS.items()}
    assert shown(desk, RESTATED - timedelta(days=1)) == seen[FIRST]


def test_a_rebuild_changes_no_answer(desk: Desk) -> None:
    seen = live_through(desk)
    rebuild(desk.context(UNDONE + timedelta(weeks=5)), None)
    assert {day: shown(desk, day) for day in FRIDAYS} == seen
    assert shown(desk) == seen[UNDONE]


def test_prune_costs_the_rows_of_the_days_on_which_the_pruned_capture_was_current(
    desk: Desk, target: str, run_command: RunCommand
) -> None:
    seen = live_through(desk)
    pruned = prune.prune(desk.context(UNDONE), 0, "space")
    assert [(p.entry.tier, p.entry.run_date) for p in pruned] == [(NMS_TIER_1, "2026-01-09"), (OTC, "2026-01-09")]
    assert shown(desk, RESTATED) == seen[RESTATED]
    assert shown(desk, UNDONE) == seen[UNDONE]
    everything = Question(VIEWS["normalized"], as_of=FIRST)
    assert {row[2] for row in answer.answer(desk.db, everything)} == {"NMS_TIER_2"}
    assert [c.tier for c in answer.left_out(desk.db, everything)] == [NMS_TIER_1, OTC]
    with pytest.raises(Pruned, match=r"the rows of finra.otc_transparency:NMS_TIER_1:2025-11-28:20260109, current on that day"):
        answer.answer(desk.db, Question(VIEWS["normalized"], tiers=(NMS_TIER_1,), as_of=FIRST))
    told = run_command("spine", "query", "hhi", "--as-of", str(FIRST), "--csv", "--db", target)
    assert (told.exit_code, {line.split(",")[2] for line in told.stdout.splitlines()[1:]}) == (1, {"NMS_TIER_2"})
    assert told.stderr.startswith("Left out, rows pruned: 2025-11-28 / NMS_TIER_1 (on 2026-01-30), 2025-11-28 / OTC")
    for name in ("weekly_totals", "tier_split"):
        again = "".join(answer.as_csv(VIEWS[name], answer.answer(desk.db, Question(VIEWS[name], as_of=FIRST))))
        assert again == seen[FIRST][name]
    kept = Question(VIEWS["normalized"], tiers=("NMS_TIER_2",), as_of=FIRST)
    assert len(list(answer.answer(desk.db, kept))) == len(PLAIN)


def test_an_unfinished_restatement_changes_nothing_that_was_known(desk: Desk) -> None:
    before = shown(desk)
    desk.publish(WEEK, OTC, REVISED)
    desk.run(RESTATED, only="ingest")
    assert shown(desk) == before
    desk.run(ROLLED_BACK, only="normalize")
    desk.run(UNDONE)
    assert shown(desk, RESTATED) == before
    halfway = shown(desk, ROLLED_BACK)
    assert halfway["normalized"] != before["normalized"]
    assert ":OTC:" not in halfway["venue_share"]  # its measures came a week later


@pytest.mark.parametrize("name", [name for name, view in VIEWS.items() if view.of_symbol and not view.of_window])
def test_the_history_of_a_symbol_is_its_rows_in_every_week(desk: Desk, name: str) -> None:
    other = WEEK + timedelta(weeks=1)
    desk.publish_weeks([other], REVISED)
    desk.run(RESTATED, weeks=(WEEK, other))
    view = VIEWS[name]
    at = view.columns.index("symbol")
    everything = [row for row in answer.answer(desk.db, Question(view)) if row[at] == "AAPL"]
    assert everything
    assert list(answer.answer(desk.db, Question(view, symbol="AAPL"))) == everything
    of_week = list(answer.answer(desk.db, Question(view, symbol="AAPL", weeks=(other,))))
    assert of_week == [row for row in everything if row[1] == str(other)]
    assert list(answer.answer(desk.db, Question(view, symbol="aapl"))) == []  # case is identity


def test_a_view_without_symbols_refuses_one_and_an_unknown_view_names_them_all(db: Database) -> None:
    with pytest.raises(UsageError, match="the rows of venue_share have no symbol"):
        answer.answer(db, Question(VIEWS["venue_share"], symbol="AAPL"))
    with pytest.raises(UsageError) as caught:
        find_view("venues")
    assert caught.value.hint == f"the views are {', '.join(VIEWS)}"
    assert find_view("finra_otc_transparency_hhi_latest") is VIEWS["hhi"]


def test_the_statements_read_the_columns_they_say(desk: Desk) -> None:
    for view in VIEWS.values():
        rows = list(answer.answer(desk.db, Question(view, tiers=TIERS)))
        assert {len(row) for row in rows} == {len(view.columns)}
        assert {row[view.columns.index("week_ending")] for row in rows} == {str(WEEK)}


def test_csv_json_and_lines_say_the_same(desk: Desk, target: str, run_command: RunCommand) -> None:
    asked = ("spine", "query", "venue_share", "--week", str(WEEK), "--tier", "otc", "--db", target)
    csv_answer, nl, document = (run_command(*asked, form) for form in ("--csv", "--nl", "--json"))
    rows = json.loads(document.stdout)["rows"]
    assert datetime.fromisoformat(json.loads(document.stdout)["seen_at"]) <= datetime.now(timezone.utc)
    assert [json.loads(line) for line in nl.stdout.splitlines()] == rows
    assert csv_answer.stdout.splitlines()[0] == ",".join(VIEWS["venue_share"].columns)
    assert [line.split(",")[4] for line in csv_answer.stdout.splitlines()[1:]] == ["UBSA", "JPMX", ""]
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-12)
    table = run_command(*asked)
    assert table.stdout.splitlines()[0].split() == list(VIEWS["venue_share"].columns)
    assert run_command("spine", "query", "hhi", "--as-of", "2026-1-9", "--db", target).exit_code == 2


def test_a_reader_that_has_seen_enough_ends_it_in_silence(desk: Desk, target: str, start_command: StartCommand) -> None:
    lines = [(f"S{n:04}", "UBSA", "UBS ATS", n, 1) for n in range(1, 2000)]
    desk.publish(WEEK, OTC, lines)
    desk.run(RESTATED, tiers=(OTC,))
    for form in ("--csv", "--nl"):
        process = start_command("spine", "query", "normalized", "--db", target, form)
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait()
