#!/usr/bin/env python3
"""Copies the runbooks into the package, so that `spine help TOPIC` prints them where only the wheel is installed.

python scripts make_runbooks            writes the copies; a test fails while one is not up to date
"""

from __future__ import annotations

from pathlib import Path

from clone import ROOT

from market_spine.cli.commands.help import TOPICS

FOLDER = ROOT / "src" / "market_spine" / "runbooks"


def originals() -> dict[Path, str]:
    """What each copy must hold."""
    pages = {path.name: path for folder in ("workflows", "docs/ops") for path in (ROOT / folder).rglob("*.md")}
    return {FOLDER / name: pages[name].read_text("utf-8") for name, _ in TOPICS.values()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in originals().items():
        path.write_text(text, "utf-8")
        print(f"{path.relative_to(ROOT)} written")
