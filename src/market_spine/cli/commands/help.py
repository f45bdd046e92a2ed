"""`spine help`: the runbooks, which are part of the installation, and the help of a command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources

import click

from market_spine.errors import NotFound

# topic → (file, what it is about)
TOPICS: Mapping[str, tuple[str, str]] = {
    "friday": ("friday.md", "the card: what is seen at nine, and what is done"),
    "weekly": ("WEEKLY_DATA_UPDATE.md", "the weekly run, step by step"),
    "revision": ("HANDLE_REVISION.md", "FINRA has restated a week"),
    "backfill": ("BACKFILL_HISTORICAL.md", "weeks before the first one that is kept"),
    "missing": ("DEBUG_MISSING_DATA.md", "a week that is due and is not there"),
    "quality": ("RESOLVE_QUALITY_GATE.md", "a file or a week that was refused"),
    "recovery": ("DATABASE_RECOVERY.md", "a database that is damaged or lost"),
    "queue": ("queue.md", "the work queue and its workers"),
}


def complete_topic(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Shell completion of a topic."""
    return [name for name in TOPICS if name.startswith(begun)]


@click.command(
    "help",
    epilog="""\b
Examples:
  spine help
  spine help friday
  spine help RESOLVE_QUALITY_GATE
  spine help status""",
)
@click.argument("topic", required=False, shell_complete=complete_topic)
@click.pass_context
def command(ctx: click.Context, topic: str | None) -> None:
    """Print a runbook, by its topic or the name of its page, or the help of a command; without TOPIC, list the runbooks."""
    from market_spine.cli import table

    topic = next((name for name, (file, _) in TOPICS.items() if topic == file.removesuffix(".md")), topic)
    if topic is None:
        click.echo(table.render(("topic", "about"), [(name, about) for name, (_, about) in TOPICS.items()]))
        click.echo("\nspine help TOPIC prints one; spine --help lists the commands.")
    elif topic in TOPICS:
        table.show(plain(text_of(topic)))
    else:
        click.echo(_of_command(ctx, topic))


def text_of(topic: str) -> str:
    """The runbook as Markdown."""
    return (resources.files("market_spine") / "runbooks" / TOPICS[topic][0]).read_text("utf-8")


def plain(markdown: str) -> str:
    """The text for a terminal: a link is its text, comments and marks of code blocks are left out."""
    text = re.sub(r"<!--.*?-->\n*", "", markdown, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"^```.*\n", "", text, flags=re.MULTILINE).strip()


def _of_command(ctx: click.Context, name: str) -> str:
    """The help of a command. Raises NotFound for what is neither that nor a topic."""
    root = ctx.find_root()
    asked = root.command.get_command(root, name) if isinstance(root.command, click.Group) else None
    if asked is None:
        raise NotFound(f"there is no topic or command {name!r}", hint="spine help")
    return asked.get_help(click.Context(asked, info_name=name, parent=root))
