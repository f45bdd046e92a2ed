"""`spine metrics`: print, write or push Prometheus metrics."""

from __future__ import annotations

import click

from market_spine import config
from market_spine.cli.commands import calendar_of, calendar_options, db_option, reading
from market_spine.cli.options import expected_by_option, metrics_textfile_option, pushgateway_option
from market_spine.errors import ConfigurationError


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
@calendar_options
@db_option
def command(
    metrics_textfile: str | None, pushgateway: str | None, expected_by: str, calendar_file: str | None, grace_days: int, db: str
) -> None:
    """Print the metrics of a database, or write or push them with the options below."""
    from market_spine import clock
    from market_spine.monitor import metrics, observers, samples
    from market_spine.monitor.deadline import parse_deadline

    observers.check(observers.ObserverSettings(metrics_textfile=metrics_textfile or "-", pushgateway=pushgateway))
    calendar = calendar_of(calendar_file)
    with reading(db) as store:
        taken = samples.take(store, clock.utc_now(), parse_deadline(expected_by), calendar=calendar, grace_days=grace_days)
    try:
        if metrics_textfile:
            metrics.write_textfile(metrics_textfile, taken)
        if pushgateway:
            metrics.push(pushgateway, taken)
    except OSError as error:
        where = config.shown("pushgateway", getattr(error, "filename", None) or pushgateway or metrics_textfile)
        message = f"metrics could not be sent to {where}: {error}"
        raise ConfigurationError(message, hint="check --metrics-textfile and --pushgateway") from error
    if not (metrics_textfile or pushgateway):
        click.echo(metrics.text(taken).decode(), nl=False)
