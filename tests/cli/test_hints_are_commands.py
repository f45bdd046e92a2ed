"""A hint that begins with one of our commands is that command and nothing else: pasted into a shell, it is understood."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from support.commands import RunCommand

import market_spine
from market_spine.cli import spine, weekly

SOURCE = Path(market_spine.__file__).parent
NAMED = {"hint", "remedy", "command", "again", "right"}
PATHS = re.compile(r"path|label|folder|root|stem")
OURS = ("spine ", "run_finra_weekly_schedule ")


def text_of(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Each text of an expression, a word for each value in it, and the values as they are written."""
    inner = {id(part) for one in ast.walk(node) if isinstance(one, ast.JoinedStr) for part in one.values}
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and id(one) not in inner:
            yield one.value, []
        elif isinstance(one, ast.JoinedStr):
            values = [ast.unparse(part.value) for part in one.values if isinstance(part, ast.FormattedValue)]
            text = ""
            for part in one.values:  # a value after `--` is an option's name, one after a word more options
                text += str(part.value) if isinstance(part, ast.Constant) else "help" if text.endswith("--") else "x" * text.endswith(" ")
            yield text, values


@cache
def hints() -> tuple[tuple[str, str, list[str]], ...]:
    return tuple(_hints())


def _hints() -> Iterator[tuple[str, str, list[str]]]:
    for path in sorted(SOURCE.rglob("*.py")):
        source = path.read_text("utf-8")
        for node in ast.walk(ast.parse(source)) if any(name in source for name in OURS) else ():
            names = {node.arg} if isinstance(node, ast.keyword) else set()
            if isinstance(node, ast.Assign):
                names = {target.id for target in node.targets if isinstance(target, ast.Name)}
            if names & NAMED:
                for text, values in text_of(node.value):  # type: ignore[attr-defined]
                    if text.startswith(OURS):
                        yield f"{path.relative_to(SOURCE)}:{node.value.lineno}", text, values  # type: ignore[attr-defined]


def parsed(text: str) -> str | None:
    """What is wrong with its words; None when the command takes them."""
    name, *words = shlex.split(text)
    command: click.Command = spine.command if name == "spine" else weekly.command
    context = click.Context(command, info_name=name)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words.pop(0))
        if found is None:
            return "no such command"
        command, context = found, click.Context(found, info_name=found.name, parent=context)
    try:
        _, left, _ = command.make_parser(context).parse_args(words)
    except click.UsageError as error:
        return error.format_message()
    return f"{left} is left over" if left else None


def test_every_hint_that_begins_with_a_command_is_one() -> None:
    wrong = [(where, text, problem) for where, text, _ in hints() if (problem := parsed(text)) and "--help" not in text]
    assert wrong == []


def test_every_path_in_a_hint_is_quoted() -> None:
    wrong = [(where, value) for where, _, values in hints() for value in values if PATHS.search(value) and "quote(" not in value]
    assert wrong == []


@pytest.mark.parametrize(
    ("command", "suggested"),
    [
        pytest.param("spine db migrate --db 'my data.db'", "spine db init --db 'my data.db'", id="nothing to migrate"),
        pytest.param("spine export --to 'a b' --compact 2025", "spine export --history --to 'a b' --compact 2025", id="a folder"),
    ],
)
def test_a_path_with_a_blank_is_quoted_for_the_shell(
    run_command: RunCommand, tmp_path: Path, command: str, suggested: str
) -> None:
    (tmp_path / "my data.db").touch()
    done = run_command(*shlex.split(command), cwd=tmp_path)
    assert (done.exit_code, done.stderr.rpartition("Try: ")[2].strip()) == (2, suggested)
