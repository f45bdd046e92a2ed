"""`spine retry`: repeat what failed in a run, today."""

from __future__ import annotations

from typing import Any

import click

from market_spine.cli.commands import (
    calendar_options,
    db_option,
    expectations,
    json_option,
    moment,
    print_json,
    run_date_option,
    say_next,
    say_outcomes,
    source_of,
)
from market_spine.cli.options import update_options, watching


@click.command("retry", epilog="Example: spine retry 20260109T120000-1a2b3c4d")
@click.argument("run_id")
@click.option("--reason", default="retry", show_default=True, help="Reason, recorded in core_operator_actions.")
@calendar_options
@run_date_option
@update_options
@db_option
@json_option
def command(
    run_id: str, reason: str, calendar_file: str | None, grace_days: int, run_date_text: str | None, db: str, as_json: bool,
    **watch: Any,
) -> None:  # fmt: skip
    """Repeat what failed in a run, today and with the same source; an unfinished run is repeated as a whole.

    A partition whose content was refused is fetched again first: FINRA may have replaced it.
    """
    from market_spine.app.context import Limits
    from market_spine.cli.commands import reading
    from market_spine.monitor import observers
    from market_spine.operate import operation, retry

    watched = observers.check(watching(watch))
    now, run_date = moment(run_date_text)
    with reading(db) as store:
        asked = retry.find_failed(store, run_id)
    given = asked.arguments
    limits = Limits(
        given.get("max_reject_percent", 5) / 100, given.get("min_kept_percent", 50) / 100, given.get("accept_shrink", False)
    )
    needs_source = any(failed.asks_source for failed in asked.weeks.values())
    source = source_of(
        given.get("source", "file"), given.get("data_dir", ""), given.get("max_file_mb", 512), given.get("allow_links", False)
    ) if needs_source else None  # fmt: skip
    expected = expectations(calendar_file, grace_days)
    arguments = {**given, "retry_of": run_id, "weeks": [str(week) for week in asked.weeks]}
    with operation.execution(
        db, "retry", run_date, now, arguments, limits=limits, expected=expected, force=bool(given.get("force"))
    ) as (run, outcomes):
        operation.record_action(run.db, "retry", run_id, reason, now)
        outcomes += retry.repeat(run, source, asked, lambda outcome: None)
    observers.Observers(watched, db, expected=expected).updated(run.execution_id)
    if as_json:
        print_json(
            run_id=run.execution_id, retry_of=run_id, **operation.document(outcomes), exit_code=operation.exit_code(outcomes)
        )
    elif not asked.weeks:
        click.echo(f"Nothing failed in {run_id}.")
    else:
        say_outcomes(outcomes)
        say_next(outcomes, run.execution_id)
    raise click.exceptions.Exit(operation.exit_code(outcomes))
