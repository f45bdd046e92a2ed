"""`run_finra_weekly_schedule`: the door for cron, operators and CI: checks options, calls one function, prints the answer."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

import click

from market_spine import __version__, log
from market_spine.app.source import SOURCES
from market_spine.cli_options import blame, config_option, environment, option_names, watch_options, watching
from market_spine.errors import Interrupted, LockLost, MarketSpineError, RunLocked
from market_spine.log import ProgressHandler
from market_spine.observers import Observers, Watching
from market_spine.partition import TIERS, parse_day, parse_tier_list, parse_week_list, weeks_back

if TYPE_CHECKING:
    from market_spine.app.scheduler import Plan, Result
    from market_spine.app.source import Source
    from market_spine.config import Settings
    from market_spine.db import Database
    from market_spine.outcome import Outcome
    from market_spine.run import Expectations, Run

DEFAULT_DB = "data/market_spine.db"
DEFAULT_DATA_DIR = "data/fixtures/finra_otc"

EPILOG = """\b
Examples:
  run_finra_weekly_schedule                                    the last six weeks, from files
  run_finra_weekly_schedule --weeks 2025-12-26 --tiers OTC --mode dry-run
  run_finra_weekly_schedule --run-date 2026-01-09 --db /var/lib/spine.db --json
\b
Exit codes: 0 all well, 1 some partitions failed, 2 critical (usage, configuration, database,
or every partition failed), 75 another run holds the lock, 130/143 interrupted."""


@dataclass(frozen=True, slots=True)
class Options:
    """The command's options, checked."""

    weeks: tuple[date, ...]
    sweeps: bool
    tiers: tuple[str, ...]
    source: str
    data_dir: str
    dry: bool
    force: bool
    only_stage: str
    db: str
    run_date: date
    now: datetime
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
    watching: Watching
    max_reject_percent: float
    min_kept_percent: float
    accept_shrink: bool
    max_file_mb: int
    allow_links: bool
    if_locked: str
    lock_wait: float
    lock_lease: float

    def as_arguments(self) -> dict[str, object]:
        """What core_executions keeps; the database is named without its password."""
        from market_spine.db import redact

        names = [name for name in self.__slots__ if name not in ("now", "watching")]
        facts = {name: getattr(self, name) for name in names}
        return {**facts, "db": redact(self.db), "weeks": [str(week) for week in self.weeks], "run_date": str(self.run_date)}


