"""The published file: what the views show, to the figure, in a file that others can open, search and trust while it is replaced."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.commands import StartCommand, run_here
from support.desk import FRIDAYS, REVISED, WEEK, Desk
from support.gates import Gate

from market_spine.db import Database
from market_spine.errors import ConfigurationError, UsageError
from market_spine.operate.publish import DEFAULT, NAMED, Selected, metadata, publish
from market_spine.operate.windows import keep
from market_spine.partition import OTC
from market_spine.query import answer
from market_spine.query.answer import Question
from market_spine.query.readiness import READINESS
from market_spine.query.views import VIEWS

NEXT = WEEK + timedelta(weeks=1)
SEEN = "2026-01-16T12:00:00+00:00"
EVERYTHING = (*VIEWS, READINESS.name)


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    """Two weeks with windows over both; the first was restated."""
    desk = Desk(tmp_path / "files", db)
    desk.publish_weeks([WEEK, NEXT])
    keep(desk.context(FRIDAYS[0]), (2,))
    desk.run(FRIDAYS[0], [WEEK, NEXT])
    desk.publish(WEEK, OTC, REVISED)
    desk.run(FRIDAYS[1], [WEEK, NEXT])
    return desk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    return folder / "otc.db"


def asked(path: Path, statement: str, *parameters: str) -> list[tuple[Any, ...]]:
    """As any program reads the file."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(statement, parameters).fetchall()


def objects(path: Path, kind: str) -> set[str]:
    return {name for (name,) in asked(path, "SELECT name FROM sqlite_master WHERE type = ?", kind)}


def shown(path: Path, name: str) -> list[tuple[Any, ...]]:
    """The rows under the columns of the dictionary."""
    view = READINESS if name == READINESS.name else VIEWS[name]
    return asked(path, f"SELECT {view.column_names} FROM {name}{NAMED if f'{name}{NAMED}' in objects(path, 'view') else ''}")


@pytest.mark.parametrize(
    "selected",
    [Selected(EVERYTHING), Selected(EVERYTHING, as_of=FRIDAYS[0]), Selected(EVERYTHING, (NEXT,), (OTC,)), Selected(("hhi",))],
    ids=["all", "as of a day", "a week of a tier", "a view"],
)
def test_it_holds_what_the_views_show(desk: Desk, path: Path, selected: Selected) -> None:
    made = publish(desk.db, path, selected, SEEN)
    for name in selected.views:
        view = READINESS if name == READINESS.name else VIEWS[name]
        rows = list(answer.answer(desk.db, Question(view, selected.weeks, selected.tiers, as_of=selected.as_of)))
        assert (shown(path, name), made.rows[name]) == (rows, len(rows)), name
    assert made.rows["captures"] == len(set(asked(path, "SELECT capture FROM hhi")))


def test_it_is_whole_linked_indexed_and_its_values_have_the_types_of_their_columns(desk: Desk, path: Path) -> None:
    made = publish(desk.db, path, Selected(), SEEN)
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    assert asked(path, "PRAGMA foreign_key_check") == []
    assert asked(path, "PRAGMA journal_mode") == [("delete",)]
    assert made.rows.keys() == {*DEFAULT, "captures", "issues", "venues", "about"}
    for name in made.rows:
        for column, declared in asked(path, "SELECT name, type FROM pragma_table_info(?)", name):
            kinds = {kind for (kind,) in asked(path, f'SELECT DISTINCT typeof("{column}") FROM {name}')}
            assert kinds <= {declared.lower(), "null"}, (name, column)
    (plan,) = asked(path, "EXPLAIN QUERY PLAN SELECT * FROM normalized WHERE symbol = 'AAPL'")
    assert "USING INDEX" in plan[3]
    about = dict(asked(path, "SELECT name, value FROM about"))
    assert (about["seen_at"], about["as_of"], about["checkpoint"].split()[0].partition("/")[0]) == (SEEN, "now", "market-spine")


