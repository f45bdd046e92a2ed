"""What `run_finra_weekly_schedule` does once its options are checked: the run or the dry run, its log and its result."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from market_spine import log
from market_spine.errors import ConfigurationError, DatabaseError, LockLost, RunLocked
from market_spine.log import ProgressHandler
from market_spine.monitor.observers import Observers, ObserverSettings

if TYPE_CHECKING:
    from market_spine.app.context import Expectations, Run
    from market_spine.app.daily_list import Taken
    from market_spine.app.journal import Line
    from market_spine.app.plan import Plan
    from market_spine.app.report import Facts
    from market_spine.app.scheduler import Result
    from market_spine.app.source import Source
    from market_spine.core.timeline import Permits
    from market_spine.operate.operation import Task
    from market_spine.outcome import Outcome


class Options(NamedTuple):
    """The command's options, checked."""

    weeks: tuple[date, ...]
    sweeps: bool
    open_weeks: int
    tiers: tuple[str, ...]
    source: str
    data_dir: str
    dry: bool
    force: bool
    only_stage: str
    db: str
    run_date: date
    now: datetime
    as_observed: bool
    allow_future: bool
    ignore_calendar: bool
    calendar_file: str | None
    grace_days: int
    rehash_share: float
    fail_fast: bool
    as_json: bool
    quiet: bool
    verbose: bool
    cron: bool
    log_format: str
    observer_settings: ObserverSettings
    max_reject_percent: float
    min_kept_percent: float
    accept_shrink: bool
    max_file_mb: int
    allow_links: bool
    keep_wire: bool
    daily_list: bool
    if_locked: str
    lock_wait: float
    lock_lease: float

    @property
    def permits(self) -> Permits:
        """Which days other than today the run may act on."""
        from market_spine.core.timeline import Permits

        return Permits(past=self.as_observed, future=self.allow_future)

    def as_arguments(self) -> dict[str, object]:
        """The arguments recorded in core_executions; the database is named without its password."""
        from market_spine.db import redact

        names = [name for name in self._fields if name not in ("now", "observer_settings")]
        facts = {name: getattr(self, name) for name in names}
        return {**facts, "db": redact(self.db), "weeks": [str(week) for week in self.weeks], "run_date": str(self.run_date)}


def run(options: Options) -> int:
    """Runs the command and returns its exit code."""
    handler = log.set_up(quiet=options.quiet, verbose=options.verbose, cron=options.cron, json_lines=options.log_format == "json")
    observers = Observers(ObserverSettings() if options.dry else options.observer_settings, options.db, handler)
    try:
        exit_code = _dry_run(options) if options.dry else _run(options, handler, observers)
    except BaseException as error:
        if options.if_locked == "skip" and isinstance(error, RunLocked) and not isinstance(error, LockLost):
            return _skipped(options, error)
        observers.crashed(error)
        log.release(handler)
        raise
    if exit_code:
        log.release(handler)
    return exit_code


def _run(options: Options, handler: logging.Handler, observers: Observers) -> int:
    from market_spine.app import report
    from market_spine.app.scheduler import run_schedule
    from market_spine.operate.operation import operation
    from market_spine.process import work_in_bulk

    work_in_bulk()
    plan = _plan(options)
    source = _opened(options, plan, observers)
    with operation(_task(options), observers) as done:
        narrator = _Narrator(handler, plan, observers, options)
        result = run_schedule(done.run, source, plan, narrator.log)
        narrator.finish()
        listed = _daily_list(options, done.run, source)
        facts = _facts(done.run, result, observers.phase_seconds if options.verbose else {})
        document = report.document(result, done.run, "run", facts) | {"phase_seconds": observers.phase_seconds, **_entry(listed)}
        done.outcomes, done.asked = result.outcomes, result.plan.partitions
        done.report, done.summary = document, report.summary(result, facts)
    if options.cron and not (options.as_json or options.quiet):
        _print_card(options, report.one_line(result, facts))
    if result.exit_code or isinstance(handler, ProgressHandler):
        log.release(handler)  # before the summary on stdout
    summary = report.summary(result, facts._replace(checkpoint=done.checkpoint))
    _print_result(options, result, document | {"checkpoint": done.checkpoint}, summary)
    return done.exit_code


