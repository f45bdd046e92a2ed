"""`spine vintages`: every version of the rows of a partition."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import (
    as_tier,
    as_week,
    complete_tier,
    complete_week,
    db_option,
    json_option,
    print_json,
    reading,
    say_left_out,
)
from market_spine.errors import NotFound

if TYPE_CHECKING:
    from market_spine.query.vintages import Version

_SHOWN = 100
_COLUMNS = (
    "symbol", "venue", "shares", "trades", "published", "revised", "held from", "basis", "known from", "known to", "captures"
)
_LEAST = ("captures", "held from", "published", "basis", "trades")


@click.command(
    "vintages",
    epilog="""\b
Examples:
  spine vintages 2025-12-26 OTC --symbol BRK.B
  spine vintages 2025-12-26 NMS_TIER_1 --json""",
)
@click.argument("week", callback=as_week, shell_complete=complete_week)
@click.argument("tier", callback=as_tier, shell_complete=complete_tier)
@click.option("--symbol", help="One symbol, case-sensitive, as FINRA writes it.")
@db_option
@json_option
def command(week: date, tier: str, symbol: str | None, db: str, as_json: bool) -> None:
    """List every version of each row, and the days [known from, known to) on which it was known.

    basis: declared where FINRA dates the version (published, revised), observed where only our captures do (held from). Versions
    that only pruned captures had are gone: these captures are listed, exit 1.
    """
    from market_spine.query import as_of, vintages

    with reading(db) as store:
        of_partition = as_of.spells(store, [week], (tier,)).get((str(week), tier))
        if of_partition is None:
            raise NotFound(f"{week} / {tier} has no capture that ever was current", hint=f"spine captures {week} {tier}")
        partition = vintages.read_vintages(store, str(week), tier, of_partition, symbol)
    if as_json:
        pruned = [capture.capture_id for capture in partition.pruned]
        print_json(week_ending=partition.week, tier=tier, versions=[v.entry() for v in partition.versions], pruned=pruned)
    else:
        _print(partition.versions)
    say_left_out(partition.pruned)


def _print(versions: tuple[Version, ...]) -> None:
    from market_spine.cli import table

    rows = [
        (v.row.symbol, v.row.mpid or v.row.venue_name, v.row.total_shares, v.row.total_trades, v.row.published_on,
         v.row.revised_on, v.held_from, v.basis, v.known_from, v.known_to, ", ".join(name[-8:] for name in v.capture_ids))
        for v in versions[:_SHOWN]
    ]
    click.echo(table.render(_COLUMNS, rows, least=_LEAST))
    if len(versions) > _SHOWN:
        click.echo(f"… and {len(versions) - _SHOWN:,} more. Try: --symbol or --json", err=True)
