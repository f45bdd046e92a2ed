"""The doors of scripts/ and the tools of its folders can be run from anywhere, and one file alone says what is on their path."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from clone import ROOT
from support.commands import RunCommand

SCRIPTS = ROOT / "scripts"
DOORS = [[path] for path in sorted(SCRIPTS.glob("*.py")) if path.stem not in ("clone", "__main__", "land_migrations")]
TOOLS = [
    [SCRIPTS, path.stem] for folder in ("fixtures", "torture") for path in sorted((SCRIPTS / folder).glob("*.py"))
    if 'if __name__ == "__main__":' in path.read_text("utf-8")
]


@pytest.mark.parametrize("command", [pytest.param(command, id=Path(command[-1]).stem) for command in (*DOORS, *TOOLS)])
def test_a_door_or_tool_says_how_it_is_used(run_command: RunCommand, command: list[str | Path]) -> None:
    done = run_command("python", *command, "--help")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "usage: " in done.stdout.lower()


def test_an_unknown_tool_is_an_error_with_a_command_that_lists_them(run_command: RunCommand) -> None:
    done = run_command("python", SCRIPTS, "make_nothing")
    assert (done.exit_code, done.stderr) == (1, "Error: there is no tool 'make_nothing'. Try: python scripts\n")


def test_the_path_is_changed_in_one_place() -> None:
    files = [path for folder in ("scripts", "tests") for path in (ROOT / folder).rglob("*.py") if path != Path(__file__)]
    assert [path.relative_to(ROOT).as_posix() for path in files if "sys.path" in path.read_text("utf-8")] == ["scripts/clone.py"]


def test_scripts_import_nothing_of_the_tests() -> None:
    for path in SCRIPTS.rglob("*.py"):
        modules = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Import | ast.ImportFrom))
        named = {node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in modules}
        assert not {name.partition(".")[0] for name in named} & {"tests", "support", "conftest"}, path


def test_the_prune_door_gives_cron_a_reason(run_command: RunCommand, target: str) -> None:
    done = run_command("python", SCRIPTS / "prune_old_captures.py", "--older-than", "730", "--db", target)
    assert (done.exit_code, done.stdout) == (0, "pruned 0 captures, 0 rows, 0 bytes of RAW\n"), done.stderr
