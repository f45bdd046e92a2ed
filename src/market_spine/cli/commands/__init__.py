"""The commands of `spine`, one group a file. Each module has a click command named `command`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from market_spine.app.source import SOURCES
from market_spine.calendar.tiers import tier_of
from market_spine.cli import grammar
from market_spine.cli.grammar import complete_anomaly, complete_capture, complete_run, complete_tier, complete_week
from market_spine.cli.options import DEFAULT_DATA_DIR, DEFAULT_DB, Whole, as_target
from market_spine.partition import TIERS, parse_day, weeks_back

if TYPE_CHECKING:
    from market_spine.app.context import Expectations
    from market_spine.app.source import Source
    from market_spine.calendar.publication import Calendar
    from market_spine.db import Database
    from market_spine.operate.follow import Changed
    from market_spine.operate.operation import Operation
    from market_spine.outcome import Outcome
    from market_spine.query.as_of import Known

__all__ = ["complete_anomaly", "complete_capture", "complete_run", "complete_tier", "complete_week"]

Command = TypeVar("Command", bound=Callable[..., Any])
SCHEMA_VERSION = 1
UNDONE = "Dry run: all of this was rolled back."

_INSPECT, _REPAIR, _QUEUE = "Inspect", "Repair", "Work queue"
_MAINTAIN, _SET_UP = "Maintain the database", "Set up and monitor"

# command → (task it belongs to in --help, module, one line)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "card": (_INSPECT, "market_spine.cli.commands.card", "This morning on one card: the same as spine alone."),
    "status": (_INSPECT, "market_spine.cli.commands.status", "Weeks × tiers, what blocks them, and the next command."),
    "runs": (_INSPECT, "market_spine.cli.commands.runs", "The runs: what they did and how they ended."),
    "trend": (_INSPECT, "market_spine.cli.commands.trend", "A measure over the weeks, as a curve."),
    "doctor": (_INSPECT, "market_spine.cli.commands.doctor", "Gaps: what is expected and missing, and how to fix it."),
    "anomalies": (_INSPECT, "market_spine.cli.commands.anomalies", "Anomalies: severity, state and message."),
    "rejects": (_INSPECT, "market_spine.cli.commands.rejects", "The lines of a partition that did not become rows."),
    "calendar": (_INSPECT, "market_spine.cli.commands.calendar", "Publication days: due dates, and what is due next."),
    "captures": (_INSPECT, "market_spine.cli.commands.captures", "Captures: when, why, rows, shares, current or not."),
    "raw": (_INSPECT, "market_spine.cli.commands.raw", "The stored content of a partition, byte for byte."),
    "log": (_INSPECT, "market_spine.cli.commands.log", "The story of a week: every change of state, in order."),
    "changes": (_INSPECT, "market_spine.cli.commands.changes", "Every change of state since a cursor."),
    "diff": (_INSPECT, "market_spine.cli.commands.diff", "What a restatement changed."),
    "query": (_INSPECT, "market_spine.cli.commands.query", "Query a view, now or as of a date."),
    "windows": (_INSPECT, "market_spine.cli.commands.windows", "The rolling windows that hold a week."),
    "vintages": (_INSPECT, "market_spine.cli.commands.vintages", "Every version of a row, and when it was known."),
    "report": (_INSPECT, "market_spine.cli.commands.report", "The pages of spine serve, written to files."),
    "export": (_INSPECT, "market_spine.cli.commands.export", "Export a view as hive-partitioned Parquet or CSV files."),
    "publish": (_INSPECT, "market_spine.cli.commands.publish", "Publish the views as one SQLite file for others to read."),
    "run": (_REPAIR, "market_spine.cli.commands.run", "Run one pipeline of one partition."),
    "rollback": (_REPAIR, "market_spine.cli.commands.rollback", "Withdraw the current capture of a week, or undo that."),
    "gates": (_INSPECT, "market_spine.cli.commands.gates", "What keeps a capture from becoming current, and why."),
    "hold": (_REPAIR, "market_spine.cli.commands.hold", "Keep the current capture of a week from being current."),
    "release": (_REPAIR, "market_spine.cli.commands.release", "Make a held capture current."),
    "import": (_REPAIR, "market_spine.cli.commands.import_", "Import weekly files under any name."),
    "backfill": (_REPAIR, "market_spine.cli.commands.backfill", "Capture a range of weeks, oldest first."),
    "retry": (_REPAIR, "market_spine.cli.commands.retry", "Repeat what failed in a run."),
    "raise": (_REPAIR, "market_spine.cli.commands.raise_", "Raise an anomaly; a CRITICAL one keeps a week from being ready."),
    "resolve": (_REPAIR, "market_spine.cli.commands.resolve", "Close an anomaly with a note."),
    "ack": (_REPAIR, "market_spine.cli.commands.ack", "Acknowledge an anomaly: no notifications until a day."),
    "work": (_QUEUE, "market_spine.cli.commands.work", "Enqueue, list, retry and cancel work items."),
    "worker": (_QUEUE, "market_spine.cli.commands.worker", "Execute queued work items."),
    "serve": (_QUEUE, "market_spine.cli.commands.serve", "Serve pages to look at, and the HTTP API."),
    "rebuild": (_MAINTAIN, "market_spine.cli.commands.rebuild", "Recompute everything from the stored content."),
    "verify": (_MAINTAIN, "market_spine.cli.commands.verify", "Check hashes, counts and sums of everything stored."),
    "audit": (_MAINTAIN, "market_spine.cli.commands.audit", "Check that the log of events is whole; print a checkpoint."),
    "prune": (_MAINTAIN, "market_spine.cli.commands.prune", "Remove old captures; a tombstone stays for each."),
    "pin": (_MAINTAIN, "market_spine.cli.commands.pin", "Name a capture and never prune it."),
    "help": (_SET_UP, "market_spine.cli.commands.help", "A runbook: what to do on Fridays, for a revision, for a gap."),
    "completion": (_SET_UP, "market_spine.cli.commands.completion", "Print the shell completion script."),
    "man": (_SET_UP, "market_spine.cli.commands.man", "The manual pages."),
    "db": (_MAINTAIN, "market_spine.cli.commands.db", "Create, migrate, copy and back up a database."),
    "preflight": (_SET_UP, "market_spine.cli.commands.preflight", "Check this machine before the first run."),
    "config": (_SET_UP, "market_spine.cli.commands.config", "Show every setting and its origin; create the file."),
    "notify": (_SET_UP, "market_spine.cli.commands.notify", "Test and send notifications."),
    "webhooks": (_SET_UP, "market_spine.cli.commands.webhooks", "Send the log of events to subscribers, signed."),
    "metrics": (_SET_UP, "market_spine.cli.commands.metrics", "Print, write or push Prometheus metrics."),
}

db_option = click.option(
    "--db",
    callback=as_target,
    default=DEFAULT_DB,
    show_default=True,
    envvar="MARKET_SPINE_DB",
    help="SQLite file or postgresql://user@host/name.",
)
json_option = click.option("--json", "as_json", is_flag=True, envvar="MARKET_SPINE_JSON", help="One JSON document on stdout.")
run_date_option = click.option(
    "--run-date",
    "run_date_text",
    envvar="MARKET_SPINE_RUN_DATE",
    help="Run as on this day, YYYY-MM-DD, instead of today in New York.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="List what would be done, change nothing.")
dataset_option = click.option(
    "--dataset", type=click.Choice(["otc_daily_list"]), help="FINRA's daily list of symbol changes instead of the weekly data."
)
reason_option = click.option("--reason", required=True, help="Reason, recorded in core_operator_actions.")


def source_options(command: Command) -> Command:
    """The source of a command that ingests: the same options as the weekly run."""
    for option in (
        click.option(
            "--keep-wire", is_flag=True, envvar="MARKET_SPINE_KEEP_WIRE", help="With --source api: keep the responses, too."
        ),
        click.option("--allow-links", is_flag=True, envvar="MARKET_SPINE_ALLOW_LINKS", help="Follow links out of the folder."),
        click.option(
            "--max-file-mb", type=Whole(1), default=512, show_default=True, envvar="MARKET_SPINE_MAX_FILE_MB",
            help="Largest file accepted, uncompressed.",
        ),
        click.option(
            "--data-dir", default=DEFAULT_DATA_DIR, show_default=True, envvar="MARKET_SPINE_DATA_DIR",
            help="Folder of {tier}_week_{week}.psv files.",
        ),
        click.option(
            "--source", type=click.Choice(list(SOURCES)), default="file", show_default=True,
            envvar="MARKET_SPINE_SOURCE", help="Where the data comes from.",
        ),
    ):
        command = option(command)
    return command


def calendar_options(command: Command) -> Command:
    """The publication calendar that decides what is late or missing: the same options as the weekly run."""
    for option in (
        click.option(
            "--grace-days", type=Whole(0, 3650), default=1, show_default=True, envvar="MARKET_SPINE_GRACE_DAYS",
            help="Days after publication day before late counts as missing.",
        ),
        click.option(
            "--calendar-file", envvar="MARKET_SPINE_CALENDAR_FILE", help="Special closures and moved publication days, in TOML."
        ),
    ):
        command = option(command)
    return command


def weeks_options(default: int) -> Callable[[Command], Command]:
    """Which weeks a command is about: the last N, or a list; `asked_weeks` takes their values."""

    def add(command: Command) -> Command:
        for option in (
            click.option(
                "--weeks", callback=as_count_or_weeks, shell_complete=complete_week,
                help="Weeks instead: Fridays, a list, a range FIRST..LAST, or latest.",
            ),
            click.option(
                "--last", "count", type=Whole(1, 1000), default=default, show_default=True, metavar="N", help="The last N weeks."
            ),
        ):
            command = option(command)
        return command

    return add


def asked_weeks(count: int, weeks: int | tuple[date, ...] | None, run_date: date) -> list[date]:
    """The weeks that weeks_options ask for, newest first; what is typed precedes what is set. Raises UsageError."""
    if grammar.takes_last(weeks) or weeks is None:
        return weeks_back(count, run_date)
    return weeks_back(weeks, run_date) if isinstance(weeks, int) else sorted(weeks, reverse=True)


def calendar_of(calendar_file: str | None) -> Calendar:
    """The calendar that --calendar-file names, else the exchange's. Raises ConfigurationError."""
    from market_spine.calendar.publication import EXCHANGE, read_calendar

    return read_calendar(calendar_file) if calendar_file else EXCHANGE


