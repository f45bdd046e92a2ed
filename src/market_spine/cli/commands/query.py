"""`spine query`: query a view, now or as of a date."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import (
    as_of_option,
    as_tiers,
    complete_tier,
    complete_view,
    db_option,
    json_option,
    print_json,
    say_left_out,
)
from market_spine.cli.grammar import Renamed, chosen_weeks, listed_weeks_options
from market_spine.cli.options import Whole, shape_of, table_options
from market_spine.errors import UsageError

if TYPE_CHECKING:
    from market_spine.cli.table import Shape
    from market_spine.query.answer import Row
    from market_spine.query.views import View

_SHOWN = 100
_LEAST = ("capture_id", "captured_at", "basis", "firm_crd", "product_type", "issue_name", "published_on", "revised_on")


@click.command(
    "query",
    epilog="""\b
Examples:
  spine query venue_share --weeks 2025-12-26 --tiers OTC
  spine query normalized --symbol BRK.B --csv
  spine query hhi --last 4 --tiers OTC
  spine query weekly_totals --as-of 2026-01-09 --nl
  spine query normalized --weeks 2025-12-26 --tiers OTC --first-release --csv
  spine query rolling_venue_share --weeks 2025-12-26 --tiers OTC --length 6
\b
Views: normalized, venue_volume, venue_share, hhi, concentration, symbol_summary, symbol_venue_share
(of a tier), weekly_totals, tier_split (of a week), rolling_venue_share, rolling_hhi, rolling_totals,
rolling_symbol (of a tier over 6 or 13 weeks); readiness.""",
)
@click.argument("view", shell_complete=complete_view)
@listed_weeks_options("The newest N weeks that are stored.")
@click.option(
    "--tiers", "--tier", "tiers", cls=Renamed, old=["--tier"], callback=as_tiers, shell_complete=complete_tier,
    help="Tiers, comma-separated; left out: every tier.",
)
@click.option("--symbol", help="One symbol, case-sensitive, as FINRA writes it.")
@click.option("--length", type=Whole(1), help="Weeks of a rolling view; left out: every length that is kept.")
@as_of_option
@click.option("--first-release", is_flag=True, help="Each row as first published; unknown if revised before the first capture.")
@click.option("--latest", is_flag=True, help="As known now; the default.")
@click.option("--all-releases", is_flag=True, help="Every version of each row, and from when to when it was known.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated, with a header line.")
@click.option("--nl", "form", flag_value="nl", help="One JSON object per line.")
@table_options
@db_option
@json_option
def command(
    view: str, weeks: tuple[date, ...] | None, count: int | None, tiers: tuple[str, ...], symbol: str | None, length: int | None,
    as_of: date | None, first_release: bool, latest: bool, all_releases: bool, form: str | None, columns: str | None,
    sort: str | None, top: int | None, db: str, as_json: bool,
) -> None:
    """Query a view, now or as of a date: the result equals, byte for byte, what was returned then.

    Of normalized also the first release of each row, or all of them. All rows come from one snapshot of the database (with
    --json, seen_at is its time). Partitions whose rows of that day were pruned since are left out and listed, exit 1.
    """
    from market_spine import clock
    from market_spine.cli.commands import reading
    from market_spine.query import answer, history, symbols
    from market_spine.query.readiness import READINESS
    from market_spine.query.views import VERSIONS, find_view
    from market_spine.query.vintages import Releases

    _check_moment(as_of is not None, first_release, latest, all_releases)
    asked = READINESS if view == READINESS.name else find_view(view)
    seen_at = clock.stamp(clock.utc_now())  # the snapshot is taken after it, so it holds everything committed before
    with reading(db) as store:
        chosen = chosen_weeks(count, weeks, lambda n: history.newest_weeks(store, n, tiers, as_of))
        question = answer.Question(asked, chosen, tiers, symbol, as_of, length)
        releases = Releases(store, question, first=first_release) if first_release or all_releases else None
        shown = VERSIONS if releases else question.view
        with contextlib.closing(releases.read() if releases else answer.answer(store, question)) as rows:
            entries = [dict(zip(shown.columns, row, strict=True)) for row in rows] if as_json else []
            if not as_json:
                is_empty = _print(shown, rows, form, shape_of(columns, sort, top))
                other = symbols.meant(store, symbol) if is_empty and symbol else None
        gone = releases.pruned if releases else answer.left_out(store, question)
    if as_json:
        noted = {"revised_before_capture": releases.revised_before_capture} if releases and first_release else {}
        left_out = [capture.capture_id for capture in gone]
        print_json(view=question.view.name, seen_at=seen_at, rows=entries, left_out=left_out, **noted)
    elif other:
        click.echo(symbols.hint(other), err=True)
    if releases and (remark := releases.remark()):
        click.echo(remark, err=True)
    say_left_out(gone)


def _check_moment(*asked: bool) -> None:
    if sum(asked) > 1:
        raise UsageError("--as-of, --first-release, --latest and --all-releases exclude each other", hint="leave all but one out")


def _print(view: View, rows: Iterable[Row], form: str | None, shape: Shape) -> bool:
    """Prints the rows; whether there were none."""
    from market_spine.cli import table
    from market_spine.query import answer

    if form is not None:
        for text in answer.as_csv(view, rows) if form == "csv" else answer.as_nl(view, rows):
            click.echo(text, nl=False)
        return False
    first = list(rows) if shape.sort else list(itertools.islice(rows, shape.top or _SHOWN))
    more = 0 if shape.top else max(0, len(first) - _SHOWN) + sum(1 for _ in rows)  # none is left where they were sorted
    table.show(table.render(*table.shaped(view.columns, first, shape._replace(top=shape.top or _SHOWN)), least=_LEAST))
    if more:
        click.echo(f"… and {more:,} rows more. Try: --csv, --top N, or a narrower --weeks, --tiers or --symbol", err=True)
    return not first
