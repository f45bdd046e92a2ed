"""What a page names is there: tables, settings, commands, options, extras, scripts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import tomllib
import yaml
from clone import tool
from pages import make_anomaly_reference, make_cli_reference, make_schema_reference
from support import pages
from support.pages import Page

from market_spine import config
from market_spine.calendar import publication
from market_spine.cli.commands import COMMANDS
from market_spine.cli.weekly import check_settings

PAGES = pages.all_pages()


# --- What a page names is there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_a_page_names_no_table_or_view_that_is_not_there(page: Page) -> None:
    if page.name == "workflows/development/ADD_CALCULATION.md":
        return  # makes new ones; its own test follows it
    indexes = {
        found
        for table in make_schema_reference.schema("sqlite").values()
        for index in table.indexes
        for found in re.findall(r"`(\w+)`", index)
    }
    known = {*make_schema_reference.columns("sqlite"), *indexes}
    named = set(re.findall(r"\b(?:core_[a-z_]+|finra_otc_transparency_[a-z_]+[a-z])\b", page.text))
    assert sorted(named - known) == []


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_a_page_names_no_environment_variable_that_is_not_there(page: Page) -> None:
    assert sorted(pages.variables(page.text) - pages.variables(pages.page("docs/CLI.md").text)) == []


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_a_page_names_no_command_or_option_that_is_not_there(page: Page) -> None:
    if page.name == "docs/CHANGELOG.md":
        return
    known = dict(make_cli_reference.commands())
    wrong = []
    for line, text in [*page.spans(), *((block.line, block.text) for block in page.blocks if block.language != "python")]:
        for command, options in _invocations(text, known):
            there = {name for param in known[command].params for name in (*param.opts, *param.secondary_opts)} | {"--help", "-h"}
            wrong += [f"{page.name}:{line}: {command} has no {option}" for option in options if option not in there]
    assert wrong == []


def _invocations(text: str, known: dict[str, click.Command]) -> Iterator[tuple[str, list[str]]]:
    """Each command of ours in a text, by its longest known name, with the long options that follow it."""
    text = re.sub(r"\\\n\s*|`\n\s*", " ", text)
    for found in re.finditer(r"(?<![\w/.-])(spine|run_finra_weekly_schedule)((?: [^|;&\n`]*)?)", text):
        words = [found[1], *found[2].split()]
        if words[0] == "spine" and (len(words) < 2 or not re.fullmatch(r"[a-z][a-z-]*", words[1])):
            continue
        name = next((" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in known), None)
        assert name is not None and (name != "spine"), f"there is no command {' '.join(words[:2])}"
        own = found[2].partition(" -- ")[0]  # what follows is meant for another command
        yield name, re.findall(r"(?<=\s)(--[a-z][a-z-]*)", own)


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_an_option_named_in_passing_belongs_to_some_command(page: Page) -> None:
    ours = {
        name
        for _, command in make_cli_reference.commands()
        for param in command.params
        for name in (*param.opts, *param.secondary_opts)
    }
    scripts = "".join(
        path.read_text("utf-8") for path in (pages.ROOT / "scripts").rglob("*.*") if path.suffix in (".py", ".sh", ".ps1")
    )
    named = {span.split()[0].split("=")[0] for _, span in page.spans() if re.match(r"--[a-z]", span)}
    assert sorted(name for name in named - ours if f'"{name}"' not in scripts) == []


def test_the_settings_and_the_calendar_shown_are_taken_by_the_program(tmp_path: Path) -> None:
    shown = {name: pages.page(name).of("toml") for name in ("docs/ops/scheduling.md", "docs/events.md", "docs/calendar.md")}
    assert sorted(page.name for page in PAGES if page.of("toml")) == sorted(shown)
    path = tmp_path / "shown.toml"
    for block in shown["docs/ops/scheduling.md"] + shown["docs/events.md"]:
        path.write_text(block.text, "utf-8")
        check_settings(config.read(path))
    for block in shown["docs/calendar.md"]:
        path.write_text(block.text, "utf-8")
        assert publication.read_calendar(str(path)) != publication.EXCHANGE


def test_the_settings_of_the_secret_are_taken_by_the_program_once_they_are_filled_in(tmp_path: Path) -> None:
    manifest = pages.ROOT / "docs" / "ops" / "deploy" / "kubernetes" / "secret.yaml"
    text = yaml.safe_load(manifest.read_text("utf-8"))["stringData"]["market_spine.toml"]
    path = tmp_path / "market_spine.toml"
    path.write_text(text.replace("# ", ""), "utf-8")
    settings = config.read(path)
    check_settings(settings)
    assert settings.shared["finra_client_secret_file"] == "/etc/market-spine/finra-client-secret"


def test_the_extras_named_in_the_pages_are_those_of_the_package() -> None:
    project = tomllib.loads((pages.ROOT / "pyproject.toml").read_text("utf-8"))
    named = {
        extra for page in PAGES for extras in re.findall(r"market-spine\[([\w,]+)\]", page.text) for extra in extras.split(",")
    }
    assert named <= set(project["project"]["optional-dependencies"])


def test_every_file_of_commands_is_a_command() -> None:
    files = {f"market_spine.cli.commands.{path.stem}" for path in (pages.ROOT / "src" / "market_spine" / "cli" / "commands").glob("*.py") if path.stem != "__init__"}
    assert files == {module for _task, module, _line in COMMANDS.values()}


def test_every_script_is_in_the_page_of_scripts() -> None:
    listed = set(re.findall(r"^\| `([\w.-]+)` \|", pages.page("scripts/README.md").text, re.MULTILINE))
    doors = {path.name for path in (pages.ROOT / "scripts").iterdir() if path.suffix in (".py", ".sh", ".ps1")}
    tools = {line.split()[0] for line in subprocess.check_output(tool("--help"), text=True).splitlines()[2:]}
    assert listed == doors - {"clone.py", "__main__.py"} | tools


def test_the_list_of_categories_is_up_to_date() -> None:
    stale = "docs/anomalies.md is not up to date: python scripts make_anomaly_reference"
    assert make_anomaly_reference.PAGE.read_text("utf-8") == make_anomaly_reference.render(), stale


def test_the_readme_and_the_build_type_the_same_test_command() -> None:
    commands = [block.text for block in pages.page("README.md").of("sh")]
    assert len(commands) == 3
    assert all("\n" not in command for command in commands)
    assert commands[-1] in (pages.ROOT / ".ci" / "run").read_text("utf-8").splitlines()