def expectations(calendar_file: str | None, grace_days: int) -> Expectations:
    """The values of calendar_options. Raises ConfigurationError."""
    from market_spine.app.context import Expectations

    return Expectations(calendar_of(calendar_file), grace_days)


def source_of(
    source: str, data_dir: str, max_file_mb: int, allow_links: bool, keep_wire: bool = False, *, file_url: str | None = None
) -> Source:
    """The source selected by source_options, or the file at `file_url`. Raises ConfigurationError."""
    from market_spine import clock
    from market_spine.app.source import CountsRows, SourceSettings, open_source
    from market_spine.cli.options import environment
    from market_spine.cli.progress import rows_received

    settings = SourceSettings(
        data_dir, max_file_mb << 20, allow_links, today=clock.market_date(), environ=environment(), keep_wire=keep_wire
    )
    if file_url is None:
        opened = open_source(source, settings)
        if isinstance(opened, CountsRows):
            opened.tell = rows_received()
        return opened
    from market_spine.app.source.url import UrlSource

    return UrlSource.at(file_url, settings)


def moment(run_date_text: str | None) -> tuple[datetime, date]:
    """Now and the run date: from the clock, or of a replayed day. Raises InvalidWeek."""
    from market_spine import clock

    if run_date_text is None:
        now = clock.utc_now()
        return now, clock.market_date(now)
    day = parse_day(run_date_text)
    return clock.moment_of(day), day


