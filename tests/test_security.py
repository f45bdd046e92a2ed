"""Nothing from outside becomes SQL text, and no secret reaches a log, a table or an error."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from support import sql_texts, weekly_files
from support.commands import RunCommand
from support.source_code import modules

import market_spine
from market_spine.db import Database, redact

SOURCE = Path(market_spine.__file__).parent
SQL_CALLS = {"execute", "stream", "run_script", "executescript", "executemany"}

# Where SQL text is not one literal, and what keeps it from being anybody's input.
ASSEMBLED = {
    "app/calc.py": "texts from a table of literals",
    "core/windows.py": "names of our own columns",
    "db/columns.py": "names of columns and the statement of its caller",
    "db/copy.py": "names of our own tables and columns",
    "db/migrations.py": "our own schema files",
    "db/postgres.py": "names of our own tables and columns; the key of an advisory lock",
    "db/postgres_session.py": "names and values of its own settings, as literals of the driver",
    "db/sqlite.py": "names of our own tables and columns",
    "db/transactions.py": "an engine's own BEGIN",
    "measure/dimensions.py": "a fixed number of question marks",
    "operate/gaps.py": "texts from a table of literals",
    "operate/prune.py": "texts from a table of literals",
    "operate/verify.py": "texts passed between its own functions",
    "query/answer.py": "texts from the table of views",
    "query/export.py": "texts from the table of views",
    "query/lake/files.py": "texts from the table of views",
    "query/releases.py": "texts from the table of views",
    "query/vintages.py": "texts from the table of views",
    "query/windows.py": "texts from the table of views",
}


def is_literal(node: ast.expr, names: set[str]) -> bool:
    """A text in the source: a literal, literals joined, or a name for one; a clause in an f-string is such a name, too."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.JoinedStr):
        return all(is_literal(value, names) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        return isinstance(node.value, ast.Name) and node.value.id in names
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return is_literal(node.left, names) and is_literal(node.right, names)
    if isinstance(node, ast.IfExp):
        return is_literal(node.body, names) and is_literal(node.orelse, names)
    return isinstance(node, ast.Name) and node.id in names


def sql_of(node: ast.AST) -> ast.expr | None:
    """The text given to a database, if the node is such a call."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SQL_CALLS and node.args:
        return node.args[0]
    return None


def literal_names(tree: ast.Module) -> set[str]:
    """Names that only ever hold literals, in the module or in one of its functions."""
    held: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    held.setdefault(target.id, []).append(node.value)
    known = set(sql_texts.constants(tree))
    for _ in range(3):
        known |= {name for name, values in held.items() if all(is_literal(value, known) for value in values)}
    return known - {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}  # what is passed may be anything


def test_every_sql_text_is_a_literal_of_the_source() -> None:
    assembled: dict[str, list[int]] = {}
    for name, tree in modules():
        known = literal_names(tree)
        for node in ast.walk(tree):
            text = sql_of(node)
            if text is not None and not is_literal(text, known):
                assembled.setdefault(name, []).append(text.lineno)
    assert {name: lines for name, lines in assembled.items() if name not in ASSEMBLED} == {}
    assert ASSEMBLED.keys() - assembled.keys() == set(), "excused, and needs no excuse any more"


@pytest.mark.parametrize(
    ("source", "literal"),
    [
        pytest.param('KEPT = "WHERE kept"\ndb.execute(f"SELECT 1 FROM a {KEPT}")', True, id="a named clause"),
        pytest.param('KEPT = "kept"\nWHERE = f"WHERE {KEPT}"\ndb.execute("SELECT 1 FROM a " + WHERE)', True, id="a clause of clauses"),
        pytest.param('db.execute(f"SELECT 1 FROM {table}")', False, id="a name from elsewhere"),
        pytest.param('KEPT = read()\ndb.execute(f"SELECT 1 FROM a {KEPT}")', False, id="a constant that is no literal"),
        pytest.param('KEPT = "kept"\ndef ask(KEPT):\n    db.execute(f"SELECT {KEPT}")', False, id="an argument of that name"),
        pytest.param('KEPT = "kept"\nKEPT = read()\ndb.execute(KEPT)', False, id="a constant that is replaced"),
    ],
)
def test_a_statement_may_hold_a_named_clause_but_nothing_else(source: str, literal: bool) -> None:
    tree = ast.parse(source)
    names = literal_names(tree)
    assert [is_literal(text, names) for node in ast.walk(tree) if (text := sql_of(node)) is not None] == [literal]


SECRETS = {
    "MARKET_SPINE_FINRA_CLIENT_SECRET": "hunter2-client-secret",
    "PGPASSWORD": "hunter2-postgres",
    "MARKET_SPINE_SMTP_PASSWORD": "hunter2-smtp",
}


@pytest.mark.parametrize("fault", ["none", "missing file", "no database"])
def test_no_secret_is_reported(run_command: RunCommand, target: str, db: Database, tmp_path: Path, fault: str) -> None:
    weekly_files.write_week(tmp_path / "files", "2025-12-26", ("OTC",) if fault == "missing file" else ("OTC", "NMS_TIER_1"))
    wanted = target if fault != "no database" else "postgresql://spine:hunter2-url@127.0.0.1:1/none?sslpassword=hunter2-ssl"
    env = SECRETS if "://" not in target else {name: value for name, value in SECRETS.items() if name != "PGPASSWORD"}
    done = run_command(
        "run_finra_weekly_schedule", "--db", wanted, "--data-dir", tmp_path / "files", "--weeks", "2025-12-26", "-v", "--json",
        "--log-format", "json", env=env,
    )
    tables = [row for table in db.tables() for row in db.execute(f"SELECT * FROM {table}").fetchall()]
    reported = done.stdout + done.stderr + repr(tables)
    assert "hunter2" not in reported
    assert json.loads(done.stdout)["schema_version"] >= 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://spine:hun/ter2@db/name",
        "postgresql://spine:hunter2:x@db/name",
        "postgresql://spine:hunter2@x@db/name",
        "postgresql://spine:hun?ter2@db/name",
        "postgresql://spine:hun#ter2@db/name",
        "postgresql://spine:hun ter2@db/name",
        "postgres://spine:hunter2@db/name",
        "postgresql://db/name?password=hunter2&sslmode=require",
        "postgresql://db/name?sslmode=require&PASSWORD=hunter2",
    ],
)
@pytest.mark.one_engine
def test_a_malformed_url_keeps_its_password_too(run_command: RunCommand, tmp_path: Path, url: str) -> None:
    assert "ter2" not in redact(url)
    (tmp_path / "files").mkdir()
    done = run_command("run_finra_weekly_schedule", "--db", url, "--data-dir", tmp_path / "files")
    assert done.exit_code == 2
    assert "ter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
