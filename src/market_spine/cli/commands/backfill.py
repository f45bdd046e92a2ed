"""`spine backfill`: a range of weeks in one command."""

from __future__ import annotations

import shlex
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from market_spine.cli.commands import (
    as_tiers,
    as_week,
    as_weeks,
    calendar_options,
    complete_tier,
    complete_week,
    db_option,
    dry_run_option,
    expectations,
    json_option,
    moment,
    print_dry,
    print_json,
    print_next,
    run_date_option,
    source_of,
    source_options,
)
from market_spine.cli.options import Whole, acting_day, observed_options, observer_settings, update_options
from market_spine.errors import UsageError
from market_spine.partition import weeks_back

if TYPE_CHECKING:
    from market_spine.operate.backfill import WeekDone
    from market_spine.operate.operation import Operation
    from market_spine.work.item import Params


@click.command(
    "backfill",
    epilog="""\b
Examples:
  spine backfill --weeks 2025-10-03..2025-12-26
  spine backfill --weeks 2025-10-03..2025-12-26 --tiers OTC --missing-only --source api
  spine backfill --last 26 --dry-run
  spine backfill --last 26 --enqueue         for workers to do""",
)
@click.option("--weeks", callback=as_weeks, shell_complete=complete_week, help="Fridays, a list, or a range FIRST..LAST.")
@click.option("--last", "count", type=Whole(1, 5200), metavar="N", help="The last N weeks instead.")
@click.option("--from", "first", callback=as_week, hidden=True)
@click.option("--to", "last", callback=as_week, hidden=True)
@click.option("--tiers", callback=as_tiers, shell_complete=complete_tier, help="Tiers, comma-separated; left out: every tier.")
@click.option("--missing-only", is_flag=True, help="Fetch only partitions that are not complete.")
@click.option("--enqueue", is_flag=True, help="Only ask for it: an item for each partition, for workers.")
@click.option("--force", is_flag=True, help="Ingest unchanged content, too.")
@dry_run_option
@click.option("--reason", default="backfill", show_default=True, help="Reason, recorded in core_operator_actions.")
@source_options
@calendar_options
@run_date_option
@observed_options
@update_options
@db_option
@json_option
def command(
    weeks: tuple[date, ...] | None, count: int | None, first: date | None, last: date | None, tiers: tuple[str, ...],
    missing_only: bool, enqueue: bool, force: bool, dry_run: bool, reason: str, calendar_file: str | None, grace_days: int,
    run_date_text: str | None, as_observed_on: str | None, allow_future: bool, db: str, as_json: bool, **given: Any,
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
    now, run_date = moment(acting_day(as_observed_on, run_date_text, given["source"]))
    chosen = _weeks(weeks, count, first, last, run_date)
    if enqueue:
        return _enqueue(db, chosen, tiers, _params(run_date_text, as_observed_on, missing_only, force), as_json)
    opened = source_of(**given)
    ended: list[WeekDone] = []
    task = operation.Task(
        db, "backfill", run_date, now, {"weeks": [str(w) for w in chosen], "tiers": list(tiers), "force": force, **given},
        expected=expectations(calendar_file, grace_days), force=force,
        permits=Permits(past=bool(as_observed_on), future=allow_future), mode=Mode.CREATE,
    )
    with operation.foreseen(task) if dry_run else operation.operation(task, watched) as done:
        if not dry_run:
            operation.record_action(done.run.db, "backfill", f"{chosen[0]} to {chosen[-1]}", reason, now)
        progress = _Progress(len(chosen), quiet=as_json or dry_run)
        for week, result in backfill.backfill(done.run, opened, chosen, tiers, done.outcomes.append, missing_only=missing_only):
            ended.append(week)
            progress.show(week, bool(result))
    _print(done, ended, dry_run=dry_run, as_json=as_json)
    raise click.exceptions.Exit(done.exit_code)


def _print(done: Operation, ended: list[WeekDone], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        document = {"run_id": done.run.execution_id, "dry_run": dry_run, "weeks": [week.entry() for week in ended]}
        print_json(**document, exit_code=done.exit_code)
    elif dry_run:
        print_dry(done.outcomes)
    elif done.exit_code:
        print_next(done.outcomes, done.run.execution_id)


def _weeks(
    weeks: tuple[date, ...] | None, count: int | None, first: date | None, last: date | None, run_date: date
) -> list[date]:
    """The weeks that are named in one of the ways, oldest first. Raises UsageError."""
    from market_spine.operate.backfill import weeks_between

    ways = (weeks is not None, count is not None, first is not None or last is not None)
    if sum(ways) != 1 or (first is None) is not (last is None):
        raise UsageError("name the weeks in one way", hint="spine backfill --weeks 2025-10-03..2025-12-26")
    if first and last:
        return weeks_between(first, last)
    return sorted(weeks if weeks is not None else weeks_back(count or 1, run_date))


def _params(run_date_text: str | None, as_observed_on: str | None, missing_only: bool, force: bool) -> Params:
    """What the items are given. Raises UsageError for what only a backfill of this process can do."""
    from market_spine.work.item import Params

    if as_observed_on or missing_only:
        raise UsageError("--enqueue takes neither --as-observed-on nor --missing-only", hint="leave out --enqueue")
    return Params(moment(run_date_text)[1] if run_date_text else None, force)


def _enqueue(db: str, weeks: list[date], tiers: tuple[str, ...], params: Params, as_json: bool) -> None:
    """Asks for the partitions, and prints how many items are new and how many were open already."""
    from market_spine import clock
    from market_spine.core.store import Mode, open_store
    from market_spine.work import queue
    from market_spine.work.item import Answer

    with open_store(db, Mode.CREATE, clock.utc_now()) as store:
        answered = queue.enqueue(store, queue.backlog(weeks, tiers, params), store.now())
        label = store.label  # without a password
    asked = sum(one.answer is not Answer.EXISTING for one in answered)
    if as_json:
        print_json(enqueued=asked, open=len(answered) - asked)
        return
    click.echo(f"{asked} items enqueued, {len(answered) - asked} were open already")
    click.echo(f"Next: spine worker --db {shlex.quote(label)}")


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
