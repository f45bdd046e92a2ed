"""ADD_CALCULATION and ADD_DATASOURCE are what they say: one function and one entry, one class and one entry.

That the result works is proved where their console blocks are run, in test_docs.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from support import page_code, pages

PACKAGE = "src/market_spine/"


def definitions(path: Path) -> tuple[int, int]:
    """How many functions and classes a file has, and how many entries its tables at module level have."""
    tree = ast.parse(path.read_text("utf-8"))
    named = sum(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body)
    tables = (node.value for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign)))
    entries = sum(
        len(table.elts if isinstance(table, ast.Tuple) else table.keys)
        for table in tables
        if isinstance(table, (ast.Tuple, ast.Dict))
    )
    return named, entries


@pytest.mark.parametrize(
    ("name", "changed", "new", "more"),
    [
        ("ADD_CALCULATION", ["measure/tier_tables.py", "measure/windows.py", "core/windows.py", "query/views.py"], 2, (1, 1)),
        ("ADD_DATASOURCE", ["app/source/__init__.py"], 1, (0, 1)),
    ],
)
def test_a_page_changes_what_it_promises(
    name: str, changed: list[str], new: int, more: tuple[int, int], tmp_path: Path
) -> None:
    touched = page_code.follow(pages.page(f"workflows/development/{name}.md"), tmp_path)
    ours = [path.removeprefix(PACKAGE) for path in touched if path.startswith(PACKAGE)]
    assert ours[: len(changed)] == changed
    assert len(ours) == len(changed) + new
    (before, entries_before), (after, entries_after) = (
        definitions(root / PACKAGE / changed[0]) for root in (pages.ROOT, tmp_path)
    )
    assert (after - before, entries_after - entries_before) == more


def test_a_page_whose_place_in_the_program_is_gone_is_noticed(tmp_path: Path) -> None:
    page = pages.page("workflows/development/ADD_DATASOURCE.md")
    moved = pages.parse(page.path, page.text.replace(" SOURCES: Mapping[str, str] = {", " SOURCES = {"))
    with pytest.raises(ValueError, match="0 places like this"):
        page_code.follow(moved, tmp_path)
