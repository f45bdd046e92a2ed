"""The rules of the house that a machine can keep."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support.source_code import ROOMS, ROOT, SOURCE, imports, modules, room_of, roots

PHASES = ("ingest", "normalize", "calc", "readiness")
DRIVERS = {"sqlite3", "psycopg", "sqlite_utils", "psycopg_pool"}
FORBIDDEN_NAMES = {"utils", "common", "helpers", "base", "manager", "service"}


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_imports_no_other_phase(phase: str) -> None:
    tree = ast.parse((SOURCE / "app" / f"{phase}.py").read_text("utf-8"))
    others = {f"market_spine.app.{other}" for other in (*PHASES, "scheduler") if other != phase}
    assert not imports(tree) & others


def test_every_file_has_a_room() -> None:
    assert {room_of(name) for name, _ in modules()} <= set(ROOMS)


def test_a_file_imports_only_what_lies_in_its_room_or_below() -> None:
    paths = {
        f"market_spine.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__"): name for name, _ in modules()
    }
    upwards = [
        f"{name} imports {paths[other]}"
        for name, tree in modules()
        for other in sorted(imports(tree) & paths.keys())
        if ROOMS.index(room_of(paths[other])) > ROOMS.index(room_of(name))
    ]
    assert upwards == []


def test_no_two_modules_import_each_other() -> None:
    names = {f"market_spine.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__") for name, _ in modules()}
    known = {
        f"market_spine.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__"): top_imports(tree) & names
        for name, tree in modules()
    }
    assert [(one, other) for one in known for other in known[one] if one < other and one in known[other]] == []


def top_imports(tree: ast.Module) -> set[str]:
    """What a module imports as it is loaded itself; what only its functions or its types need does not count."""
    return imports(ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], []))


@pytest.mark.parametrize(
    ("packages", "allowed"),
    [
        (DRIVERS, ("db/",)),
        ({"requests", "urllib3"}, ("app/source/",)),
        ({"click"}, ("cli/",)),
        ({"jinja2"}, ("page/",)),
        ({"fsspec", "s3fs"}, ("query/lake/storage.py",)),
    ],
    ids=["drivers", "requests", "click", "jinja2", "fsspec"],
)
def test_only_these_rooms_import_these_packages(packages: set[str], allowed: tuple[str, ...]) -> None:
    elsewhere = [name for name, tree in modules() if roots(tree) & packages and not name.startswith(allowed)]
    assert elsewhere == []


OPENERS = {"reading", "looking", "snapshot_of"}  # each of them opens a snapshot
READING = (
    "anomalies", "captures", "card", "diff", "doctor", "export", "metrics", "prune", "publish", "query", "report", "retry", "runs",
    "status", "trend",
    "verify", "vintages", "work",
)


def called(tree: ast.AST) -> set[str]:
    """The names of what is called, without what stands before them."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        call.attr if isinstance(call, ast.Attribute) else call.id for call in calls if isinstance(call, (ast.Attribute, ast.Name))
    }


def opens_read_only(tree: ast.AST) -> bool:
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(keyword.arg == "read_only" for call in calls for keyword in call.keywords)


def test_who_reads_opens_one_moment_of_the_database() -> None:
    trees = dict(modules())
    outside = {name: tree for name, tree in trees.items() if not name.startswith("db/")}
    assert [name for name in outside if opens_read_only(trees[name]) and name != "db/location.py"] == ["api/connections.py", "core/store.py"]
    for opener in ("api/connections.py", "core/store.py"):
        functions = [node for node in ast.walk(trees[opener]) if isinstance(node, ast.FunctionDef) and opens_read_only(node)]
        assert [function.name for function in functions if "snapshot" not in called(function)] == [], opener
    assert [name for name in READING if not called(trees[f"cli/commands/{name}.py"]) & OPENERS] == []
    assert [n for n in trees if n.startswith("cli/commands/") and "connect" in called(trees[n])] == ["cli/commands/db.py"]


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


@pytest.mark.parametrize("folder", ["src", "scripts", "tests"])
def test_functions_stay_small_and_files_readable(folder: str) -> None:
    texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted((ROOT / folder).rglob("*.py"))}
    long_functions = [
        f"{name}:{node.lineno} {node.name}"
        for name, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno >= 40
    ]
    long_files = [name for name, text in texts.items() if len(text.splitlines()) > 400]
    assert (long_functions, long_files) == ([], [])


def test_no_sql_reads_the_clock_of_the_database() -> None:
    words = ("CURRENT_TIMESTAMP", "datetime('now", "strftime(")
    texts = {path.name: path.read_text("utf-8") for path in (SOURCE / "db" / "schema").glob("*.sql")}
    assert [name for name, text in texts.items() if any(word in text for word in words)] == []


TESTS = Path(__file__).parent
# What a test needs to sleep, to poll, or to compare seconds and megabytes. `pause` and `ticks` are clock.py's.
CLOCKS = {"sleep", "monotonic", "perf_counter", "process_time", "time_ns", "pause", "ticks", "getrusage", "ru_maxrss", "wait4"}
PASSES_ON = {("support/held.py", "pause")}  # announces that the product naps, and lets it


def test_no_test_sleeps_polls_or_compares_seconds_or_megabytes() -> None:
    """A test waits for an event: hold the moment with gates.Gate, read gates.Events, or move the clock yourself."""
    called = {
        (path.relative_to(TESTS).as_posix(), name)
        for path in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in names_read(node)
        if name in CLOCKS
    }
    assert called == PASSES_ON


def names_read(node: ast.AST) -> set[str]:
    """The function that is called; and what is taken from `time`, `resource` or the result of a call, called or not."""
    if isinstance(node, ast.Call):
        return {node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")}
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and node.attr in ("ru_maxrss", "getrusage", "wait4"):
        return {node.attr}
    if isinstance(node, ast.ImportFrom) and node.module in ("time", "resource"):
        return {alias.name for alias in node.names}
    return set()


def test_no_test_waits_for_a_condition_that_it_asks_for_again_and_again() -> None:
    """A short wait within a loop is a sleep by another name; `select` of three lists waits for an event, however long."""
    polls = [
        f"{path.relative_to(TESTS)}:{node.lineno}"
        for path in sorted(TESTS.rglob("*.py"))
        for loop in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(loop, ast.While)
        for node in ast.walk(loop)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("wait", "select", "poll")
        if (node.func.attr, len(node.args)) != ("select", 3)
    ]
    assert polls == []


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
