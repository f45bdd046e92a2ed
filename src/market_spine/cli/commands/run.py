"""`spine run`: run one pipeline on one partition."""

from __future__ import annotations

from datetime import date

import click

from market_spine.cli.commands import (
    as_tier,
    as_week,
    complete_pipeline,
    complete_tier,
    complete_week,
    db_option,
    json_option,
    moment,
    print_json,
    print_next,
    print_outcomes,
    run_date_option,
    source_of,
    source_options,
)
from market_spine.cli.grammar import old_options


@click.command(
    "run",
    epilog="""\b
Examples:
  spine run finra.otc_transparency.ingest_week 2025-12-26 OTC
  spine run finra.otc_transparency.compute_weekly_totals latest
\b
Pipelines: ingest_week, normalize_week, compute_venue_volume, compute_venue_share, compute_hhi (of a tier),
compute_tier_split, compute_weekly_totals (of a week).""",
)
@click.argument("pipeline", shell_complete=complete_pipeline)
@click.argument("week", required=False, callback=as_week, shell_complete=complete_week)
@click.argument("tier", required=False, callback=as_tier, shell_complete=complete_tier)
@old_options
@click.option("--force", is_flag=True, help="Ingest unchanged content, too; recompute existing measures.")
@click.option("--reason", default="run", show_default=True, help="Reason, recorded in core_operator_actions.")
@source_options
@run_date_option
@db_option
@json_option
def command(
    pipeline: str, week: date, tier: str | None, force: bool, reason: str, run_date_text: str | None, db: str, as_json: bool,
    **source: object,
) -> None:
    """Run one pipeline of WEEK, of one TIER or of every tier that is ready for it.

    A missing prerequisite is named with the command that creates it.

    Exit 0: all well, 1: something failed, 2: everything failed.
    """
    from market_spine.app import pipelines
    from market_spine.operate import operation

    now, run_date = moment(run_date_text)
    pipelines.find(pipeline)
    arguments = {"weeks": [str(week)], "tiers": [tier] if tier else [], "force": force}
    arguments |= source if pipelines.needs_source(pipeline) else {}
    with operation.operation(operation.Task(db, pipeline, run_date, now, arguments, force=force)) as done:
        operation.record_action(done.run.db, "run", f"{pipeline} {week}{f' / {tier}' if tier else ''}", reason, now)
        opened = source_of(**source) if pipelines.needs_source(pipeline) else None  # type: ignore[arg-type]
        done.outcomes = pipelines.run_pipeline(pipeline, done.run, opened, week, tier)
    if as_json:
        print_json(run_id=done.run.execution_id, pipeline=pipeline, **done.document(), exit_code=done.exit_code)
    else:
        print_outcomes(done.outcomes)
        print_next(done.outcomes, done.run.execution_id)
    raise click.exceptions.Exit(done.exit_code)
