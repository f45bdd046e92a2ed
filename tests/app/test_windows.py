"""The windows of a store as its captures change: restated, withdrawn, replayed, pruned, copied, rebuilt, killed half-way."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import filled_copy
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk
from support.nineteen_weeks import WEEKS, lines_of, nineteen_weeks, rows, run

from market_spine.app import windows as windows_of_calc
from market_spine.core import events, replay
from market_spine.core import windows as tables
from market_spine.db import Database, connect
from market_spine.db.copy import copy
from market_spine.operate import prune, rebuild, rollback
from market_spine.operate.windows import keep
from market_spine.partition import NMS_TIER_1, OTC
from market_spine.query import answer, diff, history, windows
from market_spine.query.answer import Question
from market_spine.query.as_of import end_of
from market_spine.query.views import VIEWS

ROLLING = [name for name, view in VIEWS.items() if view.of_window]


@pytest.fixture
def target(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    yield from filled_copy(engine, request, nineteen_weeks)


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return Desk(tmp_path / "files", db)


def made(db: Database) -> dict[tuple[str, str, int, str], tuple[Any, ...]]:
    """Every window: what identifies it → all that is stored of it."""
    rows = db.execute(
        "SELECT week_ending, tier, length, inputs_hash, window_key, made_at FROM finra_otc_transparency_window"
    ).fetchall()
    stored = {}
    for week, tier, length, inputs_hash, key, made_at in rows:
        figures = [
            db.execute(f"SELECT * FROM finra_otc_transparency_window_{table} WHERE window_key = ? ORDER BY 1, 2", (key,)).fetchall()
            for table in ("input", "tier", "venue")
        ]
        stored[week, tier, length, inputs_hash] = (key, made_at, figures)
    return stored


def shown(db: Database, as_of: date | None = None) -> dict[str, str]:
    """Every rolling view as CSV."""
    return {name: "".join(answer.as_csv(VIEWS[name], answer.answer(db, Question(VIEWS[name], as_of=as_of)))) for name in ROLLING}


def assert_whole(db: Database) -> None:
    """The log of events adds up to the tables."""
    assert replay.differences(db, replay.replay(events.lines(db))) == []


@pytest.mark.one_engine
def test_a_window_is_made_as_soon_as_all_its_weeks_are_there(desk: Desk) -> None:
    ends = {(week, length) for week, tier, length, _ in made(desk.db) if tier == OTC}
    assert ends == {(str(week), 6) for week in WEEKS[5:]} | {(str(week), 13) for week in WEEKS[12:]}
    assert_whole(desk.db)


@pytest.mark.one_engine
def test_a_window_that_lacks_a_week_names_it_and_has_no_figures(desk: Desk) -> None:
    (row,) = rows(desk.db, "rolling_venue_share", WEEKS[3])
    assert row["reason"] == f"{WEEKS[0] - timedelta(weeks=1)} OTC missing and one week more"
    assert {value for name, value in row.items() if name not in ("reason", "week_ending", "tier", "length")} == {None}


@pytest.mark.one_engine
def test_nothing_new_makes_nothing(desk: Desk) -> None:
    before, size = made(desk.db), events.head(desk.db).size
    run(desk, FRIDAYS[1])
    assert (made(desk.db), events.head(desk.db).size) == (before, size)


def test_a_restated_week_makes_exactly_the_windows_that_hold_it(desk: Desk) -> None:
    before = made(desk.db)
    desk.publish(WEEKS[14], OTC, REVISED)
    run(desk, FRIDAYS[1])
    after = made(desk.db)
    new = {(week, tier, length) for week, tier, length, _ in after.keys() - before.keys()}
    held = WEEKS[14:]
    assert new == {(str(week), OTC, length) for week in held for length in (6, 13)}
    assert {key: after[key] for key in before} == before
    assert_whole(desk.db)


def test_a_restatement_with_equal_measures_is_other_evidence_and_moves_nothing(desk: Desk) -> None:
    before = made(desk.db)
    desk.publish(WEEK, OTC, [(s, m, v, q, t + 1) for s, m, v, q, t in lines_of(WEEK)])
    run(desk, FRIDAYS[1])
    assert len(made(desk.db)) == len(before) + 2
    moved = diff.compare(desk.db, *history.last_two(desk.db, WEEK, OTC)).windows
    assert [(m.length, m.hhi_before == m.hhi_after, m.venue) for m in moved] == [(6, True, None), (13, True, None)]


def test_the_difference_says_which_windows_moved_and_by_how_much(desk: Desk) -> None:
    was = rows(desk.db, "rolling_hhi")[0]["hhi"]
    desk.publish(WEEK, OTC, REVISED)
    run(desk, FRIDAYS[1])
    six, thirteen = diff.compare(desk.db, *history.last_two(desk.db, WEEK, OTC)).windows
    assert (six.week, six.length, six.hhi_before, six.hhi_after) == (str(WEEK), 6, was, rows(desk.db, "rolling_hhi")[0]["hhi"])
    shares = {row["mpid"]: row["share_pooled"] for row in rows(desk.db, "rolling_venue_share")}
    assert six.share_after == shares[six.venue] != six.share_before
    assert thirteen.length == 13


def test_an_undone_withdrawal_finds_its_old_windows(desk: Desk) -> None:
    before, answers = made(desk.db), shown(desk.db)
    rollback.roll_back(desk.context(FRIDAYS[1]), WEEK, (OTC,), "why")
    (row,) = rows(desk.db, "rolling_hhi")
    assert (row["hhi"], row["reason"]) == (None, f"{WEEK} OTC withdrawn or held")
    rollback.undo(desk.context(FRIDAYS[2]), WEEK, (OTC,), "why not")
    assert (made(desk.db), shown(desk.db)) == (before, answers)
    assert_whole(desk.db)


def test_a_withdrawn_restatement_shows_the_windows_before_it(desk: Desk) -> None:
    answers = shown(desk.db)
    desk.publish(WEEKS[10], OTC, REVISED)
    run(desk, FRIDAYS[1])
    assert shown(desk.db) != answers
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEKS[10], (OTC,), "why")
    assert shown(desk.db) == answers


def test_a_past_day_is_answered_byte_for_byte_as_on_that_day(desk: Desk) -> None:
    printed = {FRIDAYS[0]: shown(desk.db)}
    desk.publish(WEEKS[10], OTC, REVISED)
    run(desk, FRIDAYS[1])
    printed[FRIDAYS[1]] = shown(desk.db)
    rollback.roll_back(desk.context(FRIDAYS[2]), WEEKS[15], (OTC,), "why")
    printed[FRIDAYS[2]] = shown(desk.db)
    rollback.undo(desk.context(FRIDAYS[3]), WEEKS[15], (OTC,), "why not")
    for day, answers in printed.items():
        assert shown(desk.db, day) == answers
    assert all(text.count("\n") == 1 for text in shown(desk.db, FRIDAYS[0] - timedelta(days=1)).values())


def test_a_content_replayed_on_the_same_day_takes_its_windows_with_it(desk: Desk) -> None:
    count = len(made(desk.db))
    desk.publish(WEEK, OTC, REVISED)
    run(desk, FRIDAYS[0])
    assert len(made(desk.db)) == count
    assert "NVDA" in {row["symbol"] for row in rows(desk.db, "rolling_symbol")}
    assert_whole(desk.db)


def test_what_a_killed_run_left_out_is_made_by_the_next(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = made(desk.db)
    desk.publish(WEEK, OTC, REVISED)
    with monkeypatch.context() as patch:
        patch.setattr(windows_of_calc, "_compute", _killed)
        with pytest.raises(KeyboardInterrupt):
            run(desk, FRIDAYS[1])
    assert made(desk.db) == before
    (row,) = rows(desk.db, "rolling_hhi")
    assert (row["hhi"], row["reason"]) == (None, windows.NOT_MADE)
    run(desk, FRIDAYS[1])
    assert len(made(desk.db)) == len(before) + 2
    assert rows(desk.db, "rolling_hhi")[0]["hhi"]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_failure_in_the_windows_stops_nothing_and_is_an_anomaly(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.publish(WEEK, OTC, REVISED)
    monkeypatch.setattr(windows_of_calc, "_compute", _failing)
    result = desk.run(FRIDAYS[1], weeks=(WEEK,), tiers=(NMS_TIER_1, OTC))
    assert [o.message for o in result.outcomes if o.status.value == "failed" and "no figures" in o.message]
    assert result.exit_code == 1
    assert diff.compare(desk.db, *history.last_two(desk.db, WEEK, OTC)).rows


def _failing(*_: object) -> None:
    raise ArithmeticError("no figures")


def test_incremental_equals_from_nothing(desk: Desk) -> None:
    for number, week in enumerate((WEEKS[4], WEEKS[9], WEEKS[9])):
        desk.publish(week, OTC, PLAIN if number % 2 else REVISED)
        run(desk, FRIDAYS[number + 1])
    answers = shown(desk.db)
    anew(desk)
    assert shown(desk.db) == answers


def anew(desk: Desk) -> None:
    """Makes every window from nothing."""
    for table in ("", "_input", "_tier", "_venue", "_progress"):
        desk.db.execute(f"DELETE FROM finra_otc_transparency_window{table}")
    windows_of_calc.follow(desk.context(FRIDAYS[3]), WEEK)


def test_a_rebuild_makes_the_same_rows(desk: Desk) -> None:
    before, answers = made(desk.db), shown(desk.db)
    rebuild.rebuild(desk.context(FRIDAYS[1]), None)
    assert (made(desk.db), shown(desk.db)) == (before, answers)
    desk.db.execute("UPDATE finra_otc_transparency_window_tier SET hhi = 0.5")
    rebuild.rebuild(desk.context(FRIDAYS[2]), WEEK)
    repaired = {key for key, stored in made(desk.db).items() if stored == before[key]}
    assert {(week, length) for week, _, length, _ in repaired} == {(str(WEEK), 6), (str(WEEK), 13)}
    assert_named(desk.db)


def assert_named(db: Database) -> None:
    """The figures that were changed behind the log are named."""
    named = replay.differences(db, replay.replay(events.lines(db)))
    assert len(named) == len(made(db)) - 4
    assert str(named[0]).startswith("window ")


@pytest.mark.one_engine
def test_a_pruned_capture_keeps_its_windows_and_loses_its_symbols(desk: Desk) -> None:
    desk.publish(WEEK, OTC, REVISED)
    run(desk, FRIDAYS[1])
    before = made(desk.db)
    was = {view: rows(desk.db, view, as_of=FRIDAYS[0]) for view in ROLLING}
    late = desk.context(FRIDAYS[1] + timedelta(days=900))
    assert prune.prune(late, 30, "space")
    assert made(desk.db) == before
    for view in ("rolling_venue_share", "rolling_hhi", "rolling_totals"):
        assert rows(desk.db, view, as_of=FRIDAYS[0]) == was[view]
    (row,) = rows(desk.db, "rolling_symbol", as_of=FRIDAYS[0])
    assert (row["symbol"], row["reason"]) == (None, f"{WEEK} OTC pruned")
    assert rows(desk.db, "rolling_symbol")
    assert desk.db.execute(
        "SELECT COUNT(*) FROM finra_otc_transparency_rolling_symbol WHERE week_ending = ? AND inputs_hash = ?",
        (str(WEEK), was["rolling_hhi"][0]["inputs_hash"]),
    ).fetchall() == [(0,)]
    rebuild.rebuild(late, None)
    assert {key: stored[0] for key, stored in made(desk.db).items()} == {key: stored[0] for key, stored in before.items()}
    assert_whole(desk.db)


def test_a_copy_carries_the_windows_and_continues(desk: Desk, other: Database) -> None:
    copy(desk.db, other, desk.context().now)
    assert (made(other), shown(other)) == (made(desk.db), shown(desk.db))
    copied = Desk(desk.folder, other)
    copied.publish(WEEK, OTC, REVISED)
    run(copied, FRIDAYS[1])
    assert len(made(other)) == len(made(desk.db)) + 2


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Database]:
    database = connect(str(tmp_path / "copy.db"))
    yield database
    database.close()


def test_a_store_of_an_earlier_schema_gets_its_windows_from_the_next_run(desk: Desk) -> None:
    answers = shown(desk.db)
    for table in ("", "_input", "_tier", "_venue", "_progress"):
        desk.db.execute(f"DELETE FROM finra_otc_transparency_window{table}")
    desk.publish(WEEK, OTC, [*lines_of(WEEK)])
    run(desk, FRIDAYS[1])
    assert shown(desk.db) == answers
    assert rows(desk.db, "rolling_hhi", as_of=FRIDAYS[0])[0]["reason"] == windows.NOT_MADE


@pytest.mark.one_engine
def test_other_lengths_are_kept_by_the_store(desk: Desk) -> None:
    made_now = keep(desk.context(FRIDAYS[1]), (6, 13, 18))
    assert made_now.rows == 4
    assert rows(desk.db, "rolling_hhi", length=18)[0]["hhi"]
    assert tables.progress(desk.db).lengths == (6, 13, 18)
    run(desk, FRIDAYS[2])
    assert len({length for _, _, length, _ in made(desk.db)}) == 3


@pytest.mark.parametrize("name", ROLLING)
def test_the_twin_shows_what_the_query_shows(desk: Desk, name: str) -> None:
    desk.publish(WEEKS[14], OTC, REVISED)
    run(desk, FRIDAYS[1])
    columns = VIEWS[name].columns
    latest = desk.db.execute(f"SELECT {', '.join(columns)} FROM finra_otc_transparency_{name}_latest").fetchall()
    at = columns.index("inputs_hash")
    queried = [row for row in answer.answer(desk.db, Question(VIEWS[name])) if row[at] is not None]
    assert sorted(map(repr, map(tuple, latest))) == sorted(map(repr, queried))


@pytest.mark.one_engine
def test_ranks_are_compared_with_the_window_before(desk: Desk) -> None:
    desk.publish(WEEKS[12], OTC, [("AAPL", "JPMX", "JPM-X", 90_000, 5), ("AAPL", "UBSA", "UBS ATS", 10, 1)])
    run(desk, FRIDAYS[1])
    now = {row["mpid"]: (row["rank"], row["rank_change"]) for row in rows(desk.db, "rolling_venue_share", WEEKS[18])}
    assert now == {"UBSA": (1, 1), "JPMX": (3, -2), "": (2, 1)}
    first = {row["mpid"]: row["rank_change"] for row in rows(desk.db, "rolling_venue_share", WEEKS[5])}
    assert set(first.values()) == {None}


@pytest.mark.one_engine
def test_a_symbol_is_added_up_from_the_measures_of_its_weeks(desk: Desk) -> None:
    rows_of = {row["symbol"]: row for row in rows(desk.db, "rolling_symbol")}
    weeks = [lines_of(week) for week in WEEKS[-6:]]
    shares = [sum(q for s, _, _, q, _ in lines if s == "AAPL") for lines in weeks]
    totals = [sum(q for *_, q, _ in lines) for lines in weeks]
    apple = rows_of["AAPL"]
    parts = [share / total for share, total in zip(shares, totals, strict=True)]
    assert (apple["total_shares"], apple["active_weeks"]) == (sum(shares), 6)
    assert apple["share_pooled"] == pytest.approx(sum(shares) / sum(totals), abs=1e-12)
    assert apple["share_mean"] == pytest.approx(sum(parts) / 6, abs=1e-12)
    assert apple["slope"] == pytest.approx(sum((2 * i - 5) * x for i, x in enumerate(parts)) / 35, abs=1e-12)
    assert (apple["ats_fraction"], rows_of["MSFT"]["ats_fraction"]) == (1, 0)
    (only,) = answer.answer(desk.db, Question(VIEWS["rolling_symbol"], (WEEK,), (OTC,), "AAPL", length=6))
    assert only == tuple(apple.values())


def test_what_depends_on_a_week_is_listed(desk: Desk) -> None:
    before = windows.dependents(desk.db, WEEKS[17], OTC)
    desk.publish(WEEKS[17], OTC, REVISED)
    run(desk, FRIDAYS[1])
    assert windows.dependents(desk.db, WEEKS[17], OTC, end_of(FRIDAYS[0])) == before
    states = [(each.week, each.length, each.state) for each in windows.dependents(desk.db, WEEKS[17], OTC)]
    both = ("superseded", "current")
    assert states == [(str(week), length, state) for week in WEEKS[17:] for length in (6, 13) for state in both]
    first = windows.dependents(desk.db, WEEKS[0], OTC)
    reason = f"{WEEKS[0] - timedelta(weeks=1)} OTC missing and 4 weeks more"
    assert (first[0].week, first[0].state, first[0].reason) == (str(WEEKS[0]), windows.MISSING, reason)


@pytest.mark.one_engine
def test_the_commands(desk: Desk, target: str, run_command: RunCommand) -> None:
    found = run_command("spine", "query", "rolling_venue_share", "--week", WEEK, "--tier", OTC, "--length", 6, "--csv", "--db", target)
    lines = list(csv.DictReader(io.StringIO(found.stdout)))
    assert {"mpid", "share_pooled", "share_mean", "slope", "rank", "reason"} <= lines[0].keys()
    assert [line["mpid"] for line in lines] == ["UBSA", "", "JPMX"]
    other = run_command("spine", "query", "rolling_hhi", "--length", 7, "--db", target)
    assert "those kept are of 6 and 13" in other.stderr
    assert "spine windows --lengths 6,7,13" in other.stderr
    assert run_command("spine", "query", "hhi", "--length", 6, "--db", target).exit_code == 2
    desk.publish(WEEK, OTC, REVISED)
    run(desk, FRIDAYS[1])
    difference = run_command("spine", "diff", WEEK, OTC, "--db", target)
    assert [line.split()[:2] for line in difference.stdout.splitlines()[-2:]] == [[str(WEEK), "6"], [str(WEEK), "13"]]
    listed = json.loads(run_command("spine", "windows", WEEK, OTC, "--db", target, "--json").stdout)
    assert [(each["length"], each["state"]) for each in listed["windows"]][:2] == [(6, "superseded"), (6, "current")]
    kept = run_command("spine", "windows", "--lengths", "6,13,18", "--db", target)
    assert "Windows of 6, 13, 18 weeks are kept; made 4" in kept.stdout
    assert run_command("spine", "windows", "--lengths", "1", "--db", target).exit_code == 2
