"""Whoever reads sees one moment: what a run, a rollback, a prune or a rebuild commits meanwhile is in no answer, not in part.

A change is made within the reader's own call, before one of its statements: no time passes and nothing is waited for, and
the reader is held exactly where it is most exposed. Each statement of each command has its turn.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import filled_copy
from support.commands import StartCommand
from support.desk import FRIDAYS, WEEK, Desk, Line

from market_spine.cli.spine import command
from market_spine.db import Database, connect
from market_spine.db.postgres import Postgres
from market_spine.db.sqlite import Sqlite
from market_spine.operate import prune, rollback
from market_spine.operate.rebuild import rebuild
from market_spine.operate.windows import keep
from market_spine.partition import OTC, TIERS
from market_spine.query.views import VIEWS

TURNS = 2  # statements of a reader that are tried, spread over all it makes
DAY = ("--run-date", "2026-01-30")
READERS = {
    **{f"query {view}": ("query", view, "--csv") for view in VIEWS},
    "query as of the first day": ("query", "normalized", "--nl", "--as-of", str(FRIDAYS[0])),
    "query as of a later day": ("query", "venue_share", "--json", "--as-of", str(FRIDAYS[2])),
    "history of a symbol": ("query", "symbol_summary", "--symbol", "AAPL"),
    "export": ("export", "--format", "csv", "--to", "FOLDER"),
    "export of a week-level view": ("export", "--format", "csv", "--view", "tier_split", "--to", "FOLDER"),
    "verify": ("verify", "--json"),
    "verify --deep": ("verify", "--deep", "--json"),
    "captures": ("captures", "--json"),
    "diff": ("diff", str(WEEK), OTC, "--json"),
    "anomalies": ("anomalies", *DAY, "--json"),
    "status": ("status", *DAY, "--weeks", "12", "--json"),
    "doctor": ("doctor", *DAY, "--weeks", "12", "--json"),
    "metrics": ("metrics",),
    "prune --dry-run": ("prune", *DAY, "--older-than", "0", "--dry-run", "--json"),
    "/data": ("GET", "/api/v1/data/normalized?format=csv"),
    "/data as of": ("GET", f"/api/v1/data/tier_split?as_of={FRIDAYS[1]}"),
    "/manifest": ("GET", "/api/v1/manifest"),
    "/readiness": ("GET", "/api/v1/readiness"),
    "/anomalies": ("GET", "/api/v1/anomalies"),
    "/doctor": ("GET", "/api/v1/doctor/finra.otc_transparency?weeks=104"),
    "/work/pending": ("GET", "/api/v1/work/pending"),
    "/metrics": ("GET", "/metrics"),
}
# Nothing is ever wrong in these, so that their answers do not change; what has been damaged meanwhile would be seen.
STEADY = ("verify", "verify --deep", "anomalies", "/anomalies", "/work/pending")
# What tells one call from the next, or is no part of what is stored: when it was asked, and the size of the files.
_OF_THE_CALL = re.compile(r'"seen_at": "[^"]*"|market_spine_database_bytes [\d.e+]+')


class Changes:
    """What others do to the database, one change after another; after each of them every reader has another answer."""

    def __init__(self, folder: Path, db: Database, restated: int = 2) -> None:
        self._desk, self._content = Desk(folder, db), restated
        self._day = FRIDAYS[0] + timedelta(days=restated)
        self._turns = itertools.cycle((self._restate_and_prune, self._roll_back, self._undo_and_rebuild))

    def __call__(self) -> None:
        next(self._turns)()

    def begin(self) -> None:
        """What was before all changes: a week, and the next one with two captures of each tier."""
        keep(self._desk.context(self._day), (2,))
        self._desk.publish_weeks([WEEK - timedelta(weeks=1)])
        self._desk.run(self._day, weeks=(WEEK - timedelta(weeks=1),))
        for _ in range(2):
            self.restate()

    def restate(self) -> None:
        self._content += 1
        for tier in TIERS:
            lines: tuple[Line, ...] = (("AAPL", "UBSA", "UBS ATS", 100 + self._content, 7), ("MSFT", "JPMX", "JPM-X", 40, 2))
            self._desk.publish(WEEK, tier, (*lines, (f"NEW{self._content}", "UBSA", "UBS ATS", 5, 1)))
        self._desk.run(self._day)
        self._day += timedelta(days=1)

    def _restate_and_prune(self) -> None:
        self.restate()
        self.restate()
        prune.prune(self._desk.context(self._day), 2, "space")

    def _roll_back(self) -> None:
        rollback.roll_back(self._desk.context(self._day), WEEK, list(TIERS), "wrong")

    def _undo_and_rebuild(self) -> None:
        rollback.undo(self._desk.context(self._day), WEEK, list(TIERS), "right after all")
        rebuild(self._desk.context(self._day), None)


class Interruption:
    """Makes a change before the n-th statement of a connection that only reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
        self._change = change
        self.at, self.statements = 0, 0
        for engine in (Sqlite, Postgres):
            monkeypatch.setattr(engine, "execute", self._interrupted(engine.execute))

    def _interrupted(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(db: Any, sql: str, parameters: Any = (), /) -> Any:
            if db._read_only:
                self.statements += 1
                if self.statements == self.at:
                    self._change()
            return execute(db, sql, parameters)

        return wrapped


@pytest.fixture
def target(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    yield from filled_copy(engine, request, begun)


def begun(db: Database, folder: Path) -> None:
    Changes(folder, db, restated=0).begin()


@pytest.fixture
def changes(db: Database, tmp_path: Path) -> Changes:
    return Changes(tmp_path / "files", db)


@pytest.fixture
def ask(target: str, tmp_path: Path) -> Iterator[Callable[[tuple[str, ...]], str]]:
    """Asks a command or a route in this process; what it said, files included."""
    from market_spine.api.app import Serving, build

    testclient = pytest.importorskip("starlette.testclient")
    folder, client = tmp_path / "exported", None

    def ask(words: tuple[str, ...]) -> str:
        nonlocal client
        if words[0] == "GET":
            if client is None:  # making the application takes longer than most commands
                client = stack.enter_context(testclient.TestClient(build(Serving(target, port=80)), base_url="http://localhost"))
            answer = client.get(words[1])
            return _OF_THE_CALL.sub("", f"{answer.status_code} {answer.text}")
        shutil.rmtree(folder, ignore_errors=True)
        told = CliRunner().invoke(command, [*(str(folder) if word == "FOLDER" else word for word in words), "--db", target])
        files = {str(file.relative_to(folder)): file.read_text("utf-8") for file in sorted(folder.rglob("*.*"))}
        return _OF_THE_CALL.sub("", f"{told.exit_code} {told.exception!r}\n{told.output}\n{files}")

    with contextlib.ExitStack() as stack:
        yield ask


@pytest.mark.parametrize("reader", READERS)
def test_an_answer_is_that_of_before_or_that_of_after(
    reader: str, ask: Callable[[tuple[str, ...]], str], changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, words = Interruption(monkeypatch, changes), READERS[reader]
    before = ask(words)
    count, differing = held.statements, 0
    for turn in range(1, TURNS + 1):
        at = 1 + count * turn // (TURNS + 1)
        held.at, held.statements = at, 0
        interrupted = ask(words)
        held.at = 0
        after = ask(words)
        assert interrupted in (before, after), f"a mixture, when changed before statement {at} of {count}"
        differing += before != after
        before = after
    assert bool(differing) == (reader not in STEADY), "the changes change nothing that is asked"


@pytest.mark.parametrize("words", [("verify",), ("verify", "--deep")], ids=" ".join)
def test_verify_raises_no_alarm_beside_work(
    words: tuple[str, ...], ask: Callable[[tuple[str, ...]], str], changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Interruption(monkeypatch, changes)
    for at in range(1, 30, 3):
        held.at, held.statements = at, 0
        assert ask(words).startswith("0 "), f"changed before statement {at}"


def test_an_answer_that_nobody_fetches_stays_what_it_was(
    changes: Changes, db: Database, target: str, tmp_path: Path, start_command: StartCommand
) -> None:
    """A real process, held by its full pipe: it has said its first line, and more than the pipe holds is to come."""
    desk = Desk(tmp_path / "files", db)
    lines = {tier: [(f"{at}S{n:04}", "UBSA", "UBS ATS", n, at) for n in range(1, 2500)] for at, tier in enumerate(TIERS, 1)}
    day = FRIDAYS[0] + timedelta(days=30)
    for tier in TIERS:
        desk.publish(WEEK, tier, lines[tier])
    desk.run(day)
    asked = ("spine", "query", "normalized", "--csv", "--db", target)
    whole, _ = start_command(*asked).communicate()

    process = start_command(*asked)
    assert process.stdout
    first = process.stdout.readline()
    for tier in TIERS:
        desk.publish(WEEK, tier, lines[tier][1:])
    assert desk.run(day + timedelta(days=1)).exit_code == 0, "a reader does not stop the run beside it"
    pruned = prune.prune(desk.context(day + timedelta(days=2)), 0, "space")
    rest = process.stdout.read()
    process.wait()

    assert len(pruned) >= len(TIERS)
    assert (first + rest == whole, process.returncode) == (True, 0)
    again, _ = start_command(*asked).communicate()
    assert again.count("\n") == whole.count("\n") - len(TIERS)


def test_a_snapshot_joins_the_one_that_is_open_and_so_does_a_stream(db: Database, target: str) -> None:
    insert = "INSERT INTO core_operator_actions (at, actor, action, target, reason) VALUES ('', '', '', ?, '')"
    count = "SELECT COUNT(*) FROM core_operator_actions WHERE actor = ''"
    reader = connect(target, read_only=True)
    db.execute(insert, ("first",))
    with reader.snapshot():
        db.execute(insert, ("second",))
        with reader.snapshot():
            streams = [reader.stream("SELECT target FROM core_operator_actions WHERE actor = ''") for _ in range(2)]
            seen = [next(stream) for stream in streams]
            streams[0].close()  # type: ignore[attr-defined]
        assert reader.execute(count).fetchone() == (1,)
        assert [*streams[1]] == []
    assert [target for (target,) in seen] == ["first", "first"]
    assert reader.execute(count).fetchone() == (2,)
    reader.close()


def test_a_snapshot_is_taken_as_it_begins_and_not_with_the_first_question(db: Database, target: str) -> None:
    reader = connect(target, read_only=True)
    with reader.snapshot():
        db.execute("INSERT INTO core_operator_actions (at, actor, action, target, reason) VALUES ('', '', '', '', '')")
        assert reader.execute("SELECT COUNT(*) FROM core_operator_actions WHERE actor = ''").fetchone() == (0,)
    reader.close()


def test_what_is_asked_of_a_day_that_is_over_does_not_change_meanwhile(
    ask: Callable[[tuple[str, ...]], str], changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a week-level view, that prune keeps: the answer about the first day is one and the same throughout."""
    words = ("query", "weekly_totals", "--csv", "--as-of", str(date(2026, 1, 9)))
    held = Interruption(monkeypatch, changes)
    first = ask(words)
    for at in range(1, held.statements + 1):
        held.at, held.statements = at, 0
        assert ask(words) == first
