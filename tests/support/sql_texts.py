"""The texts of a module as Python puts them together: literals, and literals joined by named constants of the module.

A clause that several statements share is written once, as a constant, and put into each by an f-string. Nothing that a function is
given can become part of such a text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text and the line it stands on; of one that is joined, the whole and not its pieces."""
    yield from _texts(tree, constants(tree))


def constants(tree: ast.Module) -> dict[str, str]:
    """The module's named texts. A name that is given a second text, or another value anywhere, is none."""
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    names += [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)]
    known: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and names.count(node.targets[0].id) == 1:
            text = resolved(node.value, known)
            if text is not None:
                known[node.targets[0].id] = text
    return known


def resolved(node: ast.expr, known: Mapping[str, str]) -> str | None:
    """The text of an expression, or None where it is more than literals and names of `known`."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return known.get(name)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = [resolved(left, known), resolved(right, known)]
        case ast.JoinedStr(values=values):
            parts = [resolved(value, known) for value in values]
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return resolved(value, known)
        case _:
            return None
    return None if None in parts else "".join(part for part in parts if part)


def _texts(node: ast.AST, known: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    text = resolved(node, known) if isinstance(node, ast.expr) and not isinstance(node, ast.Name) else None
    if text is not None and isinstance(node, ast.expr):
        yield node.lineno, text
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child, known)
