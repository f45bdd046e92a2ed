"""The manual pages, and the settings file that `spine config init` creates."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import tomllib
from support.commands import RunCommand

from market_spine.cli.commands import COMMANDS
from market_spine.cli.commands.config import TEMPLATE


def test_every_command_has_a_page_that_man_reads_without_a_warning(run_command: RunCommand, tmp_path: Path) -> None:
    done = run_command("spine", "man", "--to", tmp_path / "man1")
    assert done.exit_code == 0, done.stderr
    names = {path.name for path in (tmp_path / "man1").iterdir()}
    assert {f"spine-{name}.1" for name in COMMANDS} | {"spine.1", "spine-db-backup.1"} <= names
    if shutil.which("groff") is None:
        pytest.skip("groff is not here")
    pages = sorted(str(path) for path in (tmp_path / "man1").iterdir())
    ran = subprocess.run(["groff", "-man", "-ww", "-z", "-Kutf8", *pages], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_page_goes_to_stdout_where_there_is_no_terminal(run_command: RunCommand) -> None:
    page = run_command("spine", "man", "db", "backup").stdout
    assert page.startswith('.TH "SPINE-DB-BACKUP" 1 ')
    assert "\\-\\-keep" in page
    unknown = run_command("spine", "man", "nothing")
    assert (unknown.exit_code, unknown.stderr) == (2, "Error: there is no command 'spine nothing'. Try: spine --help\n")


def test_the_settings_file_changes_nothing_until_it_is_edited(run_command: RunCommand, tmp_path: Path) -> None:
    before = run_command("spine", "config", "show").stdout
    assert run_command("spine", "config", "path").exit_code == 2
    assert run_command("spine", "config", "init").exit_code == 0
    path = tmp_path / "market_spine.toml"
    assert (path.stat().st_mode & 0o777, tomllib.loads(path.read_text("utf-8"))) == (0o600, {})
    assert run_command("spine", "config", "show").stdout == before
    assert run_command("spine", "config", "path").stdout == f"{path}\n"
    again = run_command("spine", "config", "init")
    assert (again.exit_code, "already exists" in again.stderr) == (2, True)


def test_the_program_takes_every_setting_of_the_file(run_command: RunCommand, tmp_path: Path) -> None:
    lines = [line.removeprefix("# ") for line in TEMPLATE.splitlines() if "= " in line or line.startswith("# [")]
    (tmp_path / "all.toml").write_text("\n".join(lines), "utf-8")
    shown = run_command("spine", "config", "show", "--origin", "--config", "all.toml")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "all.toml" in shown.stdout
