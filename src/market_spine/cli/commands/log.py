"""`spine log`: the story of a week, in lines a person reads."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli.commands import as_tier, as_week, complete_tier, complete_week, db_option, json_option, print_json, reading
from market_spine.partition import TIERS

_LAST = 50


@click.command(
    "log",
    epilog="""\b
Examples:
  spine log 2025-12-26
  spine log 2025-12-26 OTC --json
  spine log""",
)
@click.argument("week", required=False, callback=as_week, shell_complete=complete_week)
@click.argument("tier", required=False, callback=as_tier, shell_complete=complete_tier)
@db_option
@json_option
def command(week: date | None, tier: str | None, db: str, as_json: bool) -> None:
    """Tell what happened to a week: captures, restatements, readiness, anomalies, in order. Without WEEK: the latest events."""
    from market_spine.core import events
    from market_spine.query import changes

    tiers = (tier,) if tier else TIERS
    with reading(db) as store:
        if week is None:
            entries = changes.since(store, max(0, events.head(store).size - _LAST), _LAST)
        else:
            entries = changes.of_week(store, week, tiers)
    if as_json:
        print_json(events=entries)
        return
    click.echo("\n".join(changes.story(entries, tiers)) or "Nothing was logged.")
