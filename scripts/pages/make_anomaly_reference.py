#!/usr/bin/env python3
"""Writes the table of docs/anomalies.md from the program's categories; what stands around it is written by hand.

python scripts make_anomaly_reference            writes the page; a test fails while it is not up to date
"""

from __future__ import annotations

import re

from clone import ROOT

from market_spine.categories import Category

PAGE = ROOT / "docs" / "anomalies.md"
HEAD = "| category | severity | stage | what happened | what to do |\n|---|---|---|---|---|\n"
# The pages that say more than one line; an installed program does not have them, so the categories do not name them.
PAGES = {
    Category.AWAITING_PUBLICATION: "[calendar](calendar.md)",
    Category.SOURCE_UNAVAILABLE: "[a week is missing](../workflows/incident/DEBUG_MISSING_DATA.md)",
    Category.TOO_MANY_REJECTS: "[readiness says no](../workflows/incident/RESOLVE_QUALITY_GATE.md)",
    Category.SHRUNK_CAPTURE: "[readiness says no](../workflows/incident/RESOLVE_QUALITY_GATE.md)",
}


def render() -> str:
    """The page with its table made anew."""
    rows = "".join(f"{_row(category)}\n" for category in Category)
    return re.sub(rf"{re.escape(HEAD)}(\|.*\n)*", lambda _: HEAD + rows, PAGE.read_text("utf-8"))


def _row(category: Category) -> str:
    to_do = f"{category.to_do}: {PAGES[category]}" if category in PAGES else category.to_do
    cells = (f"`{category}`", category.severity, category.stage, category.happened, to_do)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
    print(f"{PAGE.relative_to(ROOT)} written")
