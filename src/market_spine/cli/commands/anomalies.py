"""`spine anomalies`: list anomalies, or show one."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli.commands import (
    as_of_option,
    complete_anomaly,
    db_option,
    json_option,
    moment,
    next_line,
    print_json,
    run_date_option,
)
from market_spine.cli.grammar import chosen_weeks, listed_weeks_options
from market_spine.cli.options import LARGEST_ID, Whole, shape_of, table_options
from market_spine.core.anomalies import SEVERITIES
from market_spine.errors import UsageError
from market_spine.partition import weeks_back

_COLUMNS = ("id", "severity", "category", "where", "stage", "last seen", "times", "state", "message")
_LEAST = ("stage", "times", "last seen")


def as_severities(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Callback of --severity."""
    severities = tuple(part.strip().upper() for part in (value or ",".join(SEVERITIES)).split(","))
    unknown = next((part for part in severities if part not in SEVERITIES), None)
    if unknown is not None:
        raise UsageError(f"unknown severity {unknown!r}", hint=f"the severities are {', '.join(SEVERITIES)}")
    return severities


@click.group(
    "anomalies",
    invoke_without_command=True,
    epilog="""\b
Examples:
  spine anomalies --unresolved
  spine anomalies --severity ERROR,CRITICAL --weeks 2025-12-26 --json
  spine anomalies show 17""",
)
@click.option("--severity", "severities", callback=as_severities, help="INFO, WARN, ERROR, CRITICAL, comma-separated.")
@listed_weeks_options()
@click.option("--unresolved", is_flag=True, help="Only unresolved anomalies.")
@click.option("--limit", type=Whole(1), metavar="N", default=50, show_default=True, help="Show at most N, newest first.")
@table_options
@run_date_option
@as_of_option
@db_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, severities: tuple[str, ...], weeks: tuple[date, ...] | None, count: int | None, unresolved: bool,
    limit: int, columns: str | None, sort: str | None, top: int | None, run_date_text: str | None, as_of: date | None, db: str,
    as_json: bool,
) -> None:
    """List anomalies, newest first: severity, partition, how often seen, and state.

    With --as-of, those of a past day, without how often they had been seen by then.
    """
    if ctx.invoked_subcommand:
        return
    from market_spine.cli import table
    from market_spine.operate import anomalies, operation, status

    now, today = moment(str(as_of) if as_of else run_date_text)
    chosen = chosen_weeks(count, weeks, lambda n: weeks_back(n, today))
    with operation.looking_back(db, as_of) if as_of else operation.looking(db, today, now) as run:
        shown = anomalies.list_anomalies(run.db, severities, chosen or (), unresolved)
        first_open = next((a for a in shown if a.state(today) == "open" and a.severity in ("ERROR", "CRITICAL")), None)
        command = None if first_open is None else status.command_against(run, first_open)
    if as_json:
        print_json(total=len(shown), anomalies=[{**anomaly.entry(), "state": anomaly.state(today)} for anomaly in shown[:limit]])
        return
    rows = [
        (str(a.id), a.severity, a.category, a.where, a.stage, a.last_seen_at[:16].replace("T", " "), a.seen_count,
         a.state(today), a.message)
        for a in shown[:limit]
    ]
    shape = shape_of(columns, sort, top)
    table.show(table.render(*table.shaped(_COLUMNS, rows, shape), least=_LEAST) if rows else "No anomalies.")
    if len(shown) > limit:
        click.echo(f"… and {len(shown) - limit:,} older. Try: --limit {len(shown)}", err=True)
    if command is not None:
        click.echo(next_line(command))


@command.command("show", epilog="Example: spine anomalies show 17")
@click.argument("anomaly_id", type=Whole(1, LARGEST_ID), metavar="ID", shell_complete=complete_anomaly)
@run_date_option
@db_option
@json_option
def show(anomaly_id: int, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Show one anomaly: everything that was recorded about it, and the command against it."""
    from market_spine.operate import anomalies, operation, status

    now, today = moment(run_date_text)
    with operation.looking(db, today, now) as run:
        anomaly = anomalies.find(run.db, anomaly_id)
        details = anomalies.details_of(run.db, anomaly_id)
        next_command = status.command_against(run, anomaly) if anomaly.state(today) == "open" else None
    facts = {**anomaly.entry(), "state": anomaly.state(today)}
    if as_json:
        print_json(anomaly=facts, details=details, next=next_command)
        return
    shown = facts | {name: value for name, value in details.items() if name != "hint"}
    width = max(map(len, shown)) + 2
    click.echo("\n".join(f"{name.replace('_', ' ') + ':':<{width}}{value}" for name, value in shown.items() if value is not None))
    if next_command is not None:
        click.echo(next_line(next_command))
