"""`spine`: the operators' commands. Each has its own file under `commands/`, imported when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from market_spine import __version__
from market_spine.cli.commands import COMMANDS
from market_spine.cli.exit import guarded
from market_spine.cli.grammar import resolving
from market_spine.cli.options import config_option, show_variables
from market_spine.cli.quiet_exit import end_at_signal
from market_spine.cli.weekly import check_settings
from market_spine.errors import UsageError


class LazyGroup(click.Group):
    """Imports a command's module only when that command is called; groups the help by task. Without one it is `card`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        of_group = [*self.get_help_option_names(ctx), "--version"]
        alone = not args or (args[0].startswith("-") and args[0] not in of_group)
        return super().parse_args(ctx, ["card", *args] if alone and not ctx.resilient_parsing else args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[name][1])
        command: click.Command = module.command
        _configure(command, name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib
            import shlex

            from market_spine.target import redact_words

            close = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            hint = shlex.join(["spine", *close, *redact_words(args[1:])]) if close else "spine --help"
            raise UsageError(f"there is no command {args[0]!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for task in dict.fromkeys(task for task, _, _ in COMMANDS.values()):
            with formatter.section(task):
                formatter.write_dl([(name, line) for name, (group, _, line) in COMMANDS.items() if group == task])


def _configure(command: click.Command, table: str) -> None:
    """Gives each command of a module `--config`, once."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _configure(inner, table)
        if not command.invoke_without_command:
            return
    if "--config" not in (option for param in command.params for option in param.opts):
        config_option(command, table, check_settings)
        show_variables(command)
        command.callback = resolving(command.callback) if command.callback else None


@click.group(cls=LazyGroup, context_settings={"auto_envvar_prefix": "MARKET_SPINE", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="spine")
def command() -> None:
    """Inspect, repair and maintain FINRA's weekly OTC Transparency data."""


def main(argv: list[str] | None = None) -> None:
    """The console script."""
    end_at_signal()
    sys.exit(guarded(command, sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
