"""`spine resolve`: close an anomaly with a note."""

from __future__ import annotations

import click

from market_spine.cli.commands import complete_anomaly, db_option, json_option, moment, print_json, run_date_option
from market_spine.cli.options import LARGEST_ID, Whole


@click.command("resolve", epilog='Example: spine resolve 17 --note "FINRA confirmed the figures"')
@click.argument("anomaly_id", type=Whole(1, LARGEST_ID), metavar="ID", shell_complete=complete_anomaly)
@click.option("--note", required=True, help="Resolution, recorded with the anomaly and your user name.")
@run_date_option
@db_option
@json_option
def command(anomaly_id: int, note: str, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Close an anomaly. Most are closed automatically when a later run of the same partition and stage succeeds."""
    from market_spine.operate import anomalies, operation

    now, today = moment(run_date_text)
    with operation.changing(db, now) as store:
        closed = anomalies.resolve(store, anomaly_id, note, now)
    if as_json:
        print_json(anomaly={**closed.entry(), "state": closed.state(today)})
    else:
        click.echo(f"anomaly {closed.id} ({closed.category}, {closed.where}): resolved: {closed.resolution_note}")
