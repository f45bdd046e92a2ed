"""Every version of a row and when it was known: what FINRA dates, what only we can date, and what nobody can."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest
from support.commands import RunCommand
from support.desk import FRIDAYS, PLAIN, REVISED, WEEK, Desk

from market_spine.db import Database
from market_spine.errors import UsageError
from market_spine.operate import prune, rollback
from market_spine.partition import OTC
from market_spine.query import answer, as_of, vintages
from market_spine.query.answer import Question
from market_spine.query.export import export
from market_spine.query.views import VERSIONS, VIEWS
from market_spine.query.vintages import Releases, Row, Version, versions_of

FIRST, RESTATED, ROLLED_BACK, UNDONE = FRIDAYS
PUBLISHED = "2025-12-29"


def row(shares: int = 100, published: str | None = "01-05", revised: str | None = "01-05", symbol: str = "A", name: str = "x") -> Row:
    days = (f"2026-{day}" if day else None for day in (published, revised))
    return Row("id", str(WEEK), OTC, symbol, "A Inc.", "", "ATS", "X", None, name, shares, 1, None, "then", *days)


def spans(held: Iterable[tuple[str, list[Row]]]) -> list[tuple[float | None, str, str | None, str | None]]:
    """Shares, basis, known_from, known_to of each version."""
    versions = versions_of((f"2026-{day}", rows) for day, rows in held)
    return [(v.row.total_shares, v.basis, _short(v.known_from), _short(v.known_to)) for v in versions]


def _short(day: str | None) -> str | None:
    return day and day.removeprefix("2026-")


HISTORIES = {
    "never changed": ([("01-09", [row()])], [(100, "declared", "01-05", None)]),
    "revised before we saw it": ([("01-09", [row(revised="01-07")])], [(100, "declared", "01-07", None)]),
    "revised with a date": (
        [("01-09", [row()]), ("01-16", [row(7, revised="01-13")])],
        [(100, "declared", "01-05", "01-13"), (7, "declared", "01-13", None)],
    ),
    "changed without a date": (
        [("01-09", [row()]), ("01-16", [row(7)])],
        [(100, "declared", "01-05", "01-16"), (7, "observed", "01-16", None)],
    ),
    "dated before the day on which we held the other": (
        [("01-09", [row()]), ("01-16", [row(7, revised="01-09")])],
        [(100, "declared", "01-05", "01-16"), (7, "observed", "01-16", None)],
    ),
    "taken back": (
        [("01-09", [row()]), ("01-16", [row(7, revised="01-13")]), ("01-23", [row()])],
        [(100, "declared", "01-05", "01-13"), (7, "declared", "01-13", "01-23"), (100, "observed", "01-23", None)],
    ),
    "gone": ([("01-09", [row()]), ("01-16", [])], [(100, "declared", "01-05", "01-16")]),
    "gone and back": (
        [("01-09", [row()]), ("01-16", []), ("01-23", [row()])],
        [(100, "declared", "01-05", "01-16"), (100, "observed", "01-23", None)],
    ),
    "added later": ([("01-09", []), ("01-16", [row(revised="01-14")])], [(100, "declared", "01-14", None)]),
    "added later without a date": ([("01-09", []), ("01-16", [row()])], [(100, "observed", "01-16", None)]),
    "without dates": (
        [("01-09", [row(published=None, revised=None)]), ("01-16", [row(7, published=None, revised=None)])],
        [(100, "observed", "01-09", "01-16"), (7, "observed", "01-16", None)],
    ),
    "8 columns": ([("01-09", [row(published=None)])], [(100, "declared", "01-05", None)]),
    "published later than it was changed": ([("01-09", [row(published="01-07")])], [(100, "declared", "01-07", None)]),
    "dated after we held it": ([("01-09", [row(revised="01-12")])], [(100, "declared", "01-12", None)]),
    "lost before the day it is dated": (
        [("01-09", [row(revised="01-20")]), ("01-16", [row(7, revised="01-13")])],
        [(100, "declared", "01-20", "01-20"), (7, "declared", "01-13", None)],
    ),
    "the venue renamed": (
        [("01-09", [row()]), ("01-16", [row(name="y", revised="01-13")])],
        [(100, "declared", "01-05", "01-13"), (100, "declared", "01-13", None)],
    ),
    "another row changed": (
        [("01-09", [row(), row(5, symbol="B")]), ("01-16", [row(), row(6, symbol="B")])],
        [(100, "declared", "01-05", None), (5, "declared", "01-05", "01-16"), (6, "observed", "01-16", None)],
    ),
}


@pytest.mark.parametrize(("held", "expected"), HISTORIES.values(), ids=HISTORIES)
def test_from_when_to_when_a_version_was_known(
    held: list[tuple[str, list[Row]]], expected: list[tuple[float | None, str, str | None, str | None]]
) -> None:
    assert spans(held) == expected


# --- In a store -------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """Captured, restated without a date, rolled back, undone."""
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    desk.run(FIRST)
    desk.publish(WEEK, OTC, REVISED)
    desk.run(RESTATED)
    rollback.roll_back(desk.context(ROLLED_BACK), WEEK, [OTC], "faulty file")
    rollback.undo(desk.context(UNDONE), WEEK, [OTC], "right after all")
    return desk


def versions(db: Database, symbol: str | None = None) -> tuple[Version, ...]:
    return vintages.read_vintages(db, str(WEEK), OTC, as_of.spells(db)[str(WEEK), OTC], symbol).versions


def known(db: Database, day: date) -> list[tuple[object, ...]]:
    """What the versions say was known on a day."""
    return [v.row[3:13] for v in vintages.known_on(versions(db), str(day))]


def answered(db: Database, day: date) -> list[tuple[object, ...]]:
    """What `query normalized --as-of` shows."""
    return [row[3:13] for row in answer.answer(db, Question(VIEWS["normalized"], tiers=(OTC,), as_of=day))]


def test_on_every_day_of_a_change_the_versions_known_are_what_was_shown_then(desk: Desk) -> None:
    shown = {day: answered(desk.db, day) for day in FRIDAYS}
    assert len({str(rows) for rows in shown.values()}) == 2
    assert {day: known(desk.db, day) for day in FRIDAYS} == shown


def test_a_capture_counts_while_it_was_current(desk: Desk) -> None:
    found = [(v.row.total_shares, v.held_from, v.basis, v.known_from, v.known_to) for v in versions(desk.db, "AAPL") if v.row.mpid == "UBSA"]
    assert found == [
        (1000, "2026-01-09", "declared", PUBLISHED, "2026-01-16"),
        (1500, "2026-01-16", "observed", "2026-01-16", "2026-01-23"),
        (1000, "2026-01-23", "observed", "2026-01-23", "2026-01-30"),
        (1500, "2026-01-30", "observed", "2026-01-30", None),
    ]
    same = next(v for v in versions(desk.db, "AAPL") if v.row.mpid == "JPMX")
    assert [name[-8:] for name in same.capture_ids] == ["20260109", "20260116"]


def test_versions_that_only_pruned_captures_had_are_gone_and_named(desk: Desk, target: str, run_command: RunCommand) -> None:
    pruned = prune.prune(desk.context(UNDONE), 0, "space")
    assert [capture.entry.run_date for capture in pruned] == ["2026-01-09"]
    assert [v.row.total_shares for v in versions(desk.db, "AAPL") if v.row.mpid == "UBSA"] == [1500]
    done = run_command("spine", "vintages", str(WEEK), OTC, "--db", target)
    assert (done.exit_code, "Left out, rows pruned: 2025-11-28 / OTC" in done.stderr) == (1, True), done.stderr
    export(desk.db, VERSIONS, desk.folder / "pit", "csv")


def redate(desk: Desk, symbol: str, day: str) -> None:
    path = desk.folder / f"otc_week_{WEEK}.psv"
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join(f"{line[:-10]}{day}" if f"|{symbol}|" in line else line for line in lines) + "\n", "utf-8")


@pytest.fixture
def revised(db: Database, tmp_path: Path) -> Desk:
    """One row of four had been revised before the first capture; another one is afterwards."""
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK])
    redate(desk, "MSFT", "2026-01-07")
    desk.run(FIRST)
    desk.publish(WEEK, OTC, [("AAPL", "UBSA", "UBS ATS", 1500, 12), *PLAIN[1:], ("NVDA", "JPMX", "JPM-X", 70, 1)])
    redate(desk, "MSFT", "2026-01-07")
    redate(desk, "AAPL", "2026-01-13")
    redate(desk, "NVDA", "2026-01-14")
    desk.run(RESTATED)
    return desk


@pytest.mark.parametrize("symbol", [None, "MSFT"], ids=["all symbols", "one symbol"])
def test_a_row_revised_before_we_saw_it_has_no_first_release(revised: Desk, symbol: str | None) -> None:
    question = Question(VIEWS["normalized"], (WEEK,), (OTC,), symbol)
    releases = Releases(revised.db, question, first=True)
    shown = [Row._make(values[:16]) for values in releases.read()]
    figures = {(r.symbol, r.mpid): r.total_shares for r in shown}
    every = {("AAPL", "JPMX"): 500, ("AAPL", "UBSA"): 1000, ("BRK.B", "UBSA"): 200.5, ("MSFT", ""): None, ("NVDA", "JPMX"): 70}
    assert figures == {key: shares for key, shares in every.items() if symbol in (None, key[0])}
    assert releases.revised_before_capture == 1
    assert releases.remark() == f"{100 / len(figures):.1f} % of rows of 2025-11-28 were revised before we first saw them"


def test_all_releases_are_counted_as_such(revised: Desk) -> None:
    releases = Releases(revised.db, Question(VIEWS["normalized"], (WEEK,), (OTC,)), first=False)
    assert (len(list(releases.read())), releases.remark()) == (7, None)


def test_a_view_of_measures_has_no_releases(db: Database) -> None:
    with pytest.raises(UsageError, match="hhi has no releases") as caught:
        Releases(db, Question(VIEWS["hhi"]), first=True)
    assert caught.value.hint == "spine query normalized --first-release"


# --- The commands -----------------------------------------------------------------------------------------------------


def test_vintages_lists_them_as_a_table_and_as_json(revised: Desk, target: str, run_command: RunCommand) -> None:
    asked = ("spine", "vintages", str(WEEK), OTC, "--symbol", "AAPL", "--db", target)
    table = run_command(*asked).stdout.splitlines()
    assert [line.split() for line in table[3:]] == [
        ["AAPL", "UBSA", "1,000", "10", PUBLISHED, "2026-01-09", "declared", PUBLISHED, "2026-01-13", "20260109"],
        ["AAPL", "UBSA", "1,500", "12", "2026-01-13", "2026-01-16", "declared", "2026-01-13", "20260116"],
    ]
    document = json.loads(run_command(*asked, "--json").stdout)
    assert [(v["total_shares"], v["known_to"], len(v["capture_ids"])) for v in document["versions"]] == [
        (500, "2026-01-13", 1), (500, None, 1), (1000, "2026-01-13", 1), (1500, None, 1),
    ]
    nothing = run_command("spine", "vintages", "2020-01-03", OTC, "--db", target)
    assert (nothing.exit_code, "2020-01-03 / OTC has no capture" in nothing.stderr) == (2, True), nothing.stderr


def test_query_shows_first_releases_and_all_of_them(revised: Desk, target: str, run_command: RunCommand) -> None:
    asked = ("spine", "query", "normalized", "--week", str(WEEK), "--tier", OTC, "--db", target)
    first = run_command(*asked, "--first-release", "--csv")
    rows = list(csv.DictReader(io.StringIO(first.stdout)))
    assert (tuple(rows[0]), len(rows)) == (VERSIONS.columns, 5)
    assert [(r["total_shares"], r["held_from"], r["known_to"]) for r in rows if r["symbol"] == "MSFT"] == [("", "", "2026-01-07")]
    assert first.stderr == "20.0 % of rows of 2025-11-28 were revised before we first saw them\n"
    document = json.loads(run_command(*asked, "--first-release", "--json").stdout)
    assert (document["revised_before_capture"], len(document["rows"])) == (1, 5)
    assert len(run_command(*asked, "--all-releases", "--nl").stdout.splitlines()) == 7
    assert run_command(*asked, "--latest", "--csv").stdout == run_command(*asked, "--csv").stdout


REFUSED = {
    "two of them": (("normalized", "--latest", "--as-of", "2026-01-09"), "exclude each other"),
    "another view": (("hhi", "--all-releases"), "hhi has no releases"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked_is_refused_in_a_line(
    db: Database, target: str, run_command: RunCommand, arguments: tuple[str, ...], said: str
) -> None:
    done = run_command("spine", "query", *arguments, "--db", target)
    assert (done.exit_code, said in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_point_in_time_export_has_a_row_a_version_and_is_rewritten_where_the_history_changed(
    revised: Desk, target: str, run_command: RunCommand, form: str
) -> None:
    duckdb = pytest.importorskip("duckdb")
    root = revised.folder / "pit"
    asked = ("spine", "export", "--pit", "--format", form, "--to", root, "--db", target)
    assert "3 files written" in run_command(*asked).stdout
    files = f"read_{form}('{root}/*/*/*.{form}', hive_partitioning = true)"
    then = f"FROM {files} WHERE tier = 'OTC' AND known_from <= $1 AND (known_to IS NULL OR known_to > $1)"
    sums = {
        day: duckdb.execute(f"SELECT COUNT(*), SUM(total_shares) {then}", [date(2026, 1, day)]).fetchall()[0] for day in (12, 13, 16)
    }
    assert sums == {12: (4, 2000.5), 13: (4, 2500.5), 16: (5, 2570.5)}
    assert "0 files written, 3 unchanged" in run_command(*asked).stdout
    rollback.roll_back(revised.context(ROLLED_BACK), WEEK, [OTC], "x")
    rollback.undo(revised.context(UNDONE), WEEK, [OTC], "the same capture is current again")
    assert "1 files written, 2 unchanged" in run_command(*asked).stdout
    refused = run_command(*asked, "--as-of", "2026-01-09")
    assert (refused.exit_code, "--pit holds every day" in refused.stderr) == (2, True)
