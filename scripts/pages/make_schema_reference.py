"""Writes docs/architecture/schema.md from the migrations: every table and view, its columns and keys, on both engines.

python scripts make_schema_reference         writes the page; a test fails while it is not up to date
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from clone import ROOT

from market_spine.db import Database, connect
from market_spine.db.migrations import migrations, prepare

PAGE = ROOT / "docs" / "architecture" / "schema.md"
INTRODUCTION = """\
# Tables and views

Made by `python scripts make_schema_reference` from the migrations in `src/market_spine/db/schema/`; a test fails while this
page is not up to date. What each column means, in which unit and from where, is in the
[data dictionary](../data-dictionary.md); why the tables are cut this way in [the architecture](README.md).

People and programs read the views. The tables below them hold integer keys instead of texts and are the program's own.
"""
_CREATED = re.compile(r"((?:^--.*\n)*)^CREATE (TABLE|VIEW) (\w+)", re.MULTILINE)
_RESTATED = re.compile(r"^-- comment on (\w+): (.*\n(?:^--.*\n)*)", re.MULTILINE)  # of what has landed
_INDEX = re.compile(r"^CREATE (?:UNIQUE )?INDEX (\w+) ON (\w+) ([^;]+);", re.MULTILINE)
_TYPED = re.compile(r"^    ([a-z_0-9]+) ([A-Za-z]+(?: PRECISION)?)", re.MULTILINE)
_ADDED = re.compile(r"^ALTER TABLE (\w+) ADD COLUMN (?:IF NOT EXISTS )?(\w+) ([A-Za-z]+(?: PRECISION)?)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its declared type ('' where a view computes it), whether it may be empty, its place in the primary key."""

    name: str
    kind: str
    optional: bool
    key: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view, with what the migration says above it."""

    name: str
    is_view: bool
    comment: str
    columns: tuple[Column, ...]
    indexes: tuple[str, ...]


def render() -> str:
    """The page."""
    tables, types = schema("sqlite"), postgres_types()
    parts = [INTRODUCTION, "## Tables\n"]
    parts += [_table(table, types) for table in tables.values() if not table.is_view]
    parts += ["## Views\n"]
    parts += [_view(table) for table in tables.values() if table.is_view]
    return "\n".join(parts)


def schema(engine: str) -> dict[str, Table]:
    """Every table and view in the order of the migrations, as an empty SQLite database really has them."""
    text = _text(engine)
    comments = {name: _plain(comment) for comment, _kind, name in _CREATED.findall(text)}
    comments |= {name: _plain(comment) for name, comment in _RESTATED.findall(text)}
    with contextlib.closing(connect(":memory:")) as db:
        prepare(db)
        names = dict.fromkeys([*(name for name in comments if db.has_table(name)), *db.tables()])
        return {name: _introspect(db, name, comments.get(name, ""), text) for name in names}


def columns(engine: str) -> dict[str, list[str]]:
    """The columns of every table and view."""
    return {name: [column.name for column in table.columns] for name, table in schema(engine).items()}


def postgres_types() -> dict[tuple[str, str], str]:
    """The type of each (table, column) on PostgreSQL, from its migrations."""
    text = _text("postgresql")
    found = {(table, column): kind for table, column, kind in _ADDED.findall(text)}
    for statement in re.findall(r"^CREATE TABLE .*?^\)", text, re.MULTILINE | re.DOTALL):
        table = statement.split()[2]
        found |= {(table, column): kind for column, kind in _TYPED.findall(statement)}
    return {place: _POSTGRES.get(kind.upper(), kind.lower()) for place, kind in found.items()}


_POSTGRES = {"INTEGER": "integer", "DOUBLE PRECISION": "double precision", "DOUBLE": "double precision"}


def _introspect(db: Database, name: str, comment: str, text: str) -> Table:
    rows = db.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?) ORDER BY cid', (name,)).fetchall()
    kind = db.execute("SELECT type FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
    indexes = tuple(" ".join(f"`{index}` {columns}".split()) for index, table, columns in _INDEX.findall(text) if table == name)
    columns = tuple(Column(row[0], row[1], not row[2] and not row[3], row[3]) for row in rows)
    return Table(name, kind == "view", comment, columns, indexes)


def _text(engine: str) -> str:
    return "\n".join(migration.script for migration in migrations(engine))


def _plain(comment: str) -> str:
    return " ".join(line.removeprefix("--").strip() for line in comment.splitlines())


def _table(table: Table, types: dict[tuple[str, str], str]) -> str:
    lines = [f"### `{table.name}`\n"] + ([f"{table.comment}\n"] if table.comment else [])
    lines += ["| column | SQLite | PostgreSQL | |", "|---|---|---|---|"]
    for column in table.columns:
        notes = [f"key {column.key}"] if column.key else ["may be empty"] if column.optional else []
        kind = types.get((table.name, column.name), column.kind.lower())  # core_migrations is made of one text for both
        lines.append(f"| `{column.name}` | {column.kind.lower()} | {kind} | {', '.join(notes)} |")
    if table.indexes:
        lines += ["", *(f"- index {index}" for index in table.indexes)]
    return "\n".join([*lines, ""])


def _view(table: Table) -> str:
    names = ", ".join(f"`{column.name}`" for column in table.columns)
    return f"### `{table.name}`\n\n" + (f"{table.comment}\n\n" if table.comment else "") + f"{names}\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(), "utf-8")
    print(f"{PAGE.relative_to(ROOT)} written")
