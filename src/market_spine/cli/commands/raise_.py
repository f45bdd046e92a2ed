"""`spine raise`: record what a person has noticed."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli.commands import (
    as_tier,
    as_week,
    complete_tier,
    complete_week,
    db_option,
    json_option,
    moment,
    pasteable,
    print_json,
    run_date_option,
)
from market_spine.core.anomalies import SEVERITIES


@click.command(
    "raise",
    epilog="""\\b
Examples:
  spine raise 2025-12-26 OTC --severity CRITICAL --reason "FINRA announced a faulty file"
  spine raise 2025-12-26 --severity WARN --reason "short week" """,
)
@click.argument("week", callback=as_week, shell_complete=complete_week)
@click.argument("tier", required=False, callback=as_tier, shell_complete=complete_tier)
@click.option(
    "--severity", required=True, type=click.Choice(SEVERITIES, case_sensitive=False),
    help="CRITICAL keeps the week from being ready.",
)
@click.option("--reason", required=True, help="What is wrong; the message of the anomaly.")
@run_date_option
@db_option
@json_option
def command(
    week: date, tier: str | None, severity: str, reason: str, run_date_text: str | None, db: str, as_json: bool
) -> None:
    """Raise an anomaly about a week, or a tier of it. A CRITICAL one keeps the week from being ready until it is resolved."""
    from market_spine.operate import anomalies, operation

    now, today = moment(run_date_text)
    with operation.changing(db, now) as store:
        raised = anomalies.raise_anomaly(store, week, tier, severity, reason, now)
    if as_json:
        print_json(anomaly={**raised.entry(), "state": raised.state(today)})
        return
    click.echo(f"anomaly {raised.id} ({raised.severity} {raised.category}, {raised.where}): {raised.message}")
    click.echo(f"to close it: {pasteable(anomalies.resolve_command(raised.id))}")
