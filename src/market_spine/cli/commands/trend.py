"""`spine trend`: a measure over the weeks, as a curve for each tier."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import (
    as_tiers,
    asked_weeks,
    complete_tier,
    db_option,
    json_option,
    moment,
    print_json,
    reading,
    run_date_option,
    weeks_options,
)
from market_spine.cli.grammar import Renamed

if TYPE_CHECKING:
    from market_spine.query.trend import Trend

_FIGURES = 62  # columns that the figures take beside a curve
_COLUMNS = ("tier", "curve", "first", "last", "least", "largest", "change")


def complete_measure(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Shell completion of a measure."""
    from market_spine.query.trend import MEASURES

    return [name for name in MEASURES if name.startswith(begun)]


@click.command(
    "trend",
    epilog="""\b
Examples:
  spine trend hhi
  spine trend volume --symbol BRK.B --last 52
  spine trend venue_share --venue UBSA --tiers NMS_TIER_1
\b
Measures: volume, trades, hhi, venues, rows (of a tier; volume and hhi also of a --symbol), venue_share (of a --venue).""",
)
@click.argument("measure", shell_complete=complete_measure)
@weeks_options(26)
@click.option(
    "--tiers", "--tier", "tiers", cls=Renamed, old=["--tier"], callback=as_tiers, shell_complete=complete_tier,
    help="Tiers, comma-separated; left out: every tier.",
)
@click.option("--symbol", help="One symbol, case-sensitive, as FINRA writes it.")
@click.option("--venue", help="One venue: its MPID, or its name as FINRA writes it.")
@run_date_option
@db_option
@json_option
def command(
    measure: str, count: int, weeks: int | tuple[date, ...] | None, tiers: tuple[str, ...], symbol: str | None, venue: str | None,
    run_date_text: str | None, db: str, as_json: bool,
) -> None:
    """Show a measure over the weeks, by tier: a curve from its least to its largest value, and what changed.

    A week without data is a blank.
    """
    from market_spine.query import symbols, trend

    _, day = moment(run_date_text)
    days = asked_weeks(count, weeks, day)[::-1]
    with reading(db) as store:
        series = trend.read(store, measure, trend.Question(days[0], days[-1], venue, symbol), days, tiers)
        meant = symbols.meant(store, symbol) if symbol and not series else None
    if as_json:
        print_json(measure=measure, symbol=symbol, venue=venue, tiers=[each.entry() for each in series])
    elif series:
        click.echo(_text(measure, series))
    else:
        click.echo(f"No data. {symbols.hint(meant)}".rstrip())


def _text(measure: str, series: list[Trend]) -> str:
    from market_spine.cli import strips, table
    from market_spine.query.trend import MEASURES

    start = min(next(n for n, value in enumerate(each.values) if value is not None) for each in series)
    weeks, rows = series[0].weeks[start:], []
    for each in series:
        known = [value for value in each.values if value is not None]
        change = f"{(known[-1] - known[0]) / known[0]:+.1%}" if known[0] else ""
        ends = map(_figure, (known[0], known[-1], min(known), max(known)))
        rows.append((each.tier, strips.curve(each.values[start:]), *ends, change))
    head = f"{measure}: {MEASURES[measure].help}, weeks ending {weeks[0]} to {weeks[-1]}\n\n"
    if len(weeks) + _FIGURES <= (table.width() or len(weeks) + _FIGURES):
        return head + table.render(_COLUMNS, rows)
    return head + "\n".join(map(_in_two_lines, rows))


def _in_two_lines(row: tuple[object, ...]) -> str:
    """The curve, and the figures below it: where they have no room beside it."""
    from market_spine.cli import table

    tier, curve, first, last, least, largest, change = map(table.cell, row)
    return f"{tier:<12}{curve}\n    {first} → {last} ({change}), {least} to {largest}"


def _figure(value: float) -> float | int:
    return round(value) if value >= 100 else round(value, 4)