def _opened(options: Options, plan: Plan, observers: Observers) -> Source | None:
    """The source. By hand, one that cannot be opened is a mistake that leaves nothing behind. A scheduled run whose folder is not
    mounted, or whose credential is wrong, has requested its weeks all the same: none is forgotten if it was the first."""
    from market_spine.app import coverage
    from market_spine.operate.operation import operation

    try:
        return _source(options)
    except ConfigurationError:
        if options.cron and plan.sweeps:
            with operation(_task(options), observers) as done:
                coverage.record(done.run, plan)
                raise
        raise


def _facts(run: Run, result: Result, seconds: Mapping[str, float]) -> Facts:
    """What is known once the phases are done."""
    from market_spine.app.report import Facts
    from market_spine.cli.commands import pasteable
    from market_spine.core import anomalies
    from market_spine.operate import status, status_grid
    from market_spine.outcome import Phase
    from market_spine.query import restatements

    weeks = status_grid.read(run, result.plan.all_weeks)
    taken = [o.capture_id for o in result.of(Phase.NORMALIZE) if o.rows is not None and o.capture_id]
    command = (status.next_command(weeks) or "spine retry") if result.exit_code else None
    return Facts(
        {state.value: count for state, count in status_grid.tally(weeks).items()}, anomalies.observed_at(run.db, run.stamp),
        restatements.taken_in(run.db, taken), pasteable(command) if command else None, seconds,
    )


def _print_card(options: Options, line: str) -> None:
    """The card, at the head of what cron mails; the run's one line where it cannot be read any more."""
    from market_spine.cli.commands.card import lines
    from market_spine.operate import card, operation

    try:
        with operation.looking(options.db, options.run_date, options.now, expectations(options)) as run:
            text = "\n".join(lines(card.read(run)))
    except DatabaseError:
        text = f"{options.run_date}: {line}"
    click.echo(text)


def _skipped(options: Options, error: RunLocked) -> int:
    """--if-locked skip: the other run does the work, so this one ends with exit code 0."""
    from market_spine.app import report

    if options.as_json:
        click.echo(json.dumps(report.skipped(error.message), indent=2))
    elif not options.quiet:
        click.echo(f"Skipped: {error.message}", err=True)
    return 0


def _print_result(options: Options, result: Result, document: dict[str, object], summary: str) -> None:
    """The run's result on stdout: the document, the summary, or nothing."""
    if options.as_json:
        click.echo(json.dumps(document, indent=2))
    elif result.exit_code or not (options.quiet or options.cron):
        click.echo(summary)


def _dry_run(options: Options) -> int:
    from market_spine import clock
    from market_spine.app import report
    from market_spine.app.journal import Journal
    from market_spine.app.scheduler import run_schedule
    from market_spine.core.store import open_for_dry_run
    from market_spine.core.timeline import check_day
    from market_spine.operate.operation import run_of

    source, task = _source(options), _task(options)
    silent = options.as_json or options.quiet
    journal = Journal(expectations(options).calendar, folds=not options.verbose)
    if not silent:
        click.echo(report.dry_weeks(options.weeks))

    def show(outcome: Outcome) -> None:
        for line in () if silent else journal.lines(outcome):
            _echo_dry(line)

    with open_for_dry_run(options.db) as db:
        check_day(db, options.run_date, clock.market_date(clock.utc_now()), options.permits)
        run_ = run_of(task, db, dry=True)
        result = run_schedule(run_, source, _plan(options), show)
        listed = _daily_list(options, run_, source)
        document = report.document(result, run_, "dry-run") | _entry(listed)
    for line in journal.rest():
        _echo_dry(line)
    if options.as_json:
        click.echo(json.dumps(document, indent=2))
    elif not options.quiet:
        click.echo("".join(f"{report.dry_daily_list(taken)}\n" for taken in [listed] if taken) + report.dry_summary(result))
    return result.exit_code


def _echo_dry(line: Line) -> None:
    """A line about an outcome, or about several that only wait; headings are for a run."""
    from market_spine.app import report

    if line.outcome is not None:
        click.echo(report.dry_line(line.outcome))
    elif not line.is_heading:
        click.echo(f"[DRY-RUN] {line.text}")


