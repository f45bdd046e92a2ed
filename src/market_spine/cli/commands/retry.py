"""`spine retry`: repeat what failed in a run, today."""

from __future__ import annotations

from typing import Any

import click

from market_spine.cli.commands import (
    calendar_options,
    complete_run,
    db_option,
    dry_run_option,
    expectations,
    json_option,
    moment,
    print_dry,
    print_json,
    print_next,
    print_outcomes,
    reading,
    run_date_option,
    source_of,
)
from market_spine.cli.options import acting_day, observer_settings, update_options


@click.command(
    "retry",
    epilog="""\b
Examples:
  spine retry
  spine retry 20260109T120000-1a2b3c4d""",
)
@click.argument("run_id", required=False, shell_complete=complete_run)
@click.option("--reason", default="retry", show_default=True, help="Reason, recorded in core_operator_actions.")
@dry_run_option
@calendar_options
@run_date_option
@update_options
@db_option
@json_option
def command(
    run_id: str | None, reason: str, dry_run: bool, calendar_file: str | None, grace_days: int, run_date_text: str | None,
    db: str, as_json: bool, **given: Any,
) -> None:
    """Repeat what failed in a run, by default the last that failed, today and with the same source.

    An unfinished run is repeated as a whole. A partition whose content was refused is fetched again first: FINRA may have
    replaced it. Archived files are loaded again under the day that --as-observed-on named.
    Exit 0: all well, 1: something failed, 2: everything failed.
    """
    from market_spine.core.timeline import Permits
    from market_spine.monitor import observers
    from market_spine.operate import operation, retry, runs

    watched = observers.UpdateObservers(observers.check(observer_settings(given)), db)
    with reading(db) as store:
        run_id = run_id or runs.last_failed(store, retry.REPEATABLE)
        failed = retry.find_failed(store, run_id)
    now, run_date = moment(acting_day(failed.as_observed_on, run_date_text))
    permits = Permits(past=bool(failed.as_observed_on))
    source = source_of(*failed.source) if failed.asks_source else None
    expected = expectations(calendar_file, grace_days)
    task = operation.Task(db, "retry", run_date, now, failed.repeated(), failed.limits, expected, failed.force, permits)
    with operation.foreseen(task) if dry_run else operation.operation(task, watched) as done:
        if not dry_run:
            operation.record_action(done.run.db, "retry", run_id, reason, now)
        done.outcomes = retry.repeat(done.run, source, failed, lambda outcome: None)
    if as_json:
        print_json(run_id=done.run.execution_id, dry_run=dry_run, retry_of=run_id, **done.document(), exit_code=done.exit_code)
    elif not failed.weeks:
        click.echo(f"Nothing failed in {run_id}.")
    elif dry_run:
        print_dry(done.outcomes)
    else:
        print_outcomes(done.outcomes)
        print_next(done.outcomes, done.run.execution_id)
    raise click.exceptions.Exit(done.exit_code)
