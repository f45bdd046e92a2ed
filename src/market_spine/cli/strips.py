"""Weeks as one line a tier: the grid of many weeks, and small curves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import date, timedelta

from market_spine.cli import table
from market_spine.operate.status_grid import GLYPHS, REVISED, CellState, WeekStatus
from market_spine.partition import TIERS

_LABEL = 12
_WIDE = 80  # where stdout is not a terminal
_BARS = "▁▂▃▄▅▆▇█"


def grid(weeks: Sequence[WeekStatus], newest_first: bool = True) -> list[str]:
    """Weeks from the oldest to the newest, months above them, as many a block as fit; below, what the glyphs mean."""
    ordered = list(weeks)[:: -1 if newest_first else 1]
    room = (table.width() or _WIDE) - _LABEL
    lines: list[str] = []
    for start in range(0, len(ordered), room):
        block = ordered[start : start + room]
        lines += [*([""] if lines else []), f"{'':<{_LABEL}}{months([week.week for week in block])}"]
        lines += [_strip(tier, n, block) for n, tier in enumerate(TIERS)]
    return [*lines, "", legend(weeks)]


def _strip(tier: str, number: int, block: Sequence[WeekStatus]) -> str:
    cells = (week.cells[number] for week in block)
    return f"{tier:<{_LABEL}}{''.join(table.paint(cell.glyph, cell.state.value) for cell in cells)}"


def months(weeks: Sequence[date]) -> str:
    """`Nov  Dec '26 Feb`: each month above its first week; a year takes January's place."""
    text = ""
    for n, week in enumerate(weeks):
        if n and (week - timedelta(weeks=1)).month == week.month:
            continue
        name = f"'{week:%y}" if week.month == 1 else f"{week:%b}"
        if n >= len(text.rstrip()) + (1 if text else 0) and n + len(name) <= len(weeks):
            text = f"{text:<{n}}{name}"
    return text


def coloured(line: str) -> str:
    """The line with each run of the same glyph in its colour, if stdout takes colour."""
    if not table.coloured() or not line.startswith(" "):  # a line of the card that has a label is text
        return line
    states = {glyph: state.value for state, glyph in GLYPHS.items() if glyph != "!"} | {REVISED: "ready"}
    runs = ("".join(group) for _, group in itertools.groupby(line))
    return "".join(table.paint(run, states[run[0]]) if run[0] in states else run for run in runs)


def legend(weeks: Sequence[WeekStatus]) -> str:
    """What the glyphs that occur mean."""
    cells = [cell for week in weeks for cell in week.cells]
    states = {cell.state for cell in cells}
    parts = [f"{GLYPHS[state]} {state}" for state in CellState if state in states]
    parts += [f"{REVISED} ready, revised"] * any(cell.glyph == REVISED for cell in cells)
    return "  ".join(parts)


def curve(values: Sequence[float | None]) -> str:
    """One block character a value, between the least and the largest; a blank where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return " " * len(values)
    least, spread = min(known), max(known) - min(known)
    return "".join(" " if v is None else _BARS[round((v - least) / spread * (len(_BARS) - 1)) if spread else 3] for v in values)