@click.command(context_settings={"auto_envvar_prefix": "MARKET_SPINE", "help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.option(
    "--lookback-weeks", type=int, default=6, show_default=True, help="Fridays to look at, counted back from the run date."
)
@click.option("--weeks", help="Week endings instead, YYYY-MM-DD,… (Fridays).")
@click.option("--tiers", default=",".join(TIERS), show_default=True, help="Tiers to look at, comma-separated.")
@click.option(
    "--source",
    type=click.Choice(list(SOURCES)),
    default="file",
    show_default=True,
    help="Where the data comes from.",
)
@click.option("--data-dir", default=DEFAULT_DATA_DIR, show_default=True, help="Folder of {tier}_week_{week}.psv files.")
@click.option("--mode", type=click.Choice(["run", "dry-run"]), default="run", show_default=True, help="dry-run writes nothing.")
@click.option("--force", is_flag=True, help="Ingest also what is unchanged.")
@click.option(
    "--only-stage",
    type=click.Choice(["ingest", "normalize", "calc", "all"]),
    default="all",
    show_default=True,
    help="One phase only.",
)
@click.option(
    "--db", default=DEFAULT_DB, show_default=True, help="SQLite file (made when missing) or postgresql://user@host/name."
)
@click.option("--run-date", help="Replay a day: YYYY-MM-DD instead of today in New York.")
@click.option("--ignore-calendar", is_flag=True, help="Treat every partition that is not there as missing, due or not.")
@click.option("--calendar-file", help="Special closures and moved publication days, in TOML.")
@click.option(
    "--grace-days",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Days after publication day before late is missing.",
)
@click.option(
    "--rehash-share", type=click.FloatRange(0, 1), default=0.25, show_default=True,
    help="Partitions hashed anew in each run though the source calls them unchanged.",
)  # fmt: skip
@click.option("--fail-fast", is_flag=True, help="Stop at the first failed partition.")
@click.option(
    "--max-reject-percent", type=click.FloatRange(0, 100), default=5, show_default=True, help="Rejected lines a file may have."
)
@click.option(
    "--min-kept-percent", type=click.FloatRange(0, 100), default=50, show_default=True,
    help="Rows and shares a restatement must keep of the current capture.",
)  # fmt: skip
@click.option("--accept-shrink", is_flag=True, help="Let a shrunken capture become current.")
@click.option("--max-file-mb", type=click.IntRange(1), default=512, show_default=True, help="Largest file taken, unpacked.")
@click.option("--allow-links", is_flag=True, help="Follow links that lead out of the data folder.")
@click.option(
    "--if-locked", type=click.Choice(["fail", "skip", "wait"]), default="fail", show_default=True,
    help="When another run holds the lock: exit 75, exit 0, or wait for it.",
)  # fmt: skip
@click.option(
    "--lock-lease", type=click.FloatRange(1), default=60, show_default=True, metavar="SECONDS",
    help="Silence after which others take this run for dead and its lock over.",
)  # fmt: skip
@click.option(
    "--lock-wait", type=click.FloatRange(0), default=3600, show_default=True, metavar="SECONDS", help="How long to wait for it."
)
@click.option("--json", "as_json", is_flag=True, envvar="MARKET_SPINE_JSON", help="One JSON document on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless something fails.")
@click.option("--cron", is_flag=True, help="One line on success; the whole log when something fails.")
@click.option("-v", "--verbose", is_flag=True, help="Say more, tracebacks included.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How stderr is written."
)
@watch_options
@click.version_option(__version__, "--version", prog_name="run_finra_weekly_schedule")
def command(**given: object) -> None:
    """Capture FINRA's weekly OTC Transparency data: ingest, normalize, calculate, judge readiness."""
    raise click.exceptions.Exit(run(check(given)))


def check(given: dict[str, object]) -> Options:
    """The options as values. Raises UsageError; nothing has been opened or written yet."""
    from market_spine import clock, observers

    run_date_text, weeks_text = given.pop("run_date"), given.pop("weeks")
    lookback, mode = given.pop("lookback_weeks"), given.pop("mode")
    now = clock.utc_now()
    watched = observers.check(watching(given))
    run_date = clock.market_date(now)
    if run_date_text:
        run_date = parse_day(str(run_date_text))
        now = clock.moment_of(run_date)
    weeks = parse_week_list(str(weeks_text)) if weeks_text else weeks_back(int(str(lookback)), run_date)
    tiers = parse_tier_list(str(given.pop("tiers")))
    return Options(
        weeks=tuple(weeks), sweeps=not weeks_text, tiers=tiers, dry=mode == "dry-run", run_date=run_date, now=now,
        watching=watched, **given,  # type: ignore[arg-type]
    )  # fmt: skip


def run(options: Options) -> int:
    """Carries out the command and answers its exit code."""
    handler = log.set_up(quiet=options.quiet, verbose=options.verbose, cron=options.cron, json_lines=options.log_format == "json")
    watch = Observers(Watching() if options.dry else options.watching, options.db)
    try:
        exit_code = _rehearse(options) if options.dry else _run(options, handler, watch)
    except BaseException as error:
        if options.if_locked == "skip" and isinstance(error, RunLocked) and not isinstance(error, LockLost):
            return _skipped(options, error)
        watch.crashed(error)
        log.release(handler)
        raise
    if exit_code:
        log.release(handler)
    return exit_code


def _run(options: Options, handler: logging.Handler, watch: Observers) -> int:
    from market_spine import clock, executions, report
    from market_spine.app.scheduler import Plan, run_schedule
    from market_spine.lock import run_lock
    from market_spine.store import open_store

    source, expected = _source(options), _expectations(options)
    plan = Plan(options.weeks, options.tiers, options.only_stage, options.fail_fast, options.sweeps)
    patience = options.lock_wait if options.if_locked == "wait" else 0
    with open_store(options.db, options.now) as db:
        run_ = _run_context(options, db, expected)
        with run_lock(db, run_.execution_id, wait_seconds=patience, lease_seconds=options.lock_lease):
            watch.began(run_, handler)
            arguments = options.as_arguments()
            with executions.recorded(db, run_.execution_id, "weekly_schedule", options.run_date, arguments, clock.utc_now):
                result = run_schedule(run_, source, plan, _teller(handler, plan, watch))
                document = report.document(result, run_, "run") | {"phase_seconds": watch.phase_seconds}
            executions.finish(db, run_.execution_id, result.exit_code, clock.utc_now(), outcomes=document)
        watch.ended(db, result.exit_code, report.summary(result))
    if isinstance(handler, ProgressHandler):
        handler.clear()
    _tell_result(options, result, document)
    return result.exit_code


def _skipped(options: Options, error: RunLocked) -> int:
    """--if-locked skip: the other run does the work, so there is nothing to do, which is success."""
    from market_spine import report

    if options.as_json:
        click.echo(json.dumps(report.skipped(error.message), indent=2))
    elif not options.quiet:
        click.echo(f"Skipped: {error.message}", err=True)
    return 0


def _tell_result(options: Options, result: Result, document: dict[str, object]) -> None:
    """The run's answer on stdout: the document, the summary, one line of it, or nothing."""
    from market_spine import report

    if options.as_json:
        click.echo(json.dumps(document, indent=2))
    elif result.exit_code or not (options.quiet or options.cron):
        click.echo(report.summary(result))
    elif not options.quiet:
        click.echo(report.one_line(result, options.run_date))


def _rehearse(options: Options) -> int:
    from market_spine import report
    from market_spine.app.rehearsal import rehearse
    from market_spine.app.scheduler import Plan
    from market_spine.store import open_for_reading

    source, expected = _source(options), _expectations(options)
    show = (lambda outcome: None) if options.as_json or options.quiet else (lambda outcome: click.echo(report.dry_line(outcome)))
    with open_for_reading(options.db, options.now) as db:
        run_ = _run_context(options, db, expected)
        plan = Plan(options.weeks, options.tiers, options.only_stage, sweeps=options.sweeps)
        result = rehearse(run_, source, plan, show)
        document = report.document(result, run_, "dry-run")
    if options.as_json:
        click.echo(json.dumps(document, indent=2))
    elif not options.quiet:
        click.echo(report.dry_summary(result))
    return result.exit_code


def _source(options: Options) -> Source | None:
    """The source the run asks; None when no phase needs one."""
    from market_spine import clock
    from market_spine.app.source import SourceSettings, open_source

    if options.only_stage not in ("ingest", "all"):
        return None
    settings = SourceSettings(
        options.data_dir, options.max_file_mb << 20, options.allow_links, today=clock.market_date(), environ=environment()
    )
    return open_source(options.source, settings)


def _run_context(options: Options, db: Database, expected: Expectations) -> Run:
    from market_spine import clock, executions
    from market_spine.run import Limits, Run

    limits = Limits(options.max_reject_percent / 100, options.min_kept_percent / 100, options.accept_shrink)
    execution_id = executions.new_execution_id(clock.utc_now())
    return Run(db, options.run_date, options.now, execution_id, limits=limits, force=options.force, expected=expected)


def _expectations(options: Options) -> Expectations:
    """What is to be there, by the calendar; raises ConfigurationError."""
    from market_spine.publication import EXCHANGE, read_calendar
    from market_spine.run import Expectations

    calendar = read_calendar(options.calendar_file) if options.calendar_file else EXCHANGE
    return Expectations(None if options.ignore_calendar else calendar, options.grace_days, options.rehash_share)


def _teller(handler: logging.Handler, plan: Plan, watch: Observers) -> Callable[[Outcome], None]:
    """Logs each outcome as it happens, and moves the bar where there is one."""
    from market_spine import report
    from market_spine.outcome import Phase, Status

    partitions, weeks = len(plan.partitions), len(plan.weeks)
    total = {Phase.INGEST: partitions, Phase.NORMALIZE: partitions, Phase.CALC: partitions + weeks, Phase.READINESS: weeks}
    levels = {Status.FAILED: logging.ERROR, Status.WARNING: logging.WARNING, Status.LATE: logging.WARNING}
    logger = logging.getLogger("market_spine")
    done: Counter[Phase] = Counter()

    def tell(outcome: Outcome) -> None:
        watch.tell(outcome)
        facts = {
            "event": "partition",
            "week": str(outcome.week_ending),
            "tier": outcome.tier,
            "stage": outcome.phase.value,
            "outcome": outcome.status.value,
        }
        logger.log(levels.get(outcome.status, logging.INFO), report.line(outcome), extra=facts)
        done[outcome.phase] += 1
        if isinstance(handler, ProgressHandler):
            handler.show(done[outcome.phase], total[outcome.phase], outcome.phase.value)

    return tell


def check_settings(settings: Settings) -> None:
    """Raises ConfigurationError for an entry of market_spine.toml that nobody reads."""
    from market_spine.config import RUN_TABLE
    from market_spine.spine_cli import COMMANDS

    settings.check(option_names(command), [RUN_TABLE, *COMMANDS])


config_option(command, "run_finra_weekly_schedule", check_settings)


def main(argv: list[str] | None = None) -> None:
    """The console script: every way out has its stated exit code and at most one line of explanation."""
    arguments = sys.argv[1:] if argv is None else argv
    sys.exit(guarded(command, arguments))


def guarded(group: click.Command, arguments: list[str]) -> int:
    """Runs a click command and answers its exit code; what goes wrong is said in one line, and as JSON where asked."""
    from market_spine import signals

    try:
        with signals.interruptible():
            return _carry_out(group, arguments)
    except (click.Abort, KeyboardInterrupt) as error:  # click makes an Abort of every KeyboardInterrupt
        cause = error if isinstance(error, Interrupted) else error.__cause__
        if isinstance(cause, Interrupted):
            return _say(cause.message, cause.hint, cause.exit_code, arguments)
        return _say("interrupted", None, 130, arguments)


def _carry_out(group: click.Command, arguments: list[str]) -> int:
    try:
        answer = group.main(arguments, standalone_mode=False)
        return answer if isinstance(answer, int) else 0
    except MarketSpineError as error:
        return _say(error.message, error.hint, error.exit_code, arguments)
    except click.Abort:
        raise
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "run_finra_weekly_schedule"
        return _say(blame(error), f"{where} --help", 2, arguments)
    except click.ClickException as error:
        return _say(error.format_message(), None, 2, arguments)
    except BrokenPipeError:
        return 141
    except Exception as error:
        logging.getLogger("market_spine").debug("crash", exc_info=True)
        return _say(f"unexpected {type(error).__name__}: {error}", "run again with -v and report the traceback", 2, arguments)


def _say(message: str, hint: str | None, exit_code: int, arguments: list[str]) -> int:
    one_line = " ".join(message.split())
    if log.speaks_json():
        facts = {"event": "error", "hint": hint, "exit_code": exit_code, "aloud": True}
        logging.getLogger("market_spine").error(one_line, extra=facts)
    else:
        click.echo(f"Error: {one_line}" + (f". Try: {hint}" if hint else ""), err=True)
    if "--json" in arguments:
        from market_spine import report

        click.echo(json.dumps(report.failure(one_line, hint, exit_code), indent=2))
    return exit_code


if __name__ == "__main__":
    main()
