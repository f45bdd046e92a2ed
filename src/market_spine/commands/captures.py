"""`spine captures`: what was captured when, and which capture is current."""

from __future__ import annotations

from datetime import date

import click

from market_spine.commands import as_tier, as_week, complete_tier, db_option, json_option, print_json, reading
from market_spine.partition import TIERS

_COLUMNS = ("capture", "captured at", "why", "stage", "rows", "shares", "hash", "state", "")


@click.command(
    "captures",
    epilog="""\b
Examples:
  spine captures 2025-12-26 OTC
  spine captures --json""",
)
@click.argument("week", required=False, callback=as_week)
@click.argument("tier", required=False, callback=as_tier, shell_complete=complete_tier)
@db_option
@json_option
def command(week: date | None, tier: str | None, db: str, as_json: bool) -> None:
    """List every capture: when, why, how far it came, rows, shares, hash, and whether it is current."""
    from market_spine import table
    from market_spine.ask import history

    with reading(db) as store:
        found = history.list_captures(store, week, (tier,) if tier else TIERS)
    if as_json:
        print_json(captures=[entry.entry() for entry in found])
        return
    rows = [
        (e.capture_id.partition(":")[2], e.captured_at[:16].replace("T", " "), e.reason, e.stage, e.rows, e.shares,
         e.content_hash[:8], e.state, _remark(e.pinned_as, e.withdrawn_reason))
        for e in found
    ]  # fmt: skip
    click.echo(table.render(_COLUMNS, rows))


def _remark(pinned_as: str | None, reason: str | None) -> str:
    return ", ".join([f"pinned as {pinned_as}"] * bool(pinned_as) + [reason] * bool(reason))  # type: ignore[list-item]
