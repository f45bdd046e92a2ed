"""The pager: on a terminal only, for what is longer than it, and without a blank line of its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "from market_spine.cli import table; table.show('\\n'.join(map(str, range(int(__import__('sys').argv[1])))))"
LONG, SHORT = 30, 5  # a terminal of unknown size has 24 lines


def shown(pager: str, lines: int, *, on_terminal: bool = True, term: str = "xterm") -> tuple[str, int]:
    """What is left on stdout, and the exit code."""
    ours, theirs = pty.openpty()
    output = theirs if on_terminal else subprocess.PIPE
    environment = {"PATH": os.environ["PATH"], "PAGER": pager, "TERM": term, "LINES": "24", "COLUMNS": "80"}
    command = [sys.executable, "-c", PROGRAM, str(lines)]
    with subprocess.Popen(command, stdin=theirs, stdout=output, env=environment, text=True) as process:
        piped, _ = process.communicate()
    os.close(theirs)
    text = os.read(ours, 1 << 16).decode().replace("\r\n", "\n") if on_terminal and pager != "true" else piped or ""
    os.close(ours)
    return text, process.returncode


@pytest.fixture
def pager(tmp_path: Path) -> str:
    """A pager that marks what went through it."""
    path = tmp_path / "pager"
    path.write_text("#!/bin/sh\necho PAGED\nexec cat\n")
    path.chmod(0o755)
    return str(path)


def numbers(lines: int) -> str:
    return "".join(f"{n}\n" for n in range(lines))


def test_what_is_longer_than_the_terminal_is_paged(pager: str) -> None:
    assert shown(pager, LONG) == (f"PAGED\n{numbers(LONG)}", 0)


@pytest.mark.parametrize(
    "how",
    [{"lines": SHORT}, {"lines": LONG, "on_terminal": False}, {"lines": LONG, "term": "dumb"}],
    ids=["short", "piped", "a terminal that cannot page"],
)
def test_nothing_else_is(pager: str, how: dict[str, object]) -> None:
    assert shown(pager, **how) == (numbers(int(str(how["lines"]))), 0)  # type: ignore[arg-type]


def test_a_pager_that_is_left_early_is_no_error() -> None:
    assert shown("true", LONG)[1] == 0


def test_without_the_pager_the_text_is_printed() -> None:
    assert shown("/nowhere/at-all", LONG) == (numbers(LONG), 0)