@pytest.mark.one_engine
def test_issues_and_venues_are_searched_by_words(desk: Desk, path: Path) -> None:
    publish(desk.db, path, Selected(), SEEN)
    found = "SELECT {0} FROM {1} WHERE rowid IN (SELECT rowid FROM {1}_fts WHERE {1}_fts MATCH ?) ORDER BY 1"
    assert asked(path, found.format("symbol", "issues"), "inc aapl") == [("AAPL",)]
    assert asked(path, found.format("venue_name", "venues"), "minimis") == [("De Minimis Firms",)]
    assert asked(path, found.format("venue_name", "venues"), "ubsa") == [("UBS ATS",)]


@pytest.mark.one_engine
def test_datasette_shows_searches_and_links_it(desk: Desk, path: Path) -> None:
    datasette = pytest.importorskip("datasette.app")
    made = publish(desk.db, path, Selected(), SEEN)
    noted = json.loads(path.with_suffix(".metadata.json").read_text("utf-8"))
    assert noted == metadata("otc", made.rows)
    app = datasette.Datasette([], immutables=[str(path)], metadata=noted)

    async def get(address: str) -> Any:
        response = await app.client.get(address)
        assert response.status_code == 200, response.text
        return response.json() if ".json" in address else response.text

    async def ask() -> None:
        assert "FINRA OTC Transparency, week by week" in await get("/")
        page = await get("/otc/venue_share")
        assert "A venue&#39;s share of a tier&#39;s shares" in page and "/otc/venues/1" in page and "UBS ATS" in page
        tables = await get("/otc.json")
        assert {t["name"] for t in tables["tables"] if not t["hidden"]} == set(made.rows)
        assert [t["fts_table"] for t in tables["tables"] if t["name"] in ("issues", "venues")] == ["issues_fts", "venues_fts"]
        labelled = await get("/otc/hhi.json?_shape=objects&_labels=on&scope=TIER&week_ending=2025-11-28&tier=OTC")
        assert [row["capture"]["label"] for row in labelled["rows"]] == [f"finra.otc_transparency:OTC:{WEEK}:20260116"]
        searched = await get("/otc/venues.json?_search=jpm&_shape=array")
        assert [row["mpid"] for row in searched] == ["JPMX"]
        (row,) = await get("/otc.json?sql=select+sum(total_shares)+as+shares+from+normalized_with_names&_shape=array")
        assert row["shares"] == sum(row[10] for row in answer.answer(desk.db, Question(VIEWS["normalized"])))

    asyncio.run(ask())


