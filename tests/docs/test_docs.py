"""The manual is run: its console blocks, its SQL, its links; and what it names is there, what is there it names."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import click
import psycopg
import pytest
from conftest import ENGINES
from pages import make_cli_reference, make_pictures, make_runbooks, make_schema_reference
from stand_ins.finra_fake import FinraFake
from stand_ins.postgres_server import Databases
from support import page_code, page_desks, pages, transcripts
from support.page_desks import Desks
from support.pages import Page

from market_spine import db as databases
from market_spine.db import Database
from market_spine.db import copy as db_copy

PAGES = pages.all_pages()
EXECUTED = [page for page in PAGES if page.of("console")]
WITH_SQL = [page for page in PAGES if any(not page_code.new_file(block) for block in page.of("sql"))]
SOURCE = pages.ROOT / "src" / "market_spine"
WRITE = os.environ.get("MARKET_SPINE_WRITE_DOCS") == "1"
# Languages a block may have. What is typed into a shell and not run here (a crontab, a cluster) is never `console`.
LANGUAGES = {
    "console",
    "sql",
    "python",
    "diff",
    "text",
    "toml",
    "yaml",
    "json",
    "sh",
    "crontab",
    "powershell",
    "ini",
    "promql",
    "csv",
}
_STATED = re.compile(r"^-- (?:.*: )?(?P<rows>no|\d+|some) rows?$", re.MULTILINE)


@pytest.fixture(scope="session")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Desks:
    return Desks(tmp_path_factory.mktemp("desks"))


# --- What can be run is run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", EXECUTED, ids=pages.name_of)
def test_the_console_blocks_of_a_page_say_what_the_commands_say(
    page: Page, desks: Desks, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with _world(page, request) as (environment, standins):
        setting = desks.copy(page.state, tmp_path / "desk", environment=environment, standins=standins)
        if page_code.changes_the_program(page):
            page_code.follow(page, setting.folder)
        if WRITE:
            transcripts.rewrite(page, setting)
        else:
            assert not (found := transcripts.faults(page, setting)), "\n\n".join(found)


@contextlib.contextmanager
def _world(page: Page, request: pytest.FixtureRequest) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """A PostgreSQL database and FINRA's API, for the pages that speak of them."""
    environment: dict[str, str] = {}
    standins: dict[str, str] = {}
    said = "\n".join(block.text for block in page.of("console"))
    if page_code.changes_the_program(page):
        environment["PYTHONPATH"] = "src"
    with contextlib.ExitStack() as stack:
        if transcripts.POSTGRES_URL in said:
            server: Databases = request.getfixturevalue("_databases")
            url = server.create()
            stack.callback(server.drop, url)
            standins = {transcripts.POSTGRES_URL: databases.redact(url)}
            environment["PGPASSWORD"] = psycopg.conninfo.conninfo_to_dict(url)["password"]
        if "--source api" in said:
            fake = stack.enter_context(FinraFake(date.fromisoformat(page_desks.DESKS[page.state].run_date)))
            fake.fill(weeks=10)
            environment |= fake.environ
        yield environment, standins


@pytest.fixture(scope="session")
def documented(desks: Desks, request: pytest.FixtureRequest) -> Iterator[dict[str, Database]]:
    """The fixture database on both engines; the one on PostgreSQL is a copy that `db copy` verified."""
    from market_spine import clock

    server: Databases = request.getfixturevalue("_databases")
    url = server.create()
    sqlite, postgres = databases.connect(str(desks.database(page_desks.SQL_DESK))), databases.connect(url)
    db_copy.copy(sqlite, postgres, clock.utc_now())
    yield {"sqlite": sqlite, "postgresql": postgres}
    sqlite.close()
    postgres.close()
    server.drop(url)


@pytest.mark.parametrize("page", WITH_SQL, ids=pages.name_of)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_sql_of_a_page_runs_and_returns_the_rows_it_states(page: Page, engine: str, documented: dict[str, Database]) -> None:
    db = documented[engine]
    assert not (faults := [fault for block in queries(page) for fault in _sql_faults(db, page, block)]), "\n".join(faults)


