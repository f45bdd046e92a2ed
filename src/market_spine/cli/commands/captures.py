"""`spine captures`: list captures, and which one is current."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli.commands import as_tier, as_week, complete_tier, db_option, json_option, print_json, reading
from market_spine.partition import TIERS

_COLUMNS = ("capture", "captured at", "why", "stage", "rows", "shares", "hash", "state", "published", "revised", "")


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
    """List captures: when, why, stage, rows, shares, hash, whether current, and the dates FINRA gives most of its rows.

    With WEEK, every content of a capture that had several on one day is listed as well; spine raw prints it.
    """
    from market_spine.cli import table
    from market_spine.query import history, raw

    with reading(db) as store:
        captures = history.list_captures(store, week, (tier,) if tier else TIERS)
        contents = {e.capture_id: raw.list_contents(store, e.capture_id) for e in captures} if week else {}
    others = [content for of_capture in contents.values() if len(of_capture) > 1 for content in of_capture]
    if as_json:
        named = {capture_id: [content.entry() for content in several] for capture_id, several in contents.items()}
        print_json(captures=[entry.entry() | {"contents": named.get(entry.capture_id, [])} for entry in captures])
        return
    rows = [
        (e.capture_id.partition(":")[2], e.captured_at[:16].replace("T", " "), e.reason, e.stage, e.rows, e.shares,
         e.content_hash[:8], e.state, e.published_on, e.revised_on, _remark(e.pinned_as, e.withdrawn_reason))
        for e in captures
    ]
    click.echo(table.render(_COLUMNS, rows))
    if any(e.revised_on and not e.published_on for e in captures):
        click.echo("published is empty where a source gives no day of publication: the 8-column download has lastUpdateDate only")
    for content in others:
        click.echo(content.description())


def _remark(pinned_as: str | None, reason: str | None) -> str:
    return ", ".join([f"pinned as {pinned_as}"] * bool(pinned_as) + [reason] * bool(reason))  # type: ignore[list-item]
