"""`spine export`: a view, or the whole history, as files for other engines."""

from __future__ import annotations

import shlex
from datetime import date
from pathlib import Path

import click

from market_spine.cli.commands import as_day, complete_view, db_option, json_option, print_json, reading
from market_spine.cli.options import Whole
from market_spine.cli.progress import progress
from market_spine.errors import UsageError


@click.command(
    "export",
    epilog="""\b
Examples:
  spine export --format parquet --to /srv/otc/normalized
  spine export --format csv --to /srv/otc/venue_share --view venue_share
  spine export --format parquet --to /srv/otc/point_in_time --pit
  spine export --history --to /srv/otc/lake
  spine export --history --to /srv/otc/lake --compact 2024
  spine export --history --to s3://research/otc
\b
Then, for one: SELECT * FROM read_parquet('/srv/otc/normalized/*/*/*.parquet', hive_partitioning = true)
or, of the history: duckdb -init /srv/otc/lake/lake.sql -c "FROM hhi_as_of('2026-01-09')" """,
)
@click.option("--format", "form", type=click.Choice(["parquet", "csv"]), help="parquet needs the extra parquet.")
@click.option(
    "--to", "folder", required=True, type=click.Path(file_okay=False),
    help="Folder of the dataset; with --history also a URL, which needs the extra lake.",
)
@click.option(
    "--view",
    shell_complete=complete_view,
    default="normalized",
    show_default=True,
    help="View to export; each into a folder of its own.",
)
@click.option("--as-of", callback=as_day, help="As known at the end of that day in New York, YYYY-MM-DD.")
@click.option("--pit", is_flag=True, help="Point in time: a row for every version, with known_from and known_to.")
@click.option("--history", is_flag=True, help="Every view and capture, and when each was current: a lake for as-of questions.")
@click.option(
    "--compact", type=Whole(2000, 2999), multiple=True, metavar="YEAR",
    help="With --history: join the files of a year to one for each view and tier; repeatable.",
)
@db_option
@json_option
def command(
    form: str | None, folder: str, view: str, as_of: date | None, pit: bool, history: bool, compact: tuple[int, ...], db: str,
    as_json: bool,
) -> None:
    """Write the current captures as one hive-partitioned dataset, week_ending=…/tier=…/; only what changed is rewritten.

    With --pit it holds every version of each row of normalized, which was known from known_from up to, not including, known_to.
    With --history it is a lake: an immutable file for every capture and view, tables of validity, _manifest.json and lake.sql.
    All files come from one snapshot of the database; its time is recorded as seen_at.
    """
    if history:
        _check_history(form, view, as_of, pit)
        _export_history(folder, compact, db, as_json)
        return
    if compact:
        hint = f"spine export --history --to {shlex.quote(folder)} --compact {compact[0]}"
        raise UsageError("--compact joins the files of a history", hint=hint)
    if form is None:
        raise UsageError("--format is missing", hint="--format parquet, or --format csv")
    if "://" in folder:
        raise UsageError("a view is exported into a folder", hint=f"spine export --history --to {shlex.quote(folder)}")
    if pit and (as_of or view != "normalized"):
        raise UsageError("--pit holds every day of normalized: it takes no --as-of and no other --view", hint="leave these out")
    _export_view(form, Path(folder), view, as_of, pit, db, as_json)


def _check_history(form: str | None, view: str, as_of: date | None, pit: bool) -> None:
    if form == "csv" or view != "normalized" or as_of or pit:
        raise UsageError("--history holds every view and day, as parquet", hint="leave --format, --view, --as-of and --pit out")


def _export_view(form: str, folder: Path, view: str, as_of: date | None, pit: bool, db: str, as_json: bool) -> None:
    from market_spine import clock
    from market_spine.query.export import export
    from market_spine.query.views import VERSIONS, find_view

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


def _export_history(target: str, compact: tuple[int, ...], db: str, as_json: bool) -> None:
    from market_spine import clock
    from market_spine.query.lake.publish import export_history

    seen_at = clock.stamp(clock.utc_now())
    with reading(db) as store, progress("export", "files") as tell:
        done = export_history(store, target, seen_at=seen_at, compact=compact, database=True, tell=tell)
    if as_json:
        print_json(
            to=target, seen_at=seen_at, written=done.written, kept=done.kept, retired=done.retired, removed=done.removed,
            pruned=done.pruned,
        )
    else:
        click.echo(
            f"{target}: {len(done.written)} files written, {done.kept} unchanged, {len(done.retired)} retired, "
            f"{len(done.removed)} removed"
        )
    if done.pruned:
        click.echo(f"Left out: the rows of {done.pruned} pruned captures. Try: spine captures", err=True)
