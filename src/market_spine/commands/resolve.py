"""`spine resolve`: close an anomaly with a note."""

from __future__ import annotations

import click

from market_spine.cli_options import LARGEST_ID, Whole
from market_spine.commands import db_option, json_option, moment, print_json, run_date_option


@click.command("resolve", epilog='Example: spine resolve 17 --note "FINRA confirmed the figures"')
@click.argument("anomaly_id", type=Whole(1, LARGEST_ID), metavar="ID")
@click.option("--note", required=True, help="What became of it; kept with the anomaly, with your name.")
@run_date_option
@db_option
@json_option
def command(anomaly_id: int, note: str, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Close an anomaly. Most close themselves, once a later run of the same partition and stage goes well."""
    from market_spine.operate import operation, triage

    now, today = moment(run_date_text)
    with operation.changing(db, now) as store:
        closed = triage.resolve(store, anomaly_id, note, now)
    if as_json:
        print_json(anomaly={**closed.entry(), "state": closed.state(today)})
    else:
        click.echo(f"anomaly {closed.id} ({closed.category}, {closed.where}): resolved: {closed.resolution_note}")
