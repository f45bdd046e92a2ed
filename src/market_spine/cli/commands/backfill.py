"""`spine backfill`: a range of weeks in one command."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import click

from market_spine.cli.commands import (
    as_tiers,
    as_week,
    calendar_options,
    complete_tier,
    db_option,
    expectations,
    json_option,
    moment,
    print_json,
    print_next,
    run_date_option,
    source_of,
    source_options,
)
from market_spine.cli.options import acting_day, observed_options, observer_settings, update_options

if TYPE_CHECKING:
    from market_spine.operate.backfill import WeekDone


@click.command(
    "backfill",
    epilog="""\b
Examples:
  spine backfill --from 2025-10-03 --to 2025-12-26
  spine backfill --from 2025-10-03 --to 2025-12-26 --tiers OTC --missing-only --source api""",
)
@click.option("--from", "first", required=True, callback=as_week, help="The first week's Friday, YYYY-MM-DD.")
@click.option("--to", "last", required=True, callback=as_week, help="The last week's Friday, YYYY-MM-DD.")
@click.option("--tiers", callback=as_tiers, shell_complete=complete_tier, help="Tiers, comma-separated; left out: every tier.")
@click.option("--missing-only", is_flag=True, help="Fetch only partitions that are not complete.")
@click.option("--force", is_flag=True, help="Ingest unchanged content, too.")
@click.option("--reason", default="backfill", show_default=True, help="Reason, recorded in core_operator_actions.")
@source_options
@calendar_options
@run_date_option
@observed_options
@update_options
@db_option
@json_option
def command(
    first: date, last: date, tiers: tuple[str, ...], missing_only: bool, force: bool, reason: str, calendar_file: str | None,
    grace_days: int, run_date_text: str | None, as_observed_on: str | None, allow_future: bool, db: str, as_json: bool,
    **given: Any,
) -> None:
    """Capture a range of weeks, oldest first. After an interruption, the same command resumes where it stopped.

    Exit 0 all well, 1 something failed, 2 everything failed.
    """
    from market_spine.core.store import Mode
    from market_spine.core.timeline import Permits
    from market_spine.monitor import observers
    from market_spine.operate import backfill, operation
    from market_spine.process import work_in_bulk

    work_in_bulk()
    watched = observers.UpdateObservers(observers.check(observer_settings(given)), db)
    now, run_date = moment(acting_day(as_observed_on, run_date_text))
    permits = Permits(past=bool(as_observed_on), future=allow_future)
    weeks = backfill.weeks_between(first, last)
    opened = source_of(**given)
    arguments = {"weeks": [str(week) for week in weeks], "tiers": list(tiers), "force": force, **given}
    ended: list[WeekDone] = []
    task = operation.Task(
        db, "backfill", run_date, now, arguments, expected=expectations(calendar_file, grace_days), force=force, permits=permits,
        mode=Mode.CREATE,
    )
    with operation.operation(task, watched) as done:
        operation.record_action(done.run.db, "backfill", f"{first} to {last}", reason, now)
        progress = _Progress(len(weeks), quiet=as_json)
        for week, result in backfill.backfill(done.run, opened, weeks, tiers, done.outcomes.append, missing_only=missing_only):
            ended.append(week)
            progress.show(week, bool(result))
    if as_json:
        print_json(run_id=done.run.execution_id, weeks=[week.entry() for week in ended], exit_code=done.exit_code)
    elif done.exit_code:
        print_next(done.outcomes, done.run.execution_id)
    raise click.exceptions.Exit(done.exit_code)


class _Progress:
    """Prints a line per week, with progress and remaining time."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        from market_spine import clock

        self._total, self._quiet, self._count, self._worked = total, quiet, 0, 0
        self._ticks = clock.ticks
        self._began = clock.ticks()

    def show(self, week: WeekDone, worked: bool) -> None:
        from market_spine.cli import table

        self._count += 1
        self._worked += worked
        if self._quiet:
            return
        mark = table.mark("✗" if week.failed else "✓" if not week.blocking else "⚠")
        parts = [("ingested", week.ingested), ("unchanged", week.skipped), ("awaiting", week.awaiting), ("failed", week.failed)]
        counts = ", ".join(f"{n} {name}" for name, n in parts if n) or "already complete"
        blocking = f"; not ready: {'; '.join(week.blocking)}" if week.blocking else "; ready" if worked else ""
        click.echo(f"{week.week}: {mark} {counts}{blocking}  [{self._count}/{self._total}{self._eta()}]")
        for failure in week.failures:
            click.echo(f"  {failure.tier or 'week'}: {failure.message}")

    def _eta(self) -> str:
        left = self._total - self._count
        if not left or not self._worked:
            return ""
        seconds = (self._ticks() - self._began) / self._worked * left
        return f", about {seconds:.0f} s left" if seconds < 100 else f", about {seconds / 60:.0f} min left"
