#!/usr/bin/env python3
"""Takes the pictures of docs/page.md in Chromium, from the demonstration; needs Debian's chromium and chromium-driver.

python scripts make_page_pictures
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from clone import ROOT

from pages.browser import browsing
from pages.demonstration import made_demo, served

FOLDER = ROOT / "docs" / "pictures"
_WEEK = "/weeks/2025-12-26"
# name, page, theme, width, height
PICTURES = (
    ("page-overview", "/", "light", 1280, 860),
    ("page-week", _WEEK, "dark", 1280, 760),
    ("page-partition", f"{_WEEK}/NMS_TIER_1?as_of=2026-01-16", "light", 1280, 760),
    ("page-venue", "/venues/UBSA", "light", 1280, 700),
    ("page-phone", "/", "dark", 390, 1100),
)
_MOST_BYTES = 150_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with served(made_demo(Path("demo"))) as base, browsing(base) as browser:
            for name, page, theme, width, height in PICTURES:
                browser.open(page, theme, width)
                picture = browser.picture(height)
                assert len(picture) <= _MOST_BYTES, f"{name} has {len(picture):,} bytes"
                (FOLDER / f"{name}.png").write_bytes(picture)
                print(f"docs/pictures/{name}.png: {len(picture):,} bytes")


if __name__ == "__main__":
    main()
