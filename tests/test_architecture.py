"""The rules of the house that a machine can keep."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import market_spine
from market_spine.categories import Category

SOURCE = Path(market_spine.__file__).parent
ROOT = Path(__file__).parent.parent
PHASES = ("ingest", "normalize", "calc", "readiness")
DRIVERS = {"sqlite3", "psycopg", "sqlite_utils", "psycopg_pool"}
# The rooms of the house, bottom first: a file imports only what lies in its own room or below. What lies beside the rooms are
# the nouns that everybody imports, and `python -m market_spine`, which is a door.
ROOMS = (
    "nouns", "db", "calendar", "parse", "core", "measure", "query", "gates", "app", "operate", "library", "monitor", "work", "api", "page",
    "cli",
)
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


def room_of(path: str) -> str:
    """The room a file of the package lies in."""
    room, _, rest = path.partition("/")
    return room if rest else "cli" if path == "__main__.py" else "nouns"


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


def test_functions_stay_small_and_files_readable() -> None:
    long_functions = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno >= 40
    ]
    long_files = [name for name, _ in modules() if len((SOURCE / name).read_text("utf-8").splitlines()) > 400]
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


TEXTS = {"message", "hint", "last_error"}  # what a person reads; what the program decides by is a type
LOOKS_INTO = {
    "startswith", "endswith", "find", "index", "count", "split", "partition", "rpartition", "removeprefix", "removesuffix",
}
LOOKS_INTO_BY_SQL = re.compile(
    r"\b(message|hint|last_error)\b\s*(NOT\s+)?(I?LIKE|GLOB|~|IN\b|=\s*')|SUBSTR\(\s*(\w+\.)?(message|hint|last_error)", re.IGNORECASE
)


def is_text(node: ast.AST) -> bool:
    return (node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")) in TEXTS


def looks_into_a_text(node: ast.AST) -> bool:
    """Whether a message or hint is compared, cut, searched or matched; `is None` is no look into it."""
    if isinstance(node, ast.Compare):
        judged = not all(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops)
        return judged and any(is_text(operand) for operand in (node.left, *node.comparators))
    if isinstance(node, ast.Subscript):
        return is_text(node.value) and isinstance(node.slice, ast.Slice)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        by_method = bool(node.args) and node.func.attr in LOOKS_INTO and is_text(node.func.value)
        by_pattern = node.func.attr in ("match", "search", "fullmatch", "findall") and any(is_text(given) for given in node.args)
        return by_method or by_pattern
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(LOOKS_INTO_BY_SQL.search(node.value))


@pytest.mark.parametrize(
    "code",
    [
        "error.message == 'gone'", "'waits' in item.last_error", "error.hint[:5]", "gap.hint.startswith('spine ')",
        "re.match('spine', hint)", "sql = \"WHERE last_error LIKE 'waits%'\"", "sql = \"WHERE message = 'gone'\"",
    ],
)
def test_a_look_into_a_text_is_noticed(code: str) -> None:
    assert any(looks_into_a_text(node) for node in ast.walk(ast.parse(code)))


def test_no_code_looks_into_a_message_or_a_hint() -> None:
    looks = [f"{name}:{node.lineno}" for name, tree in modules() for node in ast.walk(tree) if looks_into_a_text(node)]
    assert looks == []


def test_a_category_is_written_out_only_where_it_is_defined() -> None:
    """Neither as a word of its own nor within a message or a statement; what explains the code may name it."""
    names = re.compile(rf"\b({'|'.join(Category)})\b")
    written = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        if name != "categories.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and names.search(node.value)
        if node.value not in docstrings(tree)
    ]
    assert written == []


def docstrings(tree: ast.AST) -> set[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {ast.get_docstring(node, clean=False) or "" for node in ast.walk(tree) if isinstance(node, documented)}


def test_a_category_is_its_own_name() -> None:
    assert [category for category in Category if category.name != category.value] == []


# The dialect that the house style gives up, as a reader meets it in a docstring, a comment, a message or a help text.
DIALECT = re.compile(
    r"(?i:\b(?:told|said|tells? of|mend(?:s|ed|ing)?|midst|torn|thrown into|desks?|so many|the newest first|(?:already|lies) there|"
    r"there already|stands? against|well again|rehearsals?)\b)|(?<!there )\b(?:is|are) no (?!longer\b|more\b)\w+|"
    r"\banswers (?:the|its|how|what|whether|which|None|in)\b"
)
NO_NAME = {"of", "said", "told", "found", "there", "place"}  # names that name nothing


def written(path: Path) -> Iterator[tuple[int, str]]:
    """Every comment and string of a file, with its line; a file name is not language."""
    texts = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING))
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type in texts and not re.fullmatch(r'"[\w.]+"', token.string):
            yield token.start[0], token.string


def given_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


@pytest.mark.parametrize("room", ROOMS)
def test_texts_are_in_plain_technical_english(room: str) -> None:
    """What to write instead stands in the table of the house style."""
    spoken = [
        f"{name}:{line}: {match.group()}"
        for name, _ in modules()
        if room_of(name) == room
        for line, text in written(SOURCE / name)
        for match in DIALECT.finditer(text)
    ]
    assert spoken == []


PAGES = [path for folder in ("docs", "workflows") for path in sorted((ROOT / folder).rglob("*.md"))] + [ROOT / "README.md"]


def landed_comments() -> str:
    """The comments of the migrations, of which the schema page is made; a landed migration is never edited."""
    comments = (re.findall(r"^-- (.*)", path.read_text("utf-8"), re.MULTILINE) for path in (SOURCE / "db" / "schema").rglob("*.sql"))
    return "\n".join(" ".join(lines) for lines in comments)


@pytest.mark.parametrize("page", PAGES, ids=[path.relative_to(ROOT).as_posix() for path in PAGES])
def test_pages_are_in_plain_technical_english(page: Path) -> None:
    landed = landed_comments()
    spoken = [
        f"{number}: {match.group()}"
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1)
        if line not in landed
        for match in DIALECT.finditer(re.sub(r"`[^`]*`", "``", line))  # a name in backticks is not language
    ]
    assert spoken == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_variable_is_named_for_what_it_holds(room: str) -> None:
    empty = [(name, given) for name, tree in modules() if room_of(name) == room for given in given_names(tree) if given in NO_NAME]
    assert empty == []


ROW_NAMES = {"row", "r", "record"}
FETCHES = {"fetchone", "fetchall"}
MOST_NAMES = 4  # more columns than that are the fields of a named type


def is_call_of(node: ast.AST, names: set[str]) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names


def is_position(index: ast.AST) -> bool:
    number = index.operand if isinstance(index, ast.UnaryOp) else index
    return isinstance(number, ast.Slice) or (isinstance(number, ast.Constant) and isinstance(number.value, int))


def unpacked(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each target of an assignment or loop, and what is assigned or iterated."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, (ast.For, ast.comprehension)):
        yield node.target, node.iter


def is_of_a_cursor(value: ast.AST, cursors: set[str]) -> bool:
    return is_call_of(value, FETCHES | {"execute"}) or (isinstance(value, ast.Name) and value.id in cursors)


def reads_a_row_by_position(node: ast.AST, cursors: set[str]) -> bool:
    """Whether a column of a row is read by its number, or more than MOST_NAMES columns by their order."""
    if isinstance(node, ast.Subscript):
        is_row = isinstance(node.value, ast.Name) and node.value.id in ROW_NAMES
        return (is_row or is_call_of(node.value, FETCHES)) and is_position(node.slice)
    return any(
        isinstance(target, ast.Tuple) and len(target.elts) > MOST_NAMES and is_of_a_cursor(value, cursors)
        for target, value in unpacked(node)
    )


def cursors_of(scope: ast.AST) -> set[str]:
    """The names of a function that hold a cursor, its rows or one row."""
    names: set[str] = set()
    for _ in range(2):  # the second time for the rows of a cursor that has a name
        pairs = (pair for node in ast.walk(scope) for pair in unpacked(node))
        names |= {target.id for target, value in pairs if isinstance(target, ast.Name) and is_of_a_cursor(value, names)}
    return names


def lines_that_read_by_position(tree: ast.AST) -> set[int]:
    """The lines. A name counts only within its function, since another one may use it for something else."""
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    names = [(tree, set[str]()), *((function, cursors_of(function)) for function in functions)]
    return {
        node.target.lineno if isinstance(node, ast.comprehension) else getattr(node, "lineno", 0)
        for scope, cursors in names
        for node in ast.walk(scope)
        if reads_a_row_by_position(node, cursors)
    }


@pytest.mark.parametrize(
    "code",
    [
        "row[7]", "r[0]", "record[-1]", "row[2:]", "row[:7]", "db.execute('…').fetchone()[0]", "cursor.fetchall()[0]",
        "[row[0] for row in rows]", "f'spine doctor --from {row[0]}'",
        "a, b, c, d, e = db.execute('…').fetchone()", "for a, b, c, d, e in db.execute('…'): pass",
        "[a for a, b, c, d, e in db.execute('…').fetchall()]",
        "def read(db):\n    rows = db.execute('…')\n    return {a: e for a, b, c, d, e in rows}",
        "def read(db):\n    row = db.execute('…').fetchone()\n    a, b, c, d, e = row",
        "def read(db):\n    for row in db.execute('…'):\n        a, b, c, d, e = row",
    ],
)
def test_a_row_that_is_read_by_position_is_noticed(code: str) -> None:
    assert lines_that_read_by_position(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "(count,) = db.execute('…').fetchone()", "[week for (week,) in db.execute('…')]", "for a, b, c, d in db.execute('…'): pass",
        "_Row._make(db.execute('…').fetchone())", "for a, b, c, d, e in zip(*columns): pass", "row['week']", "row[column]",
    ],
)
def test_a_row_that_is_read_by_name_passes(code: str) -> None:
    assert not lines_that_read_by_position(ast.parse(code))


@pytest.mark.parametrize("room", ROOMS)
def test_a_row_is_read_by_name(room: str) -> None:
    """One value: `(count,) = …`; up to four columns: unpacked; more: a NamedTuple beside the statement, made by `_make`."""
    positions = [
        f"{name}:{line}" for name, tree in modules() if room_of(name) == room for line in sorted(lines_that_read_by_position(tree))
    ]
    assert positions == []