def _daily_list(options: Options, run: Run, source: Source | None) -> Taken | None:
    """Captures FINRA's daily list; None where it is not asked for: turned off, from another source, or under a past day."""
    from market_spine.app.source import ListsDaily

    if not options.daily_list or options.as_observed or not isinstance(source, ListsDaily):
        return None
    from market_spine.app import daily_list, report
    from market_spine.outcome import Status

    taken = daily_list.take(run, source)
    if not run.dry:
        facts = {"event": "daily_list", "day": str(taken.day), "outcome": taken.status.value}
        level = logging.WARNING if taken.status is Status.WARNING else logging.INFO
        logging.getLogger("market_spine").log(level, report.daily_list_line(taken), extra=facts)
    return taken


def _entry(listed: Taken | None) -> dict[str, object]:
    return {"daily_list": listed.entry() if listed else None}


def _plan(options: Options) -> Plan:
    from market_spine.app.plan import Plan, phases_of

    phases = phases_of(options.only_stage)
    return Plan(options.weeks, options.tiers, phases, options.fail_fast, options.sweeps, open_weeks=options.open_weeks)


def _source(options: Options) -> Source | None:
    """The source of the run; None when no phase needs one."""
    from market_spine.app.plan import phases_of
    from market_spine.cli.commands import source_of
    from market_spine.outcome import Phase

    if Phase.INGEST not in phases_of(options.only_stage):
        return None
    return source_of(options.source, options.data_dir, options.max_file_mb, options.allow_links, options.keep_wire)


def _task(options: Options) -> Task:
    from market_spine.app.context import Limits
    from market_spine.core.store import Mode
    from market_spine.operate.operation import Task

    limits = Limits(options.max_reject_percent / 100, options.min_kept_percent / 100, options.accept_shrink)
    return Task(
        options.db, "weekly_schedule", options.run_date, options.now, options.as_arguments(), limits=limits,
        expected=expectations(options), force=options.force, permits=options.permits, mode=Mode.CREATE,
        lock_wait=options.lock_wait if options.if_locked == "wait" else 0, lock_lease=options.lock_lease,
    )


def expectations(options: Options) -> Expectations:
    """What the calendar expects. Raises ConfigurationError."""
    from market_spine.app.context import Expectations
    from market_spine.cli.commands import calendar_of

    calendar = calendar_of(options.calendar_file)
    return Expectations(None if options.ignore_calendar else calendar, options.grace_days, options.rehash_share)


class _Narrator:
    """Logs each outcome as it happens, and updates the progress bar if there is one."""

    def __init__(self, handler: logging.Handler, plan: Plan, observers: Observers, options: Options) -> None:
        from market_spine.app.journal import Journal
        from market_spine.outcome import Phase

        partitions, weeks = len(plan.partitions), len(plan.weeks)
        self._total = {
            Phase.INGEST: partitions, Phase.NORMALIZE: partitions, Phase.CALC: partitions + weeks, Phase.READINESS: weeks,
        }
        folds = options.log_format == "text" and not options.verbose
        self._journal = Journal(expectations(options).calendar, folds, explains=options.verbose)
        self._handler, self._observers = handler, observers
        self._done: Counter[Phase] = Counter()

    def log(self, outcome: Outcome) -> None:
        self._observers.progressed(outcome)
        for line in self._journal.lines(outcome):
            _write(line)
        phase, done = outcome.phase, self._done
        done[phase] += 1
        if isinstance(self._handler, ProgressHandler):
            self._handler.show(done[phase], max(done[phase], self._total[phase]), phase.value)

    def finish(self) -> None:
        """Logs what the journal still keeps."""
        for line in self._journal.rest():
            _write(line)


def _write(line: Line) -> None:
    """A line about an outcome has its facts."""
    outcome = line.outcome
    facts: dict[str, object] = {"event": "phase"}
    if outcome is not None:
        facts = {
            "event": "partition", "week": str(outcome.week_ending), "tier": outcome.tier, "stage": outcome.phase.value,
            "outcome": outcome.status.value,
        }
    logging.getLogger("market_spine").log(line.level, line.text, extra=facts)
