"""`spine query`: any view, now or as it was known on a date."""

from __future__ import annotations

import contextlib
import itertools
from datetime import date

import click

from market_spine.commands import as_day, as_tiers, as_weeks, complete_tier, complete_view, db_option, json_option, print_json

_SHOWN = 100


@click.command(
    "query",
    epilog="""\b
Examples:
  spine query venue_share --week 2025-12-26 --tier OTC
  spine query normalized --symbol BRK.B --csv
  spine query weekly_totals --as-of 2026-01-09 --nl
\b
Views: normalized, venue_volume, venue_share, hhi, symbol_summary, symbol_venue_share (of a tier),
weekly_totals, tier_split (of a week).""",
)
@click.argument("view", shell_complete=complete_view)
@click.option("--week", "weeks", callback=as_weeks, help="Week endings, YYYY-MM-DD,…; left out: every week.")
@click.option(
    "--tier", "tiers", callback=as_tiers, shell_complete=complete_tier, help="Tiers, comma-separated; left out: every tier."
)
@click.option("--symbol", help="One symbol, case as FINRA writes it.")
@click.option("--as-of", callback=as_day, help="As it was known at the end of that day in New York, YYYY-MM-DD.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated, with a header line.")
@click.option("--nl", "form", flag_value="nl", help="One JSON object a line.")
@db_option
@json_option
def command(
    view: str, weeks: tuple[date, ...] | None, tiers: tuple[str, ...], symbol: str | None, as_of: date | None, form: str | None,
    db: str, as_json: bool,
) -> None:  # fmt: skip
    """Any measure, now or as it was known on a date: the answer equals, byte for byte, what was answered then.

    All rows are of one moment (with --json, seen_at), whatever is committed while they are read. Partitions whose rows of that
    day were pruned since are left out and named, exit 1.
    """
    from market_spine import clock, table
    from market_spine.ask import query
    from market_spine.ask.views import find_view
    from market_spine.commands import reading

    question = query.Question(find_view(view), weeks, tiers, symbol, as_of)
    columns = question.view.columns
    seen_at = clock.stamp(clock.utc_now())  # what was committed before is in the answer
    with reading(db) as store, contextlib.closing(query.answer(store, question)) as rows:
        gone = query.left_out(store, question)
        if as_json:
            entries = [dict(zip(columns, row, strict=True)) for row in rows]
            left_out = [capture.capture_id for capture in gone]
            print_json(view=question.view.name, seen_at=seen_at, rows=entries, left_out=left_out)
        elif form is not None:
            for text in query.as_csv(question.view, rows) if form == "csv" else query.as_nl(question.view, rows):
                click.echo(text, nl=False)
        else:
            click.echo(table.render(columns, itertools.islice(rows, _SHOWN)))
            if more := sum(1 for _ in rows):
                click.echo(f"… and {more:,} rows more. Try: --csv, or a narrower --week, --tier or --symbol", err=True)
    if gone:
        names = ", ".join(f"{c.week} / {c.tier} (pruned on {str(c.pruned_at)[:10]})" for c in gone)
        click.echo(f"Left out, their rows are gone: {names}. Try: spine captures {gone[0].week} {gone[0].tier}", err=True)
        raise click.exceptions.Exit(1)