def complete_view(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Shell completion of a view."""
    from market_spine.query.views import VIEWS

    return [name for name in VIEWS if name.startswith(begun)]


def complete_pipeline(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Shell completion of a pipeline."""
    from market_spine.app.pipelines import PIPELINES
    from market_spine.partition import DOMAIN

    return [name for name in (f"{DOMAIN}.{short}" for short in PIPELINES) if name.startswith(begun)]


def as_week(_ctx: click.Context, _param: click.Parameter, value: str | None) -> date | None:
    """Callback of an option or argument that is a week's Friday, `YYYY-MM-DD` or `latest`."""
    return None if value is None else grammar.week_of(value)


def as_tier(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Callback of an option or argument that is a tier, in any case, or FINRA's name of it."""
    return None if value is None else tier_of(value)


def as_weeks(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[date, ...] | None:
    """Callback of an option that is a list of weeks, or a range."""
    return None if value is None else grammar.weeks_of(value)


def as_count_or_weeks(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | tuple[date, ...] | None:
    """The same, or, as it was once written, how many weeks."""
    return None if value is None else grammar.count_or_weeks(value)


def as_tiers(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Callback of an option that is a list of tiers; all of them where it is left out."""
    return TIERS if value is None else grammar.tiers_of(value)


def as_day(_ctx: click.Context, _param: click.Parameter, value: str | None) -> date | None:
    """Callback of an option that is a date."""
    return None if value is None else parse_day(value)


def as_of_option(command: Command) -> Command:
    """A past day."""
    help_line = "As known at the end of that day in New York, YYYY-MM-DD."
    return click.option("--as-of", callback=as_day, help=help_line)(command)


@contextlib.contextmanager
def reading(target: str) -> Iterator[Database]:
    """A read-only snapshot of the database. Raises ConfigurationError if it does not exist."""
    from market_spine.core.store import Mode, open_store

    with open_store(target, Mode.READ_ONLY) as db:
        yield db


def print_outcomes(outcomes: Iterable[Outcome]) -> None:
    """Prints one line per outcome, coloured on a terminal."""
    from market_spine.app import report
    from market_spine.cli import table

    for outcome in outcomes:
        mark = report.mark_of(outcome)
        click.echo(report.line(outcome).replace(f": {mark} ", f": {table.mark(mark)} ", 1))


def print_dry(outcomes: Iterable[Outcome]) -> None:
    """Prints what each outcome of a dry run would have been."""
    from market_spine.app import report

    for outcome in outcomes:
        click.echo(report.dry_line(outcome))
    click.echo("No database writes performed.")


def end_change(done: Operation, changed: Changed, as_json: bool, hint: str | None = None, **facts: object) -> NoReturn:
    """Prints what an operator's change did, `hint` last, and ends with its exit code."""
    if as_json:
        print_json(run_id=done.run.execution_id, **facts, changes=[c.entry() for c in changed.changes], **done.document())
    else:
        for change in changed.changes:
            click.echo(f"{change.partition}: {change.says}")
        print_outcomes(done.outcomes)
        if hint:
            click.echo(hint)
    raise click.exceptions.Exit(done.exit_code)


def print_next(outcomes: Iterable[Outcome], run_id: str | None = None) -> None:
    """Prints which failures need other content, and the `next:` line, if anything failed. `run_id` is a run to retry."""
    from market_spine.errors import NOT_OF_THE_CONTENT
    from market_spine.outcome import Phase, Status

    failed = [outcome for outcome in outcomes if outcome.status in (Status.FAILED, Status.HELD)]
    if not failed:
        return
    of_content = [o for o in failed if o.phase in (Phase.INGEST, Phase.NORMALIZE) and o.category not in NOT_OF_THE_CONTENT]
    if of_content:
        click.echo(f"needs other content from FINRA: {', '.join(f'{o.where} ({o.category})' for o in of_content[:3])}")
    click.echo(next_line(_next_command(failed, run_id)))


def _next_command(failed: Sequence[Outcome], run_id: str | None) -> str:
    """What to type after these failures."""
    from market_spine.errors import NOT_OF_THE_DAY
    from market_spine.operate import gaps
    from market_spine.outcome import Status

    first = failed[0]
    if all(outcome.status is Status.HELD for outcome in failed):
        return gaps.explain_command(first.week_ending, first.tier)
    if all(outcome.category in NOT_OF_THE_DAY for outcome in failed):  # the day keeps its content, whatever is repeated
        return f"spine captures {first.week_ending} {first.tier}"
    return f"spine retry {run_id}" if run_id else f"spine doctor --weeks {first.week_ending}"


def say_left_out(gone: Sequence[Known]) -> None:
    """Lists the captures whose rows were pruned, and exits with 1; does nothing where there are none."""
    if gone:
        names = ", ".join(f"{c.week} / {c.tier} (on {str(c.pruned_at)[:10]})" for c in gone)
        click.echo(f"Left out, rows pruned: {names}. Try: spine captures {gone[0].week} {gone[0].tier}", err=True)
        raise click.exceptions.Exit(1)


def next_line(command: str) -> str:
    """The `next:` line of a report."""
    return f"next: {pasteable(command)}"


_CARRIED = ("db", "source", "data_dir", "as_observed_on")


def pasteable(command: str) -> str:
    """The command with those of --db, --source, --data-dir and --as-observed-on that were given on this command line and that
    it has: the pasted command must use the same database and the same source."""
    context = click.get_current_context()
    names = [name for name in _CARRIED if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    return carrying(command, {f"--{name.replace('_', '-')}": str(context.params[name]) for name in names})


def carrying(command: str, given: Mapping[str, str]) -> str:
    """The command with those of these options that it has and does not name; a choice between two of them is left as it is."""
    import shlex

    from market_spine.db import redact

    words = command.split()
    taken = _options_of(words) if given and not any(word.endswith(",") for word in words) else set()
    for option in (option for option in given if option in taken and option not in words):
        command += f" {option} {shlex.quote(redact(given[option]) if option == '--db' else given[option])}"
    return command


def _options_of(words: Sequence[str]) -> set[str]:
    """The options of the command that these words run; none for one that is not ours."""
    from market_spine.cli import spine, weekly

    command: click.Command | None = {"spine": spine.command, weekly.command.name: weekly.command}.get(words[0])
    for word in words[1:]:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(click.Context(command), word)
    return {option for param in command.params for option in param.opts} if command else set()


def print_json(**document: object) -> None:
    """Prints one JSON document. A contract: `schema_version` changes with its shape."""
    click.echo(json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2, default=str))
