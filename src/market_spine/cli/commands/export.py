"""`spine export`: a view as files for other engines."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from market_spine.cli.commands import as_day, complete_view, db_option, json_option, print_json, reading
from market_spine.cli.progress import progress
from market_spine.errors import UsageError


@click.command(
    "export",
    epilog="""\b
Examples:
  spine export --format parquet --to /srv/otc/normalized
  spine export --format csv --to /srv/otc/venue_share --view venue_share
  spine export --format parquet --to /srv/otc/point_in_time --pit
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
@click.option("--pit", is_flag=True, help="Point in time: a row for every version, with known_from and known_to.")
@db_option
@json_option
def command(form: str, folder: Path, view: str, as_of: date | None, pit: bool, db: str, as_json: bool) -> None:
    """Write the current captures as one hive-partitioned dataset, week_ending=…/tier=…/; only what changed is rewritten.

    With --pit it holds every version of each row of normalized, which was known from known_from up to, not including, known_to.
    All files come from one snapshot of the database; _market_spine.json records its time as seen_at.
    """
    from market_spine import clock
    from market_spine.query.export import export
    from market_spine.query.views import VERSIONS, find_view

    if pit and (as_of or view != "normalized"):
        raise UsageError("--pit holds every day of normalized: it takes no --as-of and no other --view", hint="leave these out")
    asked = VERSIONS if pit else find_view(view)
    seen_at = clock.stamp(clock.utc_now())  # the snapshot is taken after it, so it holds everything committed before
    with reading(db) as store, progress("export", "files") as tell:
        done = export(store, asked, folder, form, as_of, seen_at=seen_at, tell=tell)
    if as_json:
        counts = {"written": done.written, "kept": len(done.kept), "removed": done.removed}
        print_json(view=asked.name if pit else view, format=form, to=str(folder), seen_at=seen_at, **counts)
    else:
        click.echo(f"{folder}: {len(done.written)} files written, {len(done.kept)} unchanged, {len(done.removed)} removed")
    if done.pruned:
        click.echo(f"Left out: versions that only {done.pruned} pruned captures had. Try: spine captures", err=True)