def queries(page: Page) -> list[pages.Block]:
    """The blocks of SQL that are to be run: not the files of a migration."""
    return [block for block in page.of("sql") if not page_code.new_file(block)]


def _sql_faults(db: Database, page: Page, block: pages.Block) -> Iterator[str]:
    with _undone(db):
        for statement in _statements(block.text):
            stated = _STATED.search(statement)
            where = f"{page.name}:{block.line}: {statement.strip().splitlines()[-1]}"
            if not stated:
                yield f"{where}\nsays nowhere how many rows it returns: `-- 3 rows`, `-- some rows`, `-- when all is well: no rows`"
                continue
            try:
                count = len(db.execute(statement).fetchall())
            except Exception as error:
                yield f"{where}\n{db.engine}: {error}"
                return
            wanted = stated["rows"]
            if (count == 0) if wanted == "some" else (count != (0 if wanted == "no" else int(wanted))):
                yield f"{where}\n{db.engine}: {count} rows, stated are {wanted}"


@contextlib.contextmanager
def _undone(db: Database) -> Iterator[None]:
    class Undo(Exception):
        pass

    with contextlib.suppress(Undo), db.transaction():
        yield
        raise Undo


def _statements(text: str) -> Iterator[str]:
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


# --- A page that went wrong is noticed --------------------------------------------------------------------------------


def test_a_friday_turned_into_a_saturday_is_noticed_when_the_page_is_run(desks: Desks, tmp_path: Path) -> None:
    page = pages.page("workflows/WORKFLOW_TEMPLATE.md")
    wrong = pages.parse(page.path, re.sub(r"(?m)^(\$ .*)2025-12-26", r"\g<1>2025-12-27", page.text, count=1))
    found = transcripts.faults(wrong, desks.copy(page.state, tmp_path / "desk"))
    assert any("2025-12-27 is a Saturday, not a Friday" in fault for fault in found)


def test_a_wrong_week_in_a_query_is_noticed_on_both_engines(documented: dict[str, Database]) -> None:
    page = pages.page("workflows/operational/HANDLE_REVISION.md")
    wrong = pages.parse(page.path, page.text.replace("2025-12-26", "2025-12-27"))
    for db in documented.values():
        assert [fault for block in queries(wrong) for fault in _sql_faults(db, wrong, block)]


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_no_page_names_a_saturday_or_sunday(page: Page) -> None:
    """FINRA, the exchange and our weeks know working days only, so such a date is a slip of the pen."""
    dates = re.findall(r"\b(20\d\d)-?([01]\d)-?([0-3]\d)\b", page.text)
    days = {f"{y}-{m}-{d}" for y, m, d in dates}
    assert sorted(day for day in days if _is_weekend(day)) == []


def _is_weekend(text: str) -> bool:
    try:
        return date.fromisoformat(text).weekday() > 4
    except ValueError:
        return True


# --- Links and form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_every_relative_link_leads_somewhere(page: Page) -> None:
    broken = [f"{page.name}:{line}: {target}" for line, target in page.links() if not _leads_somewhere(page, target)]
    assert broken == []


