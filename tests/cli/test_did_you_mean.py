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
        (["spine", "prune", "--keep", "3"], "No such option '--keep'. Try: spine prune --help"),
        (["spine", "runs", "--last", "3"], "No such option '--last'. Try: spine runs --help"),
        (["spine", "rollback", "latest", "--reason", "x", "--reasons", "y"], "No such option '--reasons'. Try: spine rollback --help"),
        (["spine", "status", "--lats", "3", "--db", "postgresql://me:geheim@host/x"],
         "No such option '--lats'. Try: spine status --last 3 --db postgresql://me@host/x"),
        (["spine", "status", "--lats", "3", "--db=postgresql://me:geheim@host/x"],
         "No such option '--lats'. Try: spine status --last 3 --db=postgresql://me@host/x"),
        (["spine", "statsu", "--db", "postgresql://me:geheim@host/x"],
         "there is no command 'statsu'. Try: spine status --db postgresql://me@host/x"),
    ],
    ids=["a command", "of a group", "an option", "with its value", "no such command", "no such option", "of the weekly run",
         "nothing like it", "the first guess is far off", "given already", "no password", "nor behind a =", "nor of a command"],
)
def test_the_hint_is_what_was_meant(typed: list[str], error: str, tmp_path: Path) -> None:
    ran = run_here(typed, tmp_path, {})
    assert (ran.exit_code, ran.stderr) == (2, f"Error: {error}\n")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["spine", "status", "--db", "my db"], "run_finra_weekly_schedule --db 'my db'"),
        (["spine", "doctor", "--fix", "--db=none.db"], "run_finra_weekly_schedule --db none.db"),
        (["spine", "status"], "run_finra_weekly_schedule"),
        (["spine", "run", "x", "2025-12-26", "--db", "none.db"], "the pipelines of"),
        (["spine", "windows", "2025-12-26", "--db", "none.db"], "spine windows 2025-12-26 OTC --db none.db\n"),
    ],
    ids=["given", "behind a =", "not given", "no command", "an example"],
)
def test_the_hint_of_an_error_is_of_the_database_that_was_given(typed: list[str], hint: str, tmp_path: Path) -> None:
    ran = run_here(typed, tmp_path, {})
    assert (ran.exit_code, f"Try: {hint}" in ran.stderr) == (2, True), ran.stderr
    assert "--db" in hint or "--db" not in ran.stderr
