"""`spine config`: every setting, its value and its origin."""

from __future__ import annotations

import click

from market_spine.cli.commands import json_option, print_json


@click.group("config", epilog="Example: spine config show")
def command() -> None:
    """Show every setting, its value and its origin."""


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
    from market_spine.cli.options import effective
    from market_spine.cli.weekly import command as weekly_run

    values = effective(weekly_run, list(flags))
    if as_json:
        print_json(settings=[{"name": v.name, "value": v.shown, "origin": v.origin} for v in values])
        return
    headers = ["setting", "value", "origin"] if with_origin else ["setting", "value"]
    click.echo(table.render(headers, [(v.name, v.shown, v.origin)[: len(headers)] for v in values]))
