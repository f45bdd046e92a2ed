"""`spine changes`: every change of state since a cursor, as it was logged."""

from __future__ import annotations

import json

import click

from market_spine.cli.commands import db_option, json_option, print_json, reading
from market_spine.cli.options import Whole

_PAGE, _PAUSE = 1000, 1.0


@click.command(
    "changes",
    epilog="""\b
Examples:
  spine changes --since 0 --json
  spine changes --since 1200 --follow""",
)
@click.option("--since", type=Whole(0, 2**53), default=0, show_default=True, metavar="CURSOR", help="The last event seen.")
@click.option("--limit", type=Whole(1, 100_000), default=_PAGE, show_default=True, help="Show at most N events.")
@click.option("--follow", is_flag=True, help="Keep waiting for new events; one JSON object a line.")
@db_option
@json_option
def command(since: int, limit: int, follow: bool, db: str, as_json: bool) -> None:
    """Show what changed since an event, oldest first. The cursor is the number of the last event seen: none is missed and none
    comes twice, for events are numbered in the order of their commits.
    """
    from market_spine import clock
    from market_spine.query import changes

    while follow:
        with reading(db) as store:
            entries = changes.since(store, since, _PAGE)
        for entry in entries:
            click.echo(json.dumps(entry, ensure_ascii=False))
            since = int(entry["seq"])
        if not entries:
            clock.pause(_PAUSE)
    with reading(db) as store:
        entries = changes.since(store, since, limit)
    if as_json:
        print_json(events=entries, cursor=entries[-1]["seq"] if entries else since)
        return
    for entry in entries:
        click.echo("\n".join(changes.sentences(entry)))
