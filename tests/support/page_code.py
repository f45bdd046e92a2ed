"""Follows a page that changes the program: its code blocks, laid over a copy of the package.

A block that begins with a path in a comment (`# src/…`, `-- src/…`) is a new file; a `diff` block changes one that is there.
`NNNN_` in the name of a migration stands for the next free number.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from support.pages import ROOT, Block, Page

_NAMED = re.compile(r"^(?:#|--) ((?:src|tests)/[\w/.-]+)$")


def changes_the_program(page: Page) -> bool:
    return any(new_file(block) for block in page.blocks)


def new_file(block: Block) -> str | None:
    """The path a block is to be written to; None for any other block."""
    named = _NAMED.match(block.text.partition("\n")[0])
    return named[1] if named else None


def follow(page: Page, folder: Path) -> list[str]:
    """Lays the page's code over a copy of the package in `folder`; answers the paths of the files changed, new ones last.

    Raises ValueError for a file that is there already, or a place in a file that is not found exactly once.
    """
    shutil.copytree(ROOT / "src" / "market_spine", folder / "src" / "market_spine", ignore=shutil.ignore_patterns("__pycache__"))
    changed, new = [], []
    for block in page.blocks:
        if path := new_file(block):
            new.append(_write(folder, path, block.text.partition("\n")[2]))
        elif block.language == "diff":
            changed.append(_patch(folder, block.text))
    return [*changed, *new]


def _write(folder: Path, name: str, text: str) -> str:
    if "NNNN_" in name:
        taken = [int(path.name[:4]) for path in (folder / name).parent.glob("[0-9]*.sql")]
        name = name.replace("NNNN", f"{max(taken) + 1:04}")
    path = folder / name
    if path.exists():
        raise ValueError(f"{name} is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", "utf-8")
    return name


def _patch(folder: Path, diff: str) -> str:
    head, *hunks = re.split(r"(?m)^@@.*\n", diff + "\n")
    name = head.splitlines()[0].removeprefix("--- ").strip()
    text = (folder / name).read_text("utf-8")
    for hunk in hunks:
        lines = hunk.splitlines()
        before = "\n".join(line[1:] for line in lines if not line.startswith("+"))
        after = "\n".join(line[1:] for line in lines if not line.startswith("-"))
        if text.count(before) != 1:
            raise ValueError(f"{name} has {text.count(before)} places like this:\n{before}")
        text = text.replace(before, after)
    (folder / name).write_text(text, "utf-8")
    return name
