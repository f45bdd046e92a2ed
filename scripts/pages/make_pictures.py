#!/usr/bin/env python3
"""Draws docs/pictures: the card and the grid as a terminal shows them, from the shipped files at FINRA's publication days.

python scripts make_pictures            draws them; a test fails while they are not up to date
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from clone import ROOT

from market_spine import clock
from market_spine.calendar import publication
from market_spine.cli import strips, table
from market_spine.operate import card, operation, status
from market_spine.partition import NMS_TIER_1, TIERS, Partition, weeks_back

FOLDER = ROOT / "docs" / "pictures"
_FILES, _REVISED = (ROOT / "data" / "fixtures" / name for name in ("finra_otc", "finra_otc_revised"))
_FIRST, _RESTATED, _LAST = date(2026, 1, 9), date(2026, 1, 23), date(2026, 1, 30)
_WEEKS = 26
_COLOURS = {"31": "#ff7b72", "32": "#3fb950", "33": "#d29922", "35": "#bc8cff", "2": "#8b949e", "1": "#ffffff"}
_ADVANCE, _LINE, _MARGIN = 8.4, 20, 16


def pictures() -> dict[Path, str]:
    """What each picture must be."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Path(folder)
        for day in (_FIRST + timedelta(weeks=n) for n in range(3)):
            _run(desk, day)
        normal = _card(desk, _RESTATED)
        _publish(desk / "files", _LAST)
        (desk / "files" / "otc_week_2025-12-26.psv").write_bytes(b"")
        _run(desk, _LAST)
        return {FOLDER / "card.svg": _svg(["$ spine", *normal]), FOLDER / "grid.svg": _svg(_grid(desk, _LAST))}


def _publish(files: Path, day: date) -> None:
    """Copies the files that FINRA has published by a day, and a restatement from the day it came."""
    files.mkdir(exist_ok=True)
    for partition in (Partition(week, tier) for week in weeks_back(8, day) for tier in TIERS):
        name = f"{partition.tier.lower()}_week_{partition.week}.psv"
        if publication.due_date(partition) <= day and (_FILES / name).exists():
            shutil.copyfile(_FILES / name, files / name)
    if day >= _RESTATED:
        name = f"{NMS_TIER_1.lower()}_week_2025-12-26.psv"
        shutil.copyfile(_REVISED / name, files / name)


def _run(desk: Path, day: date) -> None:
    """One weekly run; a failure is a part of the story."""
    if day != _LAST:
        _publish(desk / "files", day)
    arguments = ["--run-date", str(day), "--data-dir", "files", "--db", "market_spine.db", "--quiet"]
    command = [sys.executable, "-c", "from market_spine.cli.weekly import main; main()", *arguments]
    subprocess.run(command, cwd=desk, capture_output=True, check=False)


def _card(desk: Path, day: date) -> list[str]:
    with operation.looking(str(desk / "market_spine.db"), day, clock.moment_of(day)) as run:
        lines = card.read(run).lines()
    return [strips.coloured(line.replace(str(desk), "data")) for line in lines]


def _grid(desk: Path, day: date) -> list[str]:
    with operation.looking(str(desk / "market_spine.db"), day, clock.moment_of(day)) as run:
        weeks = status.examine(run, weeks_back(_WEEKS, day))
    return [f"$ spine status --last {_WEEKS}", *strips.grid(weeks)]


def _svg(lines: list[str]) -> str:
    plain = [re.sub(r"\x1b\[\d+m", "", line) for line in lines]
    width = round(max(map(len, plain)) * _ADVANCE + 2 * _MARGIN)
    height = len(lines) * _LINE + 2 * _MARGIN
    label = html.escape(" / ".join(filter(None, plain[:3])))
    texts = (
        f'<text x="{_MARGIN}" y="{_MARGIN + 14 + n * _LINE}" xml:space="preserve">{"".join(_spans(line))}</text>\n'
        for n, line in enumerate(lines)
    )
    box = f'viewBox="0 0 {width} {height}" width="{width}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{label}">\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>\n'
        f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="14" fill="#e6edf3">\n'
        f"{''.join(texts)}</g>\n</svg>\n"
    )


def _spans(line: str) -> Iterator[str]:
    """The pieces of a line, each in its colour and at its column, so that no font can move a glyph."""
    column, colour = 0, ""
    for piece in re.split(r"(\x1b\[\d+m)", line):
        if piece.startswith("\x1b"):
            colour = _COLOURS.get(piece[2:-1], "")
        elif piece:
            fill = f' fill="{colour}"' if colour else ""
            at, size = _MARGIN + column * _ADVANCE, len(piece) * _ADVANCE
            yield f'<tspan x="{at:.1f}" textLength="{size:.1f}"{fill}>{html.escape(piece)}</tspan>'
            column += len(piece)


def draw() -> dict[Path, str]:
    """The pictures, in colour though stdout may be no terminal."""
    table.coloured, before = (lambda: True), table.coloured
    try:
        return pictures()
    finally:
        table.coloured = before


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in draw().items():
        path.write_text(text, "utf-8")
        print(f"{path.relative_to(ROOT)} written")
