"""`spine ack`: keep an anomaly silent until a day."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli_options import LARGEST_ID, Whole
from market_spine.commands import as_day, db_option, json_option, moment, print_json, reason_option, run_date_option


@click.command("ack", epilog='Example: spine ack 17 --until 2026-01-16 --reason "FINRA will send the file on Thursday"')
@click.argument("anomaly_id", type=Whole(1, LARGEST_ID), metavar="ID")
@click.option("--until", required=True, callback=as_day, help="The last day of silence, YYYY-MM-DD.")
@reason_option
@run_date_option
@db_option
@json_option
def command(anomaly_id: int, until: date, reason: str, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Acknowledge an anomaly: it stays open, and notifications about it stay silent until that day."""
    from market_spine.operate import operation, triage

    now, today = moment(run_date_text)
    with operation.changing(db, now) as store:
        known = triage.acknowledge(store, anomaly_id, until, reason, now)
    if as_json:
        print_json(anomaly={**known.entry(), "state": known.state(today)})
    else:
        click.echo(f"anomaly {known.id} ({known.category}, {known.where}): {known.state(today)}")
