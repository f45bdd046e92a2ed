"""The rules of the house that a machine can keep."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import market_spine

SOURCE = Path(market_spine.__file__).parent
PHASES = ("ingest", "normalize", "calc", "readiness")
DRIVERS = {"sqlite3", "psycopg", "sqlite_utils", "psycopg_pool"}
DOORS = ("cli.py", "cli_entry.py", "cli_exit.py", "cli_options.py", "cli_run.py", "spine_cli.py", "commands/")
# A room knows those to its left. What lies in no room is known to all.
ROOMS = ("db", "parse", "measure", "ask", "app", "operate", "work", "watch", "api", "doors")
FORBIDDEN_NAMES = {"utils", "common", "helpers", "base", "manager", "service"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text("utf-8"))


def imports(tree: ast.AST) -> set[str]:
    """Every module that is imported, and every name taken from one."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def roots(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imports(tree)}


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_imports_no_other_phase(phase: str) -> None:
    tree = ast.parse((SOURCE / "app" / f"{phase}.py").read_text("utf-8"))
    others = {f"market_spine.app.{other}" for other in (*PHASES, "scheduler") if other != phase}
    assert not imports(tree) & others


def room_of(path: str) -> str | None:
    """The room a file of the package lies in; None for what all rooms share."""
    room = path.split("/")[0]
    return room if room in ROOMS else "doors" if path.startswith(DOORS) else None


def test_a_room_knows_only_the_rooms_below_it() -> None:
    paths = {
        f"market_spine.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__"): name for name, _ in modules()
    }
    upwards = [
        f"{name} imports {paths[other]}"
        for name, tree in modules()
        for other in sorted(imports(tree) & paths.keys())
        if (there := room_of(paths[other])) and ROOMS.index(there) > ROOMS.index(room_of(name) or "db")
    ]
    assert upwards == ["parse/weekly_file.py imports app/source/__init__.py"], (
        "only FINRA's tier codes may be asked of the border"
    )


@pytest.mark.parametrize(
    ("packages", "allowed"),
    [
        (DRIVERS, ("db/",)),
        ({"requests", "urllib3"}, ("app/source/",)),
        ({"click"}, DOORS),
    ],
    ids=["drivers", "requests", "click"],
)
def test_only_these_rooms_import_these_packages(packages: set[str], allowed: tuple[str, ...]) -> None:
    elsewhere = [name for name, tree in modules() if roots(tree) & packages and not name.startswith(allowed)]
    assert elsewhere == []


def test_only_the_clock_reads_a_clock() -> None:
    readers = []
    for name, tree in modules():
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        asked = {
            f"{call.value.id}.{call.attr}"
            for call in calls
            if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name)
        }
        if asked & {"datetime.now", "datetime.utcnow", "date.today", "time.time"}:
            readers.append(name)
    assert readers == ["clock.py"]


def test_nothing_is_named_for_having_no_concern() -> None:
    assert [name for name, _ in modules() if Path(name).stem in FORBIDDEN_NAMES] == []


def test_every_module_says_its_concern_in_its_first_line() -> None:
    assert [name for name, tree in modules() if not ast.get_docstring(tree)] == []


def test_functions_stay_small_and_files_readable() -> None:
    long_functions = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno >= 50
    ]
    long_files = [name for name, _ in modules() if len((SOURCE / name).read_text("utf-8").splitlines()) > 520]
    assert (long_functions, long_files) == ([], [])


def test_no_sql_reads_the_clock_of_the_database() -> None:
    words = ("CURRENT_TIMESTAMP", "datetime('now", "strftime(")
    texts = {path.name: path.read_text("utf-8") for path in (SOURCE / "schema").glob("*.sql")}
    assert [name for name, text in texts.items() if any(word in text for word in words)] == []


def test_no_hint_is_sql_or_a_path_of_the_repository() -> None:
    words = ("SELECT ", "select ", "nothing:", "workflows/", "docs/")
    wrong = [
        f"{name}:{node.value.lineno}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "hint"
        for text in ast.walk(node.value)
        if isinstance(text, ast.Constant) and isinstance(text.value, str) and any(word in text.value for word in words)
    ]
    assert wrong == [], "a hint is read where only the wheel is installed"
