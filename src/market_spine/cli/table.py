"""Tables for terminals: columns fit their cells, numbers are right-aligned, colour on a terminal only."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

_COLOUR = {"ready": "32", "awaiting": "2", "pending": "33", "late": "33", "withdrawn": "33", "missing": "31", "failed": "31"}

_WIDEST = 60


def coloured() -> bool:
    """Whether stdout is a terminal and NO_COLOR is not set."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(text: str, word: str) -> str:
    """`text` in the colour of the state `word`, if stdout takes colour."""
    code = _COLOUR.get(word.split(" ")[0].rstrip("!"))
    return f"\x1b[{code}m{text}\x1b[0m" if code and coloured() else text


def mark(text: str) -> str:
    """One of the marks ✓ → ⚠ ✗ in its colour, if stdout takes colour."""
    code = {"✓": "32", "→": "2", "⚠": "33", "✗": "31"}.get(text)
    return f"\x1b[{code}m{text}\x1b[0m" if code and coloured() else text


def render(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lines with two blanks between columns; numbers are right-aligned, cells that are states are coloured."""
    kept = [list(row) for row in rows]
    texts = [[*(shorten(cell(value)) for value in most), cell(last)] for *most, last in kept]
    widths = [max(map(len, column)) for column in zip(headers, *texts, strict=True)]
    right = [any(map(_is_figure, column)) for column in zip(*kept, strict=True)] if kept else [False] * len(headers)
    lines = [_line(headers, widths, right)] + [
        _line([paint(text.ljust(width), text) if not r else text for text, width, r in zip(row, widths, right, strict=True)],
              widths, right)
        for row in texts
    ]
    if coloured():
        lines[0] = f"\x1b[1m{lines[0]}\x1b[0m"
    return "\n".join(lines)


def _is_figure(value: object) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and value[:1] in ("+", "-") and value[1:2].isdigit())


def cell(value: object) -> str:
    """A value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    return str(value)


def shorten(text: str) -> str:
    """The text, cut where it would leave no room for other columns; the last column is never cut."""
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = [text.rjust(width) if r else text.ljust(width) for text, width, r in zip(texts, widths, right, strict=True)]
    return "  ".join(parts).rstrip()
