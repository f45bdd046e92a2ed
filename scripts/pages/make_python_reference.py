"""Writes docs/python-api.md from the docstrings of the Python API; tests run the examples in them.

python scripts make_python_reference         writes the page; a test fails while it is not up to date
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator

from clone import ROOT

from market_spine import python

PAGE = ROOT / "docs" / "python-api.md"
INTRODUCTION = """\
# The Python API

Made by `python scripts make_python_reference` from the docstrings in `src/market_spine/python/`; a test fails while this page is
not up to date, and another one runs every example on both engines. How it is used is in [a store in Python](python.md); the
columns of the views, their units and sources are in the [data dictionary](data-dictionary.md).
"""
_VALUES = (python.Readiness, python.Source)
_QUOTED = re.compile(r"(: |-> )'([^']*)'")


def render() -> str:
    """The page."""
    parts = [INTRODUCTION, *_entry("## `market_spine.open`", python.open)]
    for made in (python.Store, python.Query, python.Result, python.Provenance, *_VALUES, python.NotReady):
        parts += _entry(f"## `{made.__name__}`", made, signed=False)
        for name, method in vars(made).items():
            if inspect.isfunction(method) and not name.startswith("_") and made not in _VALUES:
                parts += _entry(f"### `{made.__name__}.{name}`", method)
    return "\n".join(parts)


def _entry(heading: str, named: Callable[..., object], *, signed: bool = True) -> Iterator[str]:
    yield f"{heading}\n"
    if signed:
        signature = _QUOTED.sub(r"\1\2", str(inspect.signature(named))).replace("(self, ", "(").replace("(self)", "()")
        yield f"`{named.__name__}{signature}`\n"
    yield "\n".join(_fenced(inspect.getdoc(named) or "")) + "\n"


def _fenced(text: str) -> Iterator[str]:
    """The text, its examples as blocks of Python."""
    within = False
    for line in text.splitlines():
        if line.startswith(">>>") and not within:
            yield "```python"
            within = True
        elif not line and within:
            yield "```"
            within = False
        yield line.replace("  # doctest: +ELLIPSIS", "")
    if within:
        yield "```"


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
    print(f"{PAGE.relative_to(ROOT)} written")
