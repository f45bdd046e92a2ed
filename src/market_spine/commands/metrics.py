"""`spine metrics`: what Prometheus may know, printed, written or pushed."""

from __future__ import annotations

import click

from market_spine.cli_options import expected_by_option, metrics_textfile_option, pushgateway_option
from market_spine.commands import db_option, reading


@click.command(
    "metrics",
    epilog="""\b
Examples:
  spine metrics
  spine metrics --metrics-textfile /var/lib/node_exporter/market_spine.prom""",
)
@metrics_textfile_option
@pushgateway_option
@expected_by_option
@db_option
def command(metrics_textfile: str | None, pushgateway: str | None, expected_by: str, db: str) -> None:
    """Read the metrics of a database; print them, or write or push them where that is asked for."""
    from market_spine import clock
    from market_spine.watch import metrics, observers, readings
    from market_spine.watch.deadline import parse_deadline

    observers.check(observers.Watching(metrics_textfile=metrics_textfile or "-"))
    with reading(db) as store:
        samples = readings.take(store, clock.utc_now(), parse_deadline(expected_by))
    if metrics_textfile:
        metrics.write_textfile(metrics_textfile, samples)
    if pushgateway:
        metrics.push(pushgateway, samples)
    if not (metrics_textfile or pushgateway):
        click.echo(metrics.text(samples).decode(), nl=False)
