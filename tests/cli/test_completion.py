"""Shell completion: a script for each shell, and what the program answers to it."""

from __future__ import annotations

import pytest
from support.commands import RunCommand

from market_spine.cli.commands import COMMANDS

COMPUTED = ("venue_volume", "venue_share", "hhi", "tier_split", "weekly_totals")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(run_command: RunCommand, shell: str) -> None:
    done = run_command("spine", "completion", shell)
    assert (done.exit_code, f"_SPINE_COMPLETE={shell}_complete" in done.stdout) == (0, True), done.stderr


def test_the_program_completes_commands_and_options(run_command: RunCommand) -> None:
    requested = {"_SPINE_COMPLETE": "bash_complete", "COMP_WORDS": "spine ", "COMP_CWORD": "1"}
    assert run_command("spine", env=requested).stdout.splitlines() == [f"plain,{name}" for name in COMMANDS]
    requested |= {"COMP_WORDS": "spine query --as", "COMP_CWORD": "2"}
    assert run_command("spine", env=requested).stdout == "plain,--as-of\n"


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("spine query ve", ["venue_volume", "venue_share"]),
        ("spine query hhi --tier nms", ["NMS_TIER_1", "NMS_TIER_2"]),
        ("spine export --format csv --view tier", ["tier_split"]),
        ("spine run finra.otc_transparency.comp", [f"finra.otc_transparency.compute_{name}" for name in COMPUTED]),
        ("spine run x --tier O", ["OTC"]),
        ("spine backfill --tiers O", ["OTC"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_program_completes_the_names_it_knows(run_command: RunCommand, begun: str, offered: list[str]) -> None:
    requested = {"_SPINE_COMPLETE": "bash_complete", "COMP_WORDS": begun, "COMP_CWORD": str(begun.count(" "))}
    assert run_command("spine", env=requested).stdout.splitlines() == [f"plain,{name}" for name in offered]


def test_the_help_groups_every_command_by_task(run_command: RunCommand) -> None:
    text = run_command("spine", "--help").stdout
    assert [text.index(f"{task}:") for task in dict.fromkeys(task for task, _, _ in COMMANDS.values())] == sorted(
        text.index(f"{task}:") for task in {task for task, _, _ in COMMANDS.values()}
    )
    assert all(f"\n  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("name", [name for name, (task, _, _) in COMMANDS.items() if task in ("Look", "Put things right")])
def test_every_operators_command_shows_an_example(run_command: RunCommand, name: str) -> None:
    text = run_command("spine", name, "--help").stdout
    assert f"spine {name}" in text.partition("Options:")[2], text