@pytest.mark.one_engine
def test_duckdb_scans_it(desk: Desk, path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    try:
        connection.execute("LOAD sqlite")
    except duckdb.Error:
        pytest.skip("DuckDB downloads its sqlite extension; none is installed here")
    publish(desk.db, path, Selected(), SEEN)
    connection.execute(f"ATTACH '{path}' AS otc (TYPE sqlite, READ_ONLY)")
    (shares,) = connection.execute("SELECT SUM(total_shares) FROM otc.normalized_with_names").fetchone()
    assert shares == sum(row[10] for row in answer.answer(desk.db, Question(VIEWS["normalized"])))


# --- It is replaced as a whole, or not at all ----------------------------------------------------------------------------


@pytest.mark.one_engine
def test_who_reads_the_old_file_goes_on_reading_it(desk: Desk, path: Path) -> None:
    publish(desk.db, path, Selected(as_of=FRIDAYS[0]), SEEN)
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        count = "SELECT COUNT(*) FROM normalized WHERE symbol = 'NVDA'"
        assert reader.execute(count).fetchone() == (0,)
        publish(desk.db, path, Selected(), SEEN)
        assert (reader.execute(count).fetchone(), asked(path, count)) == ((0,), [(1,)])
    assert sorted(file.name for file in path.parent.iterdir()) == ["otc.db", "otc.metadata.json"]


CHILD = """
import sys
from gates import stop_at
from market_spine.cli import entry
from market_spine.db import published
original = {moment}
def held(*given):
    stop_at({arrived!r}, {onward!r})
    return original(*given)
{moment} = held
sys.argv = ["spine", "publish", {path!r}, "--db", {target!r}]
entry.spine()
"""


@pytest.mark.parametrize("moment", ["published.Publication.search", "published._on_disk"], ids=["half-way", "before it is renamed"])
@pytest.mark.one_engine
def test_a_killed_publication_leaves_the_old_file_whole(
    desk: Desk, target: str, path: Path, gate: Gate, start_command: StartCommand, moment: str
) -> None:
    publish(desk.db, path, Selected(as_of=FRIDAYS[0]), SEEN)
    before = path.read_bytes()
    support = str(Path(__file__).parent.parent / "support")
    code = CHILD.format(
        moment=moment, arrived=str(gate.arrived), onward=str(gate.onward), path=str(path), target=target
    )
    process = start_command(sys.executable, "-c", code, env={"PYTHONPATH": support})
    gate.wait(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = path.parent.glob(".otc.db.*.tmp")
    assert path.read_bytes() == before
    os.utime(left, (1e9, 1e9))
    publish(desk.db, path, Selected(), SEEN)
    assert (left.exists(), path.read_bytes() != before) == (False, True)


@pytest.mark.one_engine
def test_nothing_but_a_published_file_is_replaced(desk: Desk, path: Path, target: str, tmp_path: Path) -> None:
    store, text = tmp_path / "store.db", tmp_path / "text.db"
    sqlite3.connect(store).execute("CREATE TABLE mine (x)").connection.close()
    text.write_text("no database")
    for other in (store, text, tmp_path):
        with pytest.raises(UsageError, match="was not made by spine publish"):
            publish(desk.db, other, Selected(), SEEN)
    with pytest.raises(UsageError, match="has no name"):
        publish(desk.db, Path(), Selected(), SEEN)
    with pytest.raises(ConfigurationError, match="cannot write"):
        publish(desk.db, tmp_path / "nowhere" / "otc.db", Selected(), SEEN)
    publish(desk.db, path, Selected(), SEEN)
    Path(f"{path}-journal").write_text("")
    with pytest.raises(UsageError, match="is open in a program that writes to it"):
        publish(desk.db, path, Selected(), SEEN)
    assert text.read_text() == "no database"


@pytest.mark.one_engine
def test_the_command_says_what_it_made_and_never_replaces_the_store(desk: Desk, target: str, path: Path, tmp_path: Path) -> None:
    done = run_here(["spine", "publish", str(path), "--view", "hhi", "--view", "readiness", "--db", target], tmp_path, {})
    assert (done.exit_code, done.stdout) == (0, f"{path}: {path.stat().st_size:,} bytes, 6 tables, {lines(path):,} rows\n"), done
    again = json.loads(run_here(["spine", "publish", str(path), "--json", "--db", target], tmp_path, {}).stdout)
    assert (again["bytes"], again["rows"]["hhi"]) == (path.stat().st_size, len(asked(path, "SELECT * FROM hhi")))
    if not target.startswith("postgresql"):
        refused = run_here(["spine", "publish", target, "--db", target], tmp_path, {})
        assert (refused.exit_code, "was not made by spine publish" in refused.stderr) == (2, True)
        assert run_here(["spine", "status", "--db", target], tmp_path, {}).exit_code == 0
    unknown = run_here(["spine", "publish", str(path), "--view", "nothing", "--db", target], tmp_path, {})
    assert (unknown.exit_code, "there is no view 'nothing'" in unknown.stderr) == (2, True)


def lines(path: Path) -> int:
    tables = [name for name in objects(path, "table") if "_fts" not in name and not name.startswith("sqlite_")]
    return sum(asked(path, f"SELECT COUNT(*) FROM {name}")[0][0] for name in tables)