def _leads_somewhere(page: Page, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    path, _, name = target.partition("#")
    there = page.path if not path else (page.path.parent / path).resolve()
    if not there.exists() or not there.is_relative_to(pages.ROOT):
        return False
    return not name or there.suffix != ".md" or name in pages.read(there).anchors()


def test_every_page_named_in_the_program_exists() -> None:
    texts = [path for place in ("src", "tests") for path in (pages.ROOT / place).rglob("*.py")]
    named = {name for path in texts for name in re.findall(r"\b(?:docs|workflows)/[\w/.-]+\.md\b", path.read_text("utf-8"))}
    assert sorted(name for name in named if not (pages.ROOT / name).is_file()) == []


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_every_row_of_a_table_has_the_cells_of_its_head(page: Page) -> None:
    of_head, odd = 0, []
    for number, line in enumerate(page.prose.splitlines(), 1):
        bars = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        if bars and of_head and bars != of_head:
            odd.append(f"{page.name}:{number}")
        of_head = bars and (of_head or bars)
    assert odd == []


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_every_block_says_its_language_and_only_console_is_typed(page: Page) -> None:
    assert sorted({block.language.split(" ")[0] for block in page.blocks} - LANGUAGES) == []
    assert [block.line for block in page.of("text", "sh") if block.text.startswith("$ ")] == []


RUNBOOKS = [page for page in PAGES if page.path.is_relative_to(pages.ROOT / "workflows") and page.path.name != "README.md"]
PARTS = ["Trigger", "Prerequisites", "Steps", "Success Criteria", "Rollback", "References"]


@pytest.mark.parametrize("page", RUNBOOKS, ids=pages.name_of)
def test_a_runbook_has_its_six_parts_in_order(page: Page) -> None:
    assert [heading for heading in page.headings() if heading in PARTS] == PARTS


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, todo = set(), [pages.ROOT / "README.md"]
    while todo:
        path = todo.pop()
        if path in seen or path.suffix != ".md":
            continue
        seen.add(path)
        page = pages.read(path)
        todo += [(path.parent / target.partition("#")[0]).resolve() for _, target in page.links() if _is_page(page, target)]
    assert sorted(page.name for page in PAGES if page.path not in seen) == []


def _is_page(page: Page, target: str) -> bool:
    return not re.match(r"[a-z]+:|#", target) and (page.path.parent / target.partition("#")[0]).is_file()


# --- What there is, is in its reference page ---------------------------------------------------------------------------


def test_the_page_of_commands_is_the_one_the_program_makes() -> None:
    stale = "docs/CLI.md is not up to date: python scripts make_cli_reference"
    assert make_cli_reference.PAGE.read_text("utf-8") == make_cli_reference.render(), stale


def test_the_page_of_tables_is_the_one_the_schema_makes() -> None:
    stale = "docs/architecture/schema.md is not up to date: python scripts make_schema_reference"
    assert make_schema_reference.PAGE.read_text("utf-8") == make_schema_reference.render(), stale


@pytest.mark.parametrize(("tool", "made"), [("make_runbooks", make_runbooks.originals), ("make_pictures", make_pictures.draw)])
def test_what_is_made_of_pages_and_files_is_up_to_date(tool: str, made: Callable[[], dict[Path, str]]) -> None:
    stale = [path.name for path, text in made().items() if not path.exists() or path.read_text("utf-8") != text]
    assert stale == [], f"python scripts {tool}"


def test_every_environment_variable_is_in_its_reference_page() -> None:
    read = {name for path in SOURCE.rglob("*.py") for name in pages.variables(path.read_text("utf-8"))}
    for_tests = {name for path in (pages.ROOT / "tests").rglob("*.py") for name in _getenv(path.read_text("utf-8"))}
    assert sorted((read | for_tests) - pages.variables(pages.page("docs/CLI.md").text)) == []


def _getenv(text: str) -> set[str]:
    return set(re.findall(r"environ\.get\(\"(MARKET_SPINE_[A-Z_]+)\"", text))


def test_every_command_shows_an_example_in_its_help() -> None:
    leaves = [(path, command) for path, command in make_cli_reference.commands() if not isinstance(command, click.Group)]
    assert [path for path, command in leaves if "Example" not in (command.epilog or "")] == []


def test_every_exit_code_is_in_its_reference_page() -> None:
    written = {row[0] for row in pages.table(pages.page("docs/CLI.md").section("Exit codes"))}
    said = {
        code
        for path in SOURCE.rglob("*.py")
        for code in re.findall(r"exit_code = (\d+)\n|return (1\d\d)\n", path.read_text("utf-8"))
    }
    assert {number for pair in said for number in pair if number} <= written


def test_every_view_and_column_is_in_the_data_dictionary_with_its_unit_and_source() -> None:
    page = pages.page("docs/data-dictionary.md")
    described: dict[str, list[str]] = {}
    for heading in page.headings():
        rows = pages.table(page.section(heading)) if "`" in heading else []
        assert all(len(row) >= 4 and all(row[:4]) for row in rows), f"{heading}: column, unit, meaning and source are all said"
        described |= {view: [row[0] for row in rows] for view in re.findall(r"`(\w+)`", heading)}
    assert described == {name: list(columns) for name, columns in make_schema_reference.columns("sqlite").items()}
