"""Six hundred weeks stored: what an operator asks reaches its rows by key, and never scans the volume table."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from bench import many_weeks as size

from market_spine.app.context import Run
from market_spine.db import Database, connect
from market_spine.db.migrations import prepare
from market_spine.operate import anomalies, gaps, status
from market_spine.query import answer, diff, history
from market_spine.query.answer import Question
from market_spine.query.views import VIEWS
from market_spine.query.vintages import Releases

WEEKS = 600
ROWS = 3 * size.SYMBOLS * size.VENUES
LARGE = ("finra_otc_transparency_volume", "finra_otc_transparency_symbol_measure")


class Asking:
    """A database that notes what it is asked, and asks the real one."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        self.asked.append((sql, tuple(parameters)))
        return self._db.execute(sql, parameters)


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.db"
    db = connect(str(path))
    prepare(db, datetime(2026, 1, 9, tzinfo=timezone.utc))
    size.fill(db, WEEKS)
    db.close()
    return path


@pytest.fixture
def large(large_file: Path, tmp_path: Path) -> Iterator[Asking]:
    shutil.copyfile(large_file, tmp_path / "large.db")
    db = connect(str(tmp_path / "large.db"))
    yield Asking(db)
    db.close()


def run_on(db: Any) -> Run:
    day = size.NEWEST + timedelta(days=40)
    return Run(db, day, datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc), "x")


def ask_status(db: Any) -> int:
    return len(status.examine(run_on(db), [size.NEWEST - timedelta(weeks=n) for n in range(6)]))


def ask_doctor(db: Any) -> int:
    return len(gaps.find_gaps(run_on(db), [size.NEWEST])) + 1


def ask_captures(db: Any) -> int:
    return len(history.list_captures(db)) + len(history.list_captures(db, size.NEWEST)) + len(anomalies.list_anomalies(db)) + 1


def ask_diff(db: Any) -> int:
    before, after = (history.list_captures(db, size.NEWEST - timedelta(weeks=n))[0] for n in (1, 0))
    return len(diff.compare(db, before, after).rows) + 1


def ask_history(db: Any) -> int:
    return sum(
        len(list(answer.answer(db, Question(view, symbol="SYM007")))) for view in VIEWS.values() if view.of_symbol is not None
    )


def ask_history_as_of(db: Any) -> int:
    return len(list(answer.answer(db, Question(VIEWS["normalized"], symbol="SYM007", as_of=size.NEWEST))))


def ask_releases(db: Any) -> int:
    return len(list(Releases(db, Question(VIEWS["normalized"], symbol="SYM007"), first=True).read()))


QUESTIONS = {
    "status": ask_status,
    "doctor": ask_doctor,
    "captures": ask_captures,
    "diff": ask_diff,
    "history": ask_history,
    "history as of": ask_history_as_of,
    "releases": ask_releases,
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_scans_a_large_table(large: Asking, question: str) -> None:
    assert QUESTIONS[question](large) > 0
    scans = {}
    for sql, parameters in large.asked:
        if sql.lstrip().upper().startswith(("SELECT", "WITH")):
            aliases = {alias for alias in ("f", "a", "b", "m", *LARGE) if any(f"{table} {alias}" in sql for table in LARGE)}
            plan = [step for _, _, _, step in large.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()]
            scanned = [step for step in plan if step.split()[0] == "SCAN" and step.split()[1] in {*LARGE, *aliases, "f"}]
            if scanned:
                scans[" ".join(sql.split())[:80]] = scanned
    assert scans == {}


@pytest.mark.parametrize("view", ["normalized", "symbol_summary", "hhi", "symbol_venue_share"])
def test_the_views_people_query_find_a_symbol_by_key(large: Asking, view: str) -> None:
    texts = {
        "normalized": "SELECT * FROM finra_otc_transparency_normalized_latest WHERE symbol = ?",
        "symbol_summary": "SELECT * FROM finra_otc_transparency_symbol_summary_latest WHERE symbol = ?",
        "hhi": "SELECT * FROM finra_otc_transparency_hhi_latest WHERE symbol = ?",
        "symbol_venue_share": "SELECT * FROM finra_otc_transparency_symbol_venue_share_latest WHERE symbol = ?",
    }
    plan = [step for _, _, _, step in large.execute(f"EXPLAIN QUERY PLAN {texts[view]}", ("SYM007",)).fetchall()]
    assert [step for step in plan if step.split()[:2] in (["SCAN", "f"], ["SCAN", "m"])] == []


def test_postgresql_has_a_way_by_key_for_every_question(db: Database) -> None:
    """At this size a scan may cost less, so scans are made dear: what still scans has no other way."""
    if db.engine != "postgresql":
        pytest.skip("the plans of SQLite are read above")
    size.fill(db, 200)
    db.execute("ANALYZE")
    db.execute("SET enable_seqscan = off")
    large = Asking(db)
    for question in QUESTIONS.values():
        assert question(large) > 0
    scans = []
    for sql, parameters in large.asked:
        if sql.lstrip().upper().startswith(("SELECT", "WITH")):
            plan = "\n".join(step for (step,) in db.execute(f"EXPLAIN {sql}", parameters).fetchall())
            if "Seq Scan on finra_otc_transparency_volume" in plan:
                scans.append(" ".join(sql.split())[:80])
    assert scans == []


@pytest.mark.parametrize("view", ["venue_share", "hhi", "concentration"])
def test_the_rows_of_one_capture_are_found_by_key(large: Asking, view: str) -> None:
    plan = [row[3] for row in large.execute(f"EXPLAIN QUERY PLAN {VIEWS[view].of_capture}", ("x",)).fetchall()]
    assert [step for step in plan if step.split()[:2] in (["SCAN", "c"], ["SCAN", "m"], ["SCAN", "f"])] == []
