"""Tables for terminals: columns fit their cells and the terminal, numbers are right-aligned, colour on a terminal only."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from market_spine.errors import UsageError
from market_spine.log import takes_colour

_COLOUR = {
    "ready": "32", "awaiting": "2", "outside": "2", "due": "33", "pending": "33", "late": "33", "withdrawn": "33", "held": "35",
    "missing": "31", "failed": "31", "blocked": "31",
}
_GLYPHS = "●◉▲◐·◌!✕✖⊘–"
# What is the same in every row of a table is written above it, where it does not fit otherwise.
_CAPTIONED = frozenset(
    (
        "capture_id", "week_ending", "tier", "captured_at", "scope", "basis", "venue_class", "capture", "captured at", "stage",
        "state",
    )
)
_NAMED = frozenset(("stage", "state", "basis", "scope"))  # of these the value alone does not say what it is
_WIDEST, _NARROWEST, _ROOM = 60, 10, 24  # a day has ten characters, and is never cut
_GAP, _INDENT = 2, "    "


class Shape(NamedTuple):
    """Which columns of a table are shown, by which one it is sorted (`-shares`: largest first), and how many rows."""

    columns: tuple[str, ...] = ()
    sort: str | None = None
    top: int | None = None


def coloured() -> bool:
    """Whether stdout takes colour."""
    return takes_colour(sys.stdout)


def width() -> int | None:
    """The columns of the terminal; None where stdout is not one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def paint(text: str, word: str) -> str:
    """`text` in the colour of the state `word`, if stdout takes colour; a glyph before the word does not count."""
    name = word.split(" ")[0].rstrip("!") if word[:1] not in _GLYPHS else word[1:].strip().split(" ")[0]
    code = _COLOUR.get(name)
    return f"\x1b[{code}m{text}\x1b[0m" if code and coloured() else text


def mark(text: str) -> str:
    """One of the marks ✓ → ⚠ ✗ in its colour, if stdout takes colour."""
    code = {"✓": "32", "→": "2", "⚠": "33", "✗": "31"}.get(text)
    return f"\x1b[{code}m{text}\x1b[0m" if code and coloured() else text


def shaped(headers: Sequence[str], rows: Iterable[Sequence[Any]], shape: Shape) -> tuple[list[str], list[list[Any]]]:
    """The table as --columns, --sort and --top ask for it. Raises UsageError for a column that it does not have."""
    kept = [list(row) for row in rows]
    if shape.sort:
        name = shape.sort.lstrip("-")
        at = _position(headers, name)
        present = [row for row in kept if row[at] is not None]
        present.sort(key=lambda row: row[at], reverse=shape.sort.startswith("-"))
        kept = present + [row for row in kept if row[at] is None]
    kept = kept[: shape.top]
    if not shape.columns:
        return list(headers), kept
    places = [_position(headers, name) for name in shape.columns]
    return [headers[at] for at in places], [[row[at] for at in places] for row in kept]


def _position(headers: Sequence[str], name: str) -> int:
    names = [header.replace(" ", "_") for header in headers]
    if name.replace(" ", "_") not in names:
        raise UsageError(f"there is no column {name!r}", hint=f"the columns are {', '.join(filter(None, names))}")
    return names.index(name.replace(" ", "_"))


def render(
    headers: Sequence[str], rows: Iterable[Sequence[object]], *, whole_last: bool = False, least: Sequence[str] = ()
) -> str:
    """Lines with two blanks between columns; numbers are right-aligned, cells that are states are coloured.

    On a terminal what is too wide gets narrower: columns with one value move to a caption, those of `least` are left out, the
    least important first, long texts are cut with `…`, and the last column is wrapped or, where it has no room, comes on lines
    of its own; with `whole_last` it is never wrapped, since a command is to be pasted. Without rows it says so there.
    """
    kept, headers, limit = [list(row) for row in rows], list(headers), width()
    caption = ""
    if limit is not None and not kept:
        return "No rows."
    if limit is not None and _total(_widths(headers, _texts(kept))) > limit:
        caption, headers, kept = _captioned(headers, kept)
        hidden, headers, kept = _without(headers, kept, least, limit)
        caption = filled(" · ".join(filter(None, (caption, f"not shown: {', '.join(hidden)}" if hidden else ""))))
    texts = _texts(kept)
    right = [any(map(_is_figure, column)) for column in zip(*kept, strict=True)] if kept else [False] * len(headers)
    widths = _widths(headers, texts)
    if limit is not None and len(widths) > 1 and _needs_lines_below(widths, right, limit, whole_last=whole_last):
        stacked = _stacked(headers, texts, widths, right, limit, whole_last=whole_last)
        return "\n".join([*([caption] if caption else []), *stacked])
    if limit is not None and not whole_last:
        widths = _fitted(widths, right, limit)
    lines = [_bold(line) for line in _lines(headers, widths, right)]
    for row in texts:
        lines += _lines(row, widths, right, states=True)
    return "\n".join([*([caption] if caption else []), *lines])


def filled(text: str) -> str:
    """The text, wrapped on a terminal."""
    import textwrap

    limit = width()
    return textwrap.fill(text, limit, break_on_hyphens=False) if limit else text


