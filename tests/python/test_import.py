"""What importing the package does not wait for."""

from __future__ import annotations

import subprocess
import sys

NOT_NEEDED = ("logging", "fractions", "numpy", "market_spine.core.genesis")


def test_the_names_are_defined_without_what_only_writing_needs() -> None:
    program = f"import sys, market_spine; market_spine.open; print([name for name in {NOT_NEEDED} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
