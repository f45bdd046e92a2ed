"""One file for each group of pages: each function reads the store and returns a page."""

from __future__ import annotations

from market_spine.operate.status_grid import Cell
from market_spine.partition import NMS_TIER_1, NMS_TIER_2, OTC

TIER_NAMES = {NMS_TIER_1: "NMS Tier 1", NMS_TIER_2: "NMS Tier 2", OTC: "OTC"}


def count(number: int, word: str) -> str:
    """`1 week`, `3 weeks`."""
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{number:,} {word if number == 1 else plural}"


def state_of(cell: Cell) -> str:
    """The state in words: `ready, 2 revisions`."""
    return f"ready, {count(cell.revised, 'revision')}" if cell.glyph == "◉" else cell.state.value
