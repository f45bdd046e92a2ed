"""`spine man`: the manual pages, made from the commands themselves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from market_spine import __version__
from market_spine.errors import NotFound, UsageError

_EXIT_STATUS = "0 all well; 1 something failed; 2 critical; 75 another run holds the lock; 130, 143 interrupted."


@click.command(
    "man",
    epilog="""\b
Examples:
  spine man                                  the manual page, in man on a terminal
  spine man backfill
  spine man --to /usr/local/share/man/man1   writes a page for each command""",
)
@click.argument("names", nargs=-1, metavar="[COMMAND]…")
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), help="Write every page into that folder.")
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], folder: Path | None) -> None:
    """Show the manual page of spine, or of one of its commands: in man on a terminal, as its source otherwise."""
    pages = dict(_walk("spine", ctx.find_root().command))
    if folder is not None:
        _write(folder, pages)
        return
    name = " ".join(("spine", *names))
    if name not in pages:
        raise NotFound(f"there is no command {name!r}", hint="spine --help")
    text = page(name, pages[name])
    if not (sys.stdout.isatty() and _in_man(text)):
        click.echo(text, nl=False)


def page(name: str, command: click.Command) -> str:
    """A manual page of section 1, in roff."""
    context = click.Context(command, info_name=name)
    synopsis = " ".join((name, *command.collect_usage_pieces(context)))
    help_lines = (command.help or "").replace("\\b\n", "").strip().splitlines() or [""]
    lines = [
        f'.TH "{name.replace(" ", "-").upper()}" 1 "" "market-spine {__version__}"',
        ".SH NAME", f"{_text(name.replace(' ', '-'))} \\- {_text(help_lines[0].rstrip('.'))}",
        ".SH SYNOPSIS", f".B {_text(synopsis)}",
        ".SH DESCRIPTION", *(_text(line.strip()) or ".PP" for line in help_lines),
    ]
    lines += _options(command, context)
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for member, inner in _members(command):
            lines += [".TP", f".B {_text(member)}", _text(inner.get_short_help_str(200))]
    if command.epilog:
        lines += [".SH EXAMPLES", ".nf", *(_text(line) for line in command.epilog.replace("\b", "").strip().splitlines()), ".fi"]
    return "\n".join([*lines, ".SH EXIT STATUS", _EXIT_STATUS, ""])


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [record for param in command.get_params(context) if (record := param.get_help_record(context))]
    lines = [".SH OPTIONS"] if records else []
    for names, meaning in records:
        lines += [".TP", f".B {_text(names)}", _text(meaning)]
    return lines


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, member in _members(command):
            yield from _walk(f"{path} {name}", member)


def _members(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        member = group.get_command(context, name)
        if member is not None and not member.hidden:
            yield name, member


def _write(folder: Path, pages: dict[str, click.Command]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, command in pages.items():
            (folder / f"{name.replace(' ', '-')}.1").write_text(page(name, command), "utf-8")
    except OSError as error:
        raise UsageError(f"cannot write into {folder}: {error.strerror}", hint="name a writable folder with --to") from error
    click.echo(f"{folder}: {len(pages)} pages written. Try: man -l {folder}/spine.1")


def _in_man(text: str) -> bool:
    """Shows the page in man; False where there is no man."""
    try:
        return subprocess.run(["man", "-l", "-"], input=text, text=True, check=False).returncode == 0
    except OSError:
        return False


def _text(line: str) -> str:
    """A line of text in roff: its dashes are minus signs, and a leading point or quote is text."""
    escaped = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
