"""`spine`: the operators' door. Each command group lies in its own file under `commands/`, imported when asked for."""

from __future__ import annotations

import importlib
import sys

import click

from market_spine import __version__
from market_spine.cli import check_settings, guarded
from market_spine.cli_options import config_option

_LOOK, _RIGHT, _QUEUE = "Look", "Put things right", "Run by queue"
_KEEP, _WATCH = "Keep the database", "Set up and watch"

# command → (task it belongs to in --help, module, one line)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "status": (_LOOK, "market_spine.commands.status", "The grid, weeks × tiers; what blocks; the next command."),
    "doctor": (_LOOK, "market_spine.commands.doctor", "What should be there and is not, and how to mend it."),
    "anomalies": (_LOOK, "market_spine.commands.anomalies", "What was noticed, how grave it is, and whether it is over."),
    "calendar": (_LOOK, "market_spine.commands.calendar", "What FINRA publishes when, and what comes next."),
    "captures": (_LOOK, "market_spine.commands.captures", "Every capture: when, why, rows, shares, current or not."),
    "diff": (_LOOK, "market_spine.commands.diff", "What a restatement changed."),
    "query": (_LOOK, "market_spine.commands.query", "Any view, now or as it was known on a date."),
    "export": (_LOOK, "market_spine.commands.export", "A view as hive-partitioned parquet or CSV files."),
    "run": (_RIGHT, "market_spine.commands.run", "Run one pipeline of one partition."),
    "rollback": (_RIGHT, "market_spine.commands.rollback", "Withdraw the current capture of a week, or undo that."),
    "backfill": (_RIGHT, "market_spine.commands.backfill", "A range of weeks in one command, oldest first."),
    "retry": (_RIGHT, "market_spine.commands.retry", "Exactly what failed in a run, again."),
    "resolve": (_RIGHT, "market_spine.commands.resolve", "Close an anomaly with a note."),
    "ack": (_RIGHT, "market_spine.commands.ack", "Keep an anomaly silent until a day."),
    "work": (_QUEUE, "market_spine.commands.work", "Ask for work, look at it, retry and cancel it."),
    "worker": (_QUEUE, "market_spine.commands.worker", "Execute what is enqueued."),
    "serve": (_QUEUE, "market_spine.commands.serve", "The HTTP API."),
    "rebuild": (_KEEP, "market_spine.commands.rebuild", "Remake everything from the raw bytes alone."),
    "verify": (_KEEP, "market_spine.commands.verify", "Hash, count and sum everything again."),
    "prune": (_KEEP, "market_spine.commands.prune", "Remove old captures, leaving tombstones."),
    "pin": (_KEEP, "market_spine.commands.pin", "Keep a capture for good, under a name."),
    "completion": (_WATCH, "market_spine.commands.completion", "Let the shell complete commands and options."),
    "db": (_KEEP, "market_spine.commands.db", "Make, migrate, copy and look at a database."),
    "preflight": (_WATCH, "market_spine.commands.preflight", "Check this machine before the first run."),
    "config": (_WATCH, "market_spine.commands.config", "Every setting, its value, and where that comes from."),
    "notify": (_WATCH, "market_spine.commands.notify", "Try the notification channels."),
    "metrics": (_WATCH, "market_spine.commands.metrics", "Print, write or push what Prometheus may know."),
}


class LazyGroup(click.Group):
    """Imports a command's module only when that command is asked for; groups the help by task."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[name][1])
        command: click.Command = module.command
        _configure(command, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for task in dict.fromkeys(task for task, _, _ in COMMANDS.values()):
            with formatter.section(task):
                formatter.write_dl([(name, line) for name, (of, _, line) in COMMANDS.items() if of == task])


def _configure(command: click.Command, table: str) -> None:
    """Gives each command of a module `--config`, once."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _configure(inner, table)
    elif "--config" not in (option for param in command.params for option in param.opts):
        config_option(command, table, check_settings)


@click.group(cls=LazyGroup, context_settings={"auto_envvar_prefix": "MARKET_SPINE", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="spine")
def command() -> None:
    """Look after FINRA's weekly OTC Transparency data."""


def main(argv: list[str] | None = None) -> None:
    """The console script."""
    sys.exit(guarded(command, sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
