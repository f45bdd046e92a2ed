"""Whoever waits in a test waits for an event, and long enough for a machine that does much else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from support.gates import DEADLINE

TESTS = Path(__file__).parent
WAITS = {"wait", "join", "communicate", "acquire", "get", "implicitly_wait"}


def limits(node: ast.Call) -> Iterator[ast.expr]:
    """What a call gives as the longest time to wait."""
    yield from (keyword.value for keyword in node.keywords if keyword.arg == "timeout")
    if isinstance(node.func, ast.Attribute) and node.func.attr in WAITS and len(node.args) == 1:
        yield from node.args


def test_no_wait_is_shorter_than_the_deadline() -> None:
    """A limit only keeps a broken test from hanging: with 10 s, a sound one fails on a machine that is ten times slower."""
    short = [
        f"{path.relative_to(TESTS)}:{node.lineno}"
        for path in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        for limit in limits(node)
        if isinstance(limit, ast.Constant) and isinstance(limit.value, (int, float)) and 0 < limit.value < DEADLINE
    ]
    assert short == []
