"""`spine rejects`: the lines of a partition that did not become rows."""

from __future__ import annotations

from collections import Counter
from datetime import date

import click

from market_spine.cli.commands import as_tier, as_week, complete_tier, complete_week, db_option, json_option, print_json, reading
from market_spine.cli.options import Whole
from market_spine.errors import NotFound, UsageError

_COLUMNS = ("line", "reason", "content")


@click.command(
    "rejects",
    epilog="""\\b
Examples:
  spine rejects 2025-12-26 OTC
  spine rejects 2025-12-26 OTC --capture 20260109 --json""",
)
@click.argument("week", callback=as_week, shell_complete=complete_week)
@click.argument("tier", callback=as_tier, shell_complete=complete_tier)
@click.option("--capture", "name", help="Capture id, its end, or a pin; default: the newest.")
@click.option("--limit", type=Whole(1), metavar="N", default=50, show_default=True, help="Show at most N lines.")
@db_option
@json_option
def command(week: date, tier: str, name: str | None, limit: int, db: str, as_json: bool) -> None:
    """List the rejected lines of a capture with their number and reason; of more than 1,000 only the first are kept."""
    from market_spine.cli import table
    from market_spine.query import history, rejects

    with reading(db) as store:
        entries = history.list_captures(store, week, (tier,))
        if not entries:
            raise NotFound(f"{week} / {tier} has no capture", hint=f"spine captures {week}")
        capture = history.find_capture(store, name) if name else entries[-1]
        if (capture.week, capture.tier) != (str(week), tier):
            raise UsageError(f"{capture.capture_id} is not of {week} / {tier}", hint=f"spine captures {week} {tier}")
        listed = rejects.list_rejects(store, capture.capture_id)
    if as_json:
        print_json(capture=capture.capture_id, total=len(listed), rejects=[reject._asdict() for reject in listed[:limit]])
        return
    if not listed:
        click.echo(f"{capture.capture_id}: no rejected lines")
        return
    counts = ", ".join(f"{count:,} × {reason}" for reason, count in Counter(r.reason for r in listed).most_common())
    click.echo(f"{capture.capture_id}: {counts}")
    click.echo(table.render(_COLUMNS, [(str(r.line_number), r.reason, r.line) for r in listed[:limit]]))
    if len(listed) > limit:
        click.echo(f"… and {len(listed) - limit:,} more. Try: --limit {len(listed)}", err=True)
