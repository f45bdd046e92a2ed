"""`spine card`, and `spine` alone: what is to be known this morning, on a card of at most twelve lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import (
    calendar_options,
    db_option,
    expectations,
    json_option,
    moment,
    pasteable,
    print_json,
    run_date_option,
)

if TYPE_CHECKING:
    from market_spine.operate.card import Card


@click.command(
    "card",
    epilog="""\b
Examples:
  spine
  spine --json
  spine card --run-date 2026-01-09""",
)
@calendar_options
@run_date_option
@db_option
@json_option
def command(calendar_file: str | None, grace_days: int, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Show the last run, how many weeks are ready, what is open in any week, what was restated in the last seven days, the next
    publication and the next command. The same as spine alone. Exit 0: nothing is open, 1: something is.
    """
    from market_spine.operate import card, operation

    now, run_date = moment(run_date_text)
    with operation.looking(db, run_date, now, expectations(calendar_file, grace_days)) as run:
        shown = card.read(run, "spine status")
    if as_json:
        print_json(**shown.entry())
    else:
        click.echo("\n".join(lines(shown)))
    raise click.exceptions.Exit(shown.exit_code)


def lines(shown: Card) -> list[str]:
    """The card, its command with the options of this command line; fitted to the terminal, but for the command."""
    from market_spine.cli import strips, table

    *facts, last = shown.lines(pasteable)
    limit = table.width()
    return [*map(strips.coloured, fitted(facts, limit) if limit else facts), last]


def fitted(facts: Sequence[str], limit: int) -> list[str]:
    """Lines no wider than `limit`. What is too long goes on below while the card has lines to spare, and is cut then."""
    import textwrap

    from market_spine.operate.card import LABEL, MOST_LINES

    spare, lines = MOST_LINES - 1 - len(facts), []
    for fact in facts:
        parts = textwrap.wrap(
            fact, limit, subsequent_indent=" " * LABEL, break_on_hyphens=False, max_lines=spare + 1, placeholder="…"
        )
        spare -= len(parts) - 1
        lines += parts
    return lines
