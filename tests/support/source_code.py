"""The source as the tests of its rules read it: its modules, its rooms, and what each imports."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import market_spine

SOURCE = Path(market_spine.__file__).parent
ROOT = Path(__file__).parent.parent.parent
# The rooms of the house, bottom first: a file imports only what lies in its own room or below. What lies beside the rooms are
# the nouns that everybody imports, and `python -m market_spine`, which is a door.
ROOMS = (
    "nouns", "db", "calendar", "parse", "core", "measure", "query", "gates", "app", "operate", "python", "monitor", "work", "api", "page",
    "cli",
)


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Every file of the package by its path, parsed once for all tests."""
    return tuple((path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text("utf-8"))) for path in sorted(SOURCE.rglob("*.py")))


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


def room_of(path: str) -> str:
    """The room a file of the package lies in."""
    room, _, rest = path.partition("/")
    return room if rest else "cli" if path == "__main__.py" else "nouns"
