"""`spine config`: every setting, its value and its origin; and the settings file."""

from __future__ import annotations

from pathlib import Path

import click

from market_spine.cli.commands import json_option, print_json
from market_spine.config import FILE_NAME
from market_spine.errors import NotFound, UsageError

# Every line is a comment, so that creating the file changes nothing.
TEMPLATE = """\
# Settings of Market Spine: below flags and environment, above defaults. Show them with: spine config show --origin
# A line is an option of run_finra_weekly_schedule without its dashes; it holds for every command that has the option.

# db = "/var/lib/market-spine/market_spine.db"      # or "postgresql://user@host/name"
# source = "api"                                    # FINRA's API; "file": the files of data-dir
# data-dir = "/var/lib/market-spine/files"
# lookback-weeks = 6

# finra-client-id = "…"                             # optional: without a credential requests are anonymous
# finra-client-secret-file = "/etc/market-spine/finra-client-secret"

# notify = ["mailtos://user:password@example.com"]  # try it with: spine notify test
# notify-level = "ERROR"
# ping-url = "https://hc-ping.com/…"
# expected-by = "Fri 12:00"
# metrics-textfile = "/var/lib/node_exporter/market_spine.prom"

# [serve]                                           # the options of one command
# port = 8000
"""


@click.group("config", epilog="Example: spine config show")
def command() -> None:
    """Show every setting, its value and its origin; create the settings file."""


@command.command(
    "show",
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  spine config show
  spine config show --origin -- --lookback-weeks 8""",
)
@click.option("--origin", "with_origin", is_flag=True, help="Show where each value comes from.")
@json_option
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def show(with_origin: bool, as_json: bool, flags: tuple[str, ...]) -> None:
    """Show the settings run_finra_weekly_schedule would use here, given FLAGS; secrets are masked."""
    from market_spine.cli import table
    from market_spine.cli.options import effective, settings_path
    from market_spine.cli.weekly import command as weekly_run

    own = settings_path()
    values = effective(weekly_run, [*(["--config", own] if own else []), *flags])
    if as_json:
        print_json(settings=[{"name": v.name, "value": v.shown, "origin": v.origin} for v in values])
        return
    headers = ["setting", "value", "origin"] if with_origin else ["setting", "value"]
    click.echo(table.render(headers, [(v.name, v.shown, v.origin)[: len(headers)] for v in values]))


@command.command(
    "init",
    epilog="""\b
Examples:
  spine config init
  spine config init /etc/market-spine/market_spine.toml""",
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
def init(file: Path | None) -> None:
    """Create a settings file in which every setting is a comment; default: market_spine.toml in this folder."""
    path = file or Path(FILE_NAME)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)  # it may hold a password
        path.write_text(TEMPLATE, "utf-8")
    except FileExistsError as error:
        raise UsageError(f"{path} already exists", hint="edit it, or name another file") from error
    except OSError as error:
        raise UsageError(f"cannot create {path}: {error.strerror}", hint="name a file in a writable folder") from error
    click.echo(f"{path} created. Edit it, then: spine config show --origin" + (f" --config {path}" if file else ""))


@command.command("path", epilog="Example: spine config path")
def path() -> None:
    """Print which settings file is in effect. Exit 2 where there is none."""
    from market_spine.cli.options import settings_path

    if (in_effect := settings_path()) is None:
        raise NotFound(f"there is no {FILE_NAME} in {Path.cwd()}", hint="spine config init")
    click.echo(Path(in_effect).absolute())