def _bold(line: str) -> str:
    return f"\x1b[1m{line}\x1b[0m" if coloured() else line


def _texts(kept: Sequence[Sequence[object]]) -> list[list[str]]:
    return [[*(shorten(cell(value)) for value in most), cell(last)] for *most, last in kept]


def _widths(headers: Sequence[str], texts: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(headers, *texts, strict=True)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _captioned(headers: list[str], rows: list[list[object]]) -> tuple[str, list[str], list[list[object]]]:
    """A line with the columns that have one value in all rows, and the table without them."""
    if len(rows) < 2:
        return "", headers, rows
    fixed = [n for n, name in enumerate(headers) if name in _CAPTIONED and len({cell(row[n]) for row in rows}) == 1]
    caption = " · ".join(_caption(headers[n], cell(rows[0][n])) for n in fixed if cell(rows[0][n]))
    left = [n for n in range(len(headers)) if n not in fixed]
    return caption, [headers[n] for n in left], [[row[n] for n in left] for row in rows]


def _caption(header: str, text: str) -> str:
    return f"{header} {text}" if header in _NAMED else text


def _without(
    headers: list[str], rows: list[list[object]], least: Sequence[str], limit: int
) -> tuple[list[str], list[str], list[list[object]]]:
    """The columns of `least` that have to be left out so that the last one has room, and the table without them; columns that are
    empty go first."""
    empty = [name for n, name in enumerate(headers) if not any(cell(row[n]) for row in rows)]
    hidden: list[str] = []
    for name in (*empty, *least):
        *widths, last = _widths(headers, _texts(rows))
        if _total([*widths, min(last, 2 * _ROOM)]) <= limit or len(headers) == 1:
            break
        if name in headers:
            at = headers.index(name)
            headers, rows = headers[:at] + headers[at + 1 :], [cells[:at] + cells[at + 1 :] for cells in rows]
            hidden += [name] if name not in empty else []
    return hidden, headers, rows


def _needs_lines_below(widths: Sequence[int], right: Sequence[bool], limit: int, *, whole_last: bool) -> bool:
    """Whether the last column has no room beside the others."""
    *wide, last = widths
    return not right[-1] and last > _NARROWEST and _total([*wide, last if whole_last else min(last, _ROOM)]) > limit


def _stacked(
    headers: Sequence[str], texts: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool], limit: int, *,
    whole_last: bool,
) -> list[str]:
    """The table with its last column below each row, indented."""
    import textwrap

    *wide, _ = widths
    narrow = _fitted(wide, right[:-1], limit)
    lines = [_bold(line) for line in _lines(headers[:-1], narrow, right[:-1])]
    for *most, last in texts:
        below = [last] if whole_last else textwrap.wrap(last, limit - len(_INDENT), break_on_hyphens=False)
        lines += [*_lines(most, narrow, right[:-1], states=True), *(_INDENT + part for part in below if part)]
    return lines


def _fitted(widths: list[int], right: Sequence[bool], limit: int) -> list[int]:
    """The widths, where texts are narrowed until the table fits: first the last column, which is wrapped, then the widest; never
    the first, which names the row."""
    widths = list(widths)
    over = _total(widths) - limit
    if over > 0 and not right[-1]:
        least = min(widths[-1], _ROOM)
        narrowed = max(least, widths[-1] - over)
        over -= widths[-1] - narrowed
        widths[-1] = narrowed
    while over > 0:
        texts = [n for n in range(1, len(widths) - 1) if not right[n] and widths[n] > _NARROWEST]
        if not texts:
            return widths
        widths[max(texts, key=lambda n: widths[n])] -= 1
        over -= 1
    return widths


def _lines(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], *, states: bool = False) -> list[str]:
    """A row: several lines where the last cell is wrapped."""
    import textwrap

    *most, last = cells
    *wide, room = widths
    start = [_aligned(text, size, at_right, states) for text, size, at_right in zip(most, wide, right, strict=False)]
    if right[-1] or len(last) <= room:
        return [(" " * _GAP).join([*start, _aligned(last, room, right[-1], states)]).rstrip()]
    first, *others = textwrap.wrap(last, room, break_on_hyphens=False) or [""]
    indent = " " * (_total(wide) + _GAP)
    return [(" " * _GAP).join([*start, first]), *(indent + part for part in others)]


def _aligned(text: str, size: int, at_right: bool, states: bool) -> str:
    text = shorten(text, size) if len(text) > size and not at_right else text
    padded = text.rjust(size) if at_right else text.ljust(size)
    return paint(padded, text) if states and not at_right else padded


def _is_figure(value: object) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and value[:1] in ("+", "-", "−") and value[1:2].isdigit())


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


def shorten(text: str, most: int = _WIDEST) -> str:
    """The text, cut where it would leave no room for other columns."""
    return text if len(text) <= most else text[: most - 1] + "…"


def show(text: str) -> None:
    """Prints a text; what is longer than the terminal goes through its pager."""
    import click

    rows = shutil.get_terminal_size().lines
    if sys.stdout.isatty() and sys.stdin.isatty() and os.environ.get("TERM") != "dumb" and text.count("\n") >= rows - 1:
        os.environ.setdefault("LESS", "-FRX")
        click.echo_via_pager(text, color=coloured())
    else:
        click.echo(text)
