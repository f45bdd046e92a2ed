"""Texts and names are plain technical English, and no code branches on a text."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.source_code import ROOMS, ROOT, SOURCE, modules, room_of

from market_spine.categories import Category

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


def files_of(room: str) -> list[Path]:
    if room == "scripts":
        return sorted((ROOT / "scripts").rglob("*.py"))
    return [SOURCE / name for name, _ in modules() if room_of(name) == room]


@pytest.mark.parametrize("room", [*ROOMS, "scripts"])
def test_texts_are_in_plain_technical_english(room: str) -> None:
    """What to write instead stands in the table of the house style."""
    spoken = [
        f"{path.relative_to(ROOT)}:{line}: {match.group()}"
        for path in files_of(room)
        for line, text in written(path)
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
