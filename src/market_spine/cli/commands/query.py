"""`spine query`: query a view, now or as of a date."""

from __future__ import annotations

import contextlib
import itertools
from datetime import date

import click

from market_spine.cli.commands import (
    as_day,
    as_tiers,
    as_weeks,
    complete_tier,
    complete_view,
    db_option,
    json_option,
    print_json,
)

_SHOWN = 100


@click.command(
    "query",
    epilog="""\b
Examples:
  spine query venue_share --week 2025-12-26 --tier OTC
  spine query normalized --symbol BRK.B --csv
  spine query weekly_totals --as-of 2026-01-09 --nl
\b
Views: normalized, venue_volume, venue_share, hhi, concentration, symbol_summary, symbol_venue_share
(of a tier), weekly_totals, tier_split (of a week).""",
)
@click.argument("view", shell_complete=complete_view)
@click.option("--week", "weeks", callback=as_weeks, help="Week endings, YYYY-MM-DD,…; left out: every week.")
@click.option(
    "--tier", "tiers", callback=as_tiers, shell_complete=complete_tier, help="Tiers, comma-separated; left out: every tier."
)
@click.option("--symbol", help="One symbol, case-sensitive, as FINRA writes it.")
@click.option("--as-of", callback=as_day, help="As known at the end of that day in New York, YYYY-MM-DD.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated, with a header line.")
@click.option("--nl", "form", flag_value="nl", help="One JSON object per line.")
@db_option
@json_option
def command(
    view: str, weeks: tuple[date, ...] | None, tiers: tuple[str, ...], symbol: str | None, as_of: date | None, form: str | None,
    db: str, as_json: bool,
) -> None:
    """Query a view, now or as of a date: the result equals, byte for byte, what was returned then.

    All rows come from one snapshot of the database (with --json, seen_at is its time). Partitions whose rows of that day were
    pruned since are left out and listed, exit 1.
    """
    from market_spine import clock
    from market_spine.cli import table
    from market_spine.cli.commands import reading
    from market_spine.query import answer
    from market_spine.query.views import find_view

    question = answer.Question(find_view(view), weeks, tiers, symbol, as_of)
    columns = question.view.columns
    seen_at = clock.stamp(clock.utc_now())  # the snapshot is taken after it, so it holds everything committed before
    with reading(db) as store, contextlib.closing(answer.answer(store, question)) as rows:
        gone = answer.left_out(store, question)
        if as_json:
            entries = [dict(zip(columns, row, strict=True)) for row in rows]
            left_out = [capture.capture_id for capture in gone]
            print_json(view=question.view.name, seen_at=seen_at, rows=entries, left_out=left_out)
        elif form is not None:
            for text in answer.as_csv(question.view, rows) if form == "csv" else answer.as_nl(question.view, rows):
                click.echo(text, nl=False)
        else:
            click.echo(table.render(columns, itertools.islice(rows, _SHOWN)))
            if more := sum(1 for _ in rows):
                click.echo(f"… and {more:,} rows more. Try: --csv, or a narrower --week, --tier or --symbol", err=True)
    if gone:
        names = ", ".join(f"{c.week} / {c.tier} (on {str(c.pruned_at)[:10]})" for c in gone)
        click.echo(f"Left out, rows pruned: {names}. Try: spine captures {gone[0].week} {gone[0].tier}", err=True)
        raise click.exceptions.Exit(1)
