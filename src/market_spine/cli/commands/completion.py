"""`spine completion`: the shell completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(
    "completion",
    epilog="""\b
Examples:
  eval "$(spine completion bash)"                                          in ~/.bashrc
  spine completion fish > ~/.config/fish/completions/spine.fish""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell, for spine and for run_finra_weekly_schedule."""
    from market_spine.cli.weekly import command as weekly_run

    shell_class = get_completion_class(shell)
    if shell_class is not None:
        for command, name in ((ctx.find_root().command, "spine"), (weekly_run, "run_finra_weekly_schedule")):
            click.echo(_Static(command, name, shell_class).script())


class _Static:
    """A shell's script without checking the installed version of the shell: it may be for another machine."""

    def __init__(self, command: click.Command, name: str, kind: type[click.shell_completion.ShellComplete]) -> None:
        self._complete = kind(command, {}, name, f"_{name.upper()}_COMPLETE")

    def script(self) -> str:
        return self._complete.source_template % self._complete.source_vars()
