"""`spine ack`: acknowledge an anomaly."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli.commands import (
    as_day,
    complete_anomaly,
    db_option,
    json_option,
    moment,
    print_json,
    reason_option,
    run_date_option,
)
from market_spine.cli.options import LARGEST_ID, Whole


@click.command("ack", epilog='Example: spine ack 17 --until 2026-01-16 --reason "FINRA will send the file on Thursday"')
@click.argument("anomaly_id", type=Whole(1, LARGEST_ID), metavar="ID", shell_complete=complete_anomaly)
@click.option("--until", required=True, callback=as_day, help="Last day without notifications, YYYY-MM-DD.")
@reason_option
@run_date_option
@db_option
@json_option
def command(anomaly_id: int, until: date, reason: str, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Acknowledge an anomaly: it stays open, and no notifications are sent for it until that day."""
    from market_spine.operate import anomalies, operation

    now, today = moment(run_date_text)
    with operation.changing(db, now) as store:
        acknowledged = anomalies.acknowledge(store, anomaly_id, until, reason, now)
    if as_json:
        print_json(anomaly={**acknowledged.entry(), "state": acknowledged.state(today)})
    else:
        click.echo(f"anomaly {acknowledged.id} ({acknowledged.category}, {acknowledged.where}): {acknowledged.state(today)}")
