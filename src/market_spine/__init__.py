"""Market Spine keeps FINRA's weekly OTC Transparency data: every capture, every restatement, which weeks are ready.

`market_spine.open(db)` opens a store for reading; the other names of the Python API are in __init__.pyi, for type checkers too.
"""

from importlib import import_module
from typing import Any

__version__ = "1.0.0"
_API = ("NotReady", "Provenance", "Query", "Readiness", "Result", "Source", "Store", "open")


def __getattr__(name: str) -> Any:
    """The names of the Python API, loaded when they are first used: every command and every module imports this package."""
    if name not in _API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("market_spine.python"), name)


def __dir__() -> list[str]:
    return [*globals(), *_API]
