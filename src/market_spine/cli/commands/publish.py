"""`spine publish`: the views as one SQLite file for others to read."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from market_spine.cli.commands import (
    as_of_option,
    as_tiers,
    complete_tier,
    complete_view,
    db_option,
    json_option,
    print_json,
    reading,
)
from market_spine.cli.grammar import chosen_weeks, listed_weeks_options
from market_spine.cli.progress import progress


@click.command(
    "publish",
    epilog="""\b
Examples:
  spine publish otc.db
  spine publish otc.db --weeks 2025-10-03..2025-12-26 --tiers NMS_TIER_1
  spine publish quarter.db --last 13
  spine publish share.db --view venue_share --view hhi --as-of 2026-01-09
\b
Then, for one: datasette otc.db --metadata otc.metadata.json""",
)
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--view", "views", multiple=True, shell_complete=complete_view,
    help="Only this view, repeatable; left out: every view but symbol_venue_share and rolling_symbol, which are large.",
)
@listed_weeks_options("The newest N weeks that are stored.")
@click.option("--tiers", callback=as_tiers, shell_complete=complete_tier, help="Tiers, comma-separated; left out: every tier.")
@as_of_option
@db_option
@json_option
def command(
    path: Path, views: tuple[str, ...], weeks: tuple[date, ...] | None, count: int | None, tiers: tuple[str, ...],
    as_of: date | None, db: str, as_json: bool,
) -> None:
    """Write what the views show to one SQLite file, for Datasette, DuckDB and other programs: indexed tables with foreign
    keys, full-text search of issues and venues, and FILE's .metadata.json for Datasette.

    The file is replaced when the new one is complete: who reads it goes on reading the old one. A file that was not
    published is never replaced.
    """
    from market_spine import clock
    from market_spine.operate.publish import DEFAULT, Selected, publish
    from market_spine.query.history import newest_weeks
    from market_spine.query.readiness import READINESS
    from market_spine.query.views import find_view

    names = tuple(dict.fromkeys(name if name == READINESS.name else find_view(name).name for name in views))
    seen_at = clock.stamp(clock.utc_now())  # the snapshot is taken after it, so it holds everything committed before
    with reading(db) as store, progress("publish", "views") as tell:
        chosen = chosen_weeks(count, weeks, lambda n: newest_weeks(store, n, tiers, as_of))
        made = publish(store, path, Selected(names or DEFAULT, chosen, tiers, as_of), seen_at, tell)
    if as_json:
        print_json(path=str(made.path), bytes=made.size, seen_at=seen_at, rows=made.rows)
    else:
        click.echo(f"{made.path}: {made.size:,} bytes, {len(made.rows)} tables, {sum(made.rows.values()):,} rows")
