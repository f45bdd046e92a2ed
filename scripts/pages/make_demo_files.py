#!/usr/bin/env python3
"""Packs the shipped files into the package, for `spine serve --demo` of an installed wheel.

python scripts make_demo_files          packs them; a test fails while they are not up to date
"""

from __future__ import annotations

import io
import zipfile

from clone import ROOT
from fixtures.shipped_fixtures import shipped

PACKED = ROOT / "src" / "market_spine" / "page" / "demo.zip"


def packed() -> bytes:
    """The files by their path below data/fixtures; the same bytes on every machine."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, data in sorted(shipped().items()):
            archive.writestr(zipfile.ZipInfo(path.removeprefix("fixtures/")), data, zipfile.ZIP_DEFLATED, 9)
    return content.getvalue()


if __name__ == "__main__":
    PACKED.write_bytes(packed())
    print(f"{PACKED.relative_to(ROOT)} written")
