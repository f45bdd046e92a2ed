"""Rows of the database are read by the names of their columns, never by position."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from support.source_code import ROOMS, modules, room_of

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
