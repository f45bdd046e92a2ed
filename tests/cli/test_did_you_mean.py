"""A word that is not quite right: the error names it, and the hint is the command line with the right one."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from support.commands import run_here


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        (["spine", "statsu", "--db", "a b"], "there is no command 'statsu'. Try: spine status --db 'a b'"),
        pytest.param(
            ["spine", "db", "bakcup", "--db", "a b"], "No such command 'bakcup'. Try: spine db backup --db 'a b'",
            marks=pytest.mark.skipif(not hasattr(click.exceptions, "NoSuchCommand"), reason="click before 8.4 names no other"),
        ),
        (["spine", "status", "--lats", "3"], "No such option '--lats'. Try: spine status --last 3"),
        (["spine", "status", "--lats=3"], "No such option '--lats'. Try: spine status --last=3"),
        (["spine", "db", "xyz"], "No such command 'xyz'. Try: spine db --help"),
        (["spine", "status", "--xyz"], "No such option '--xyz'. Try: spine status --help"),
        (["run_finra_weekly_schedule", "--lookback-week", "3"],
         "No such option '--lookback-week'. Try: run_finra_weekly_schedule --lookback-weeks 3"),
    ],
    ids=["a command", "of a group", "an option", "with its value", "no such command", "no such option", "of the weekly run"],
)
def test_the_hint_is_what_was_meant(typed: list[str], error: str, tmp_path: Path) -> None:
    ran = run_here(typed, tmp_path, {})
    assert (ran.exit_code, ran.stderr) == (2, f"Error: {error}\n")
