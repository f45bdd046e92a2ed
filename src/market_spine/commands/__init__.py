"""The commands of `spine`, one group a file. Each module has a click command named `command`."""

from __future__ import annotations

import click

from market_spine.cli import DEFAULT_DB

db_option = click.option(
    "--db",
    default=DEFAULT_DB,
    show_default=True,
    envvar="MARKET_SPINE_DB",
    help="SQLite file or postgresql://user@host/name.",
)
json_option = click.option("--json", "as_json", is_flag=True, envvar="MARKET_SPINE_JSON", help="One JSON document on stdout.")
