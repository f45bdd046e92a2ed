"""Puts this clone's program on the path.

Every door imports it first; the tools in the folders are run by __main__.py, which does. Python itself puts scripts/ there, so
that its folders are packages. The tests import them, never the other way round: pytest and mypy find the same names by
`pythonpath` and `mypy_path` in pyproject.toml.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(1, str(ROOT / "src"))


def tool(name: str, *arguments: str) -> list[str]:
    """The command that runs a tool of a folder in this Python: `make_fixtures`, or any module, `bench.reader`."""
    return [sys.executable, str(ROOT / "scripts"), name, *arguments]
