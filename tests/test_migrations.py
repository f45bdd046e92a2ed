"""The two engines' schemas are one schema, and every statement of ours fits it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import market_spine
from market_spine import db as databases
from market_spine import migrations
from market_spine.db import Database
from market_spine.work import delivery

SOURCE = Path(market_spine.__file__).parent
VERBS = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH ")


def shape(db: Database) -> dict[str, list[str]]:
    """Every table and view with its columns."""
    views = "SELECT name FROM sqlite_master WHERE type = 'view'"
    if db.engine == "postgresql":
        views = "SELECT viewname FROM pg_views WHERE schemaname = current_schema()"
    shapes = dict(db.tables())
    for (name,) in db.execute(views).fetchall():
        cursor = db.execute(f"SELECT * FROM {name} LIMIT 0")
        shapes[name] = [column[0] for column in cursor.description]  # type: ignore[attr-defined]
    return shapes


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_both_engines_end_with_the_same_tables_columns_and_views(db: Database, tmp_path: Path) -> None:
    sqlite = databases.connect(str(tmp_path / "beside.db"))
    migrations.prepare(sqlite)
    assert shape(db) == shape(sqlite)
    assert len(shape(db)) > 30
    sqlite.close()


def test_both_engines_count_the_same_migrations() -> None:
    numbered = [[(m.number, m.name) for m in migrations.migrations(engine)] for engine in ("sqlite", "postgresql")]
    assert numbered[0] == numbered[1]
    assert [number for number, _ in numbered[0]] == list(range(1, len(numbered[0]) + 1))


def literals() -> Iterator[tuple[str, str]]:
    """Every SQL text in the source, with the place it stands."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip().startswith(VERBS):
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node.value.strip()


ONE_ENGINE = {
    "sqlite": ("pg_", "information_schema", "to_regclass", "FOR KEY SHARE", "FOR UPDATE", "procrastinate_"),
    "postgresql": ("sqlite_master", "pragma_"),
}


def test_every_statement_can_be_planned(db: Database) -> None:
    delivery.prepare(db)
    planned = 0
    for place, text in literals():
        if any(word in text for word in ONE_ENGINE[db.engine]) or "{}" in text or not _is_whole(text):
            continue
        try:
            db.execute("EXPLAIN " + text.replace("?", "NULL")).fetchall()
        except Exception as error:
            pytest.fail(f"{place}: {error}\n{text}")
        planned += 1
    assert planned >= 30


def _is_whole(text: str) -> bool:
    """A piece of an f-string, or of a text that Python joins, is no statement."""
    return (
        text.upper().startswith(("SELECT", "WITH"))
        and " FROM " in " ".join(text.split())
        and not text.endswith(("FROM", "(", "IN"))
    ) or (text.startswith(("INSERT", "UPDATE", "DELETE")) and len(text.split()) > 4)
