"""Our command in a process that has imported everything already: `bench.within ARGUMENT…`.

What the run alone took goes to within.json in the working folder, and is measured instead of the whole process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

REPORT = "within.json"
_ROOMS = ("calendar", "parse", "core", "measure", "gates", "app")  # what a run passes through


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Writes the seconds, and the seconds of CPU with those of children that ended, which the body takes."""
    before, began = os.times(), time.perf_counter()
    yield
    wall, after = time.perf_counter() - began, os.times()
    Path(REPORT).write_text(json.dumps({"wall": wall, "cpu": sum(after[:4]) - sum(before[:4])}), "utf-8")


def main() -> int:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as our command does, before NumPy is there
    from market_spine.cli.exit import guarded
    from market_spine.cli.weekly import command

    for room in _ROOMS:
        package = importlib.import_module(f"market_spine.{room}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    importlib.import_module("market_spine.db.sqlite")
    importlib.import_module("backports.zstd")
    if any(argument.startswith("postgresql://") for argument in sys.argv):
        importlib.import_module("psycopg")
    with reported():
        return guarded(command, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
