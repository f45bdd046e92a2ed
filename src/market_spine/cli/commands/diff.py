"""`spine diff`: what a restatement changed."""

from __future__ import annotations

import contextlib
import csv
import io
from datetime import date
from typing import TYPE_CHECKING

import click

from market_spine.calendar.tiers import tier_of
from market_spine.cli.commands import complete_capture, complete_tier, complete_week, db_option, json_option, print_json, reading
from market_spine.cli.grammar import week_of
from market_spine.errors import InvalidWeek, UnknownTier
from market_spine.partition import check_tier

if TYPE_CHECKING:
    from market_spine.query.diff import Difference, Mover

_MOVERS = 10
_WINDOW_COLUMNS = ("window to", "weeks", "HHI before", "HHI after", "most moved", "share before", "share after")


def _as_week_or_capture(_ctx: click.Context, _param: click.Parameter, value: str) -> date | str:
    """The week, where the text is one; a date that is not a Friday is refused."""
    try:
        return week_of(value)
    except InvalidWeek:
        if value[:4].isdigit():
            raise
        return value


def _as_tier_or_capture(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    with contextlib.suppress(UnknownTier):
        return tier_of(value)
    return value


def _complete_first(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    return complete_week(ctx, param, begun) + complete_capture(ctx, param, begun)


def _complete_second(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
    return complete_tier(ctx, param, begun) + complete_capture(ctx, param, begun)


@click.command(
    "diff",
    epilog="""\b
Examples:
  spine diff 2025-12-26 OTC                              its last two captures
  spine diff OTC:2025-12-26:20260102 OTC:2025-12-26:20260109 --csv""",
)
@click.argument("first", metavar="CAPTURE|WEEK", callback=_as_week_or_capture, shell_complete=_complete_first)
@click.argument("tier", metavar="CAPTURE|TIER", callback=_as_tier_or_capture, shell_complete=_complete_second)
@click.option("--csv", "as_csv", is_flag=True, help="The changed rows, comma-separated.")
@db_option
@json_option
def command(first: date | str, tier: str, as_csv: bool, db: str, as_json: bool) -> None:
    """Compare two captures, or the last two of a partition: rows, shares, top movers, HHI and venue shares; and the
    windows of 6 and 13 weeks that this moved."""
    from market_spine.query import diff, history

    with reading(db) as store:
        if isinstance(first, date):
            before, after = history.last_two(store, first, check_tier(tier))
        else:
            before, after = history.find_capture(store, first), history.find_capture(store, tier)
        result = diff.compare(store, before, after)
    if as_json:
        print_json(**_document(result))
    elif as_csv:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([diff.ROW_COLUMNS, *map(diff.row_values, result.rows)])
        click.echo(buffer.getvalue(), nl=False)
    else:
        click.echo("\n".join(_lines(result)))


def _document(result: Difference) -> dict[str, object]:
    from market_spine.query import diff

    return {
        "before": result.before.entry(),
        "after": result.after.entry(),
        "counts": {kind: result.count(kind) for kind in (diff.ADDED, diff.REMOVED, diff.CHANGED)},
        "hhi": {"before": result.hhi_before, "after": result.hhi_after},
        "symbols": [{"symbol": mover.name, "moved": mover.moved} for mover in result.symbols],
        "venues": [
            {"venue": m.name, "moved": m.moved, "share_before": m.share_before, "share_after": m.share_after}
            for m in result.venues
        ],
        "windows": [window._asdict() for window in result.windows],
        "rows": [dict(zip(diff.ROW_COLUMNS, diff.row_values(row), strict=True)) for row in result.rows],
    }


def _lines(result: Difference) -> list[str]:
    from market_spine.cli import table
    from market_spine.query import diff

    before, after = result.before, result.after
    gained = (after.shares or 0) - (before.shares or 0)
    lines = [
        f"{before.capture_id} → {after.capture_id}",
        "",
        f"Rows:    {before.rows or 0:,} → {after.rows or 0:,} ({result.count(diff.ADDED):,} added, "
        f"{result.count(diff.REMOVED):,} removed, {result.count(diff.CHANGED):,} changed)",
        f"Shares:  {table.cell(before.shares)} → {table.cell(after.shares)} ({_signed(gained)})",
        f"HHI:     {table.cell(result.hhi_before)} → {table.cell(result.hhi_after)}",
    ]
    if result.symbols:
        lines += ["", table.render(("symbol", "shares moved"), [(m.name, _signed(m.moved)) for m in result.symbols[:_MOVERS]])]
        lines += _more(result.symbols)
    if result.venues:
        venues = [(m.name, _signed(m.moved), m.share_before, m.share_after) for m in result.venues[:_MOVERS]]
        lines += ["", table.render(("venue", "shares moved", "share before", "share after"), venues), *_more(result.venues)]
    lines += [] if result.rows else ["", "No differences."]
    return [*lines, "", table.render(_WINDOW_COLUMNS, result.windows)] if result.windows else lines


def _more(movers: tuple[Mover, ...]) -> list[str]:
    return [f"… and {len(movers) - _MOVERS:,} more: --json has them all"] if len(movers) > _MOVERS else []


def _signed(value: float) -> str:
    return f"{value:+,.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:+,}"
