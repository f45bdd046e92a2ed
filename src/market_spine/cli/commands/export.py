"""`spine export`: a view as files for other engines."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from market_spine.cli.commands import as_day, complete_view, db_option, json_option, print_json, reading


@click.command(
    "export",
    epilog="""\b
Examples:
  spine export --format parquet --to /srv/otc/normalized
  spine export --format csv --to /srv/otc/venue_share --view venue_share
\b
Then, for one: SELECT * FROM read_parquet('/srv/otc/normalized/*/*/*.parquet', hive_partitioning = true)""",
)
@click.option("--format", "form", required=True, type=click.Choice(["parquet", "csv"]), help="parquet needs the extra parquet.")
@click.option("--to", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the dataset.")
@click.option(
    "--view",
    shell_complete=complete_view,
    default="normalized",
    show_default=True,
    help="View to export; each into a folder of its own.",
)
@click.option("--as-of", callback=as_day, help="As known at the end of that day in New York, YYYY-MM-DD.")
@db_option
@json_option
def command(form: str, folder: Path, view: str, as_of: date | None, db: str, as_json: bool) -> None:
    """Write the current captures as one hive-partitioned dataset, week_ending=…/tier=…/; only what changed is rewritten.

    All files come from one snapshot of the database; _market_spine.json records its time as seen_at.
    """
    from market_spine import clock
    from market_spine.query.export import export
    from market_spine.query.views import find_view

    seen_at = clock.stamp(clock.utc_now())  # the snapshot is taken after it, so it holds everything committed before
    with reading(db) as store:
        done = export(store, find_view(view), folder, form, as_of, seen_at=seen_at)
    if as_json:
        counts = {"written": done.written, "kept": len(done.kept), "removed": done.removed}
        print_json(view=view, format=form, to=str(folder), seen_at=seen_at, **counts)
    else:
        click.echo(f"{folder}: {len(done.written)} files written, {len(done.kept)} unchanged, {len(done.removed)} removed")
