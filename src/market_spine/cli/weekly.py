"""`run_finra_weekly_schedule`, for cron, operators and CI: checks options, calls one function, prints its result."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from market_spine import __version__
from market_spine.app.plan import OPEN_WEEKS
from market_spine.cli.commands import COMMANDS, calendar_options, db_option, json_option, run_date_option, source_options
from market_spine.cli.exit import guarded
from market_spine.cli.grammar import LATEST, complete_tier, complete_week, tiers_of, weeks_of
from market_spine.cli.options import (
    Number,
    Whole,
    acting_day,
    config_option,
    observed_options,
    observer_options,
    observer_settings,
    option_names,
    show_variables,
)
from market_spine.cli.quiet_exit import end_at_signal
from market_spine.cli.weekly_run import Options, run
from market_spine.errors import UsageError
from market_spine.partition import TIERS, parse_day, weeks_back

if TYPE_CHECKING:
    from market_spine.config import Settings

EPILOG = """\b
Examples:
  run_finra_weekly_schedule                                    the last six weeks, from files
  run_finra_weekly_schedule --weeks 2025-12-26 --tiers OTC --mode dry-run
  run_finra_weekly_schedule --run-date 2026-01-09 --db /var/lib/spine.db --json
\b
Exit codes: 0 all well, 1 some partitions failed, 2 critical (usage, configuration, database,
or every partition failed), 75 another run holds the lock, 130/143 interrupted, 141 broken pipe."""


@click.command(
    "run_finra_weekly_schedule",
    context_settings={"auto_envvar_prefix": "MARKET_SPINE", "help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
@click.option(
    "--lookback-weeks", "--last", "lookback_weeks", type=Whole(1, 5200), default=6, show_default=True,
    help="Number of weeks, counted back from the run date.",
)
@click.option(
    "--open-weeks", type=Whole(0, 5200), default=OPEN_WEEKS, show_default=True,
    help="Weeks before these in which a missing partition is still fetched.",
)
@click.option("--weeks", shell_complete=complete_week, help="Week endings instead: YYYY-MM-DD,… (Fridays), or a range …..…")
@click.option(
    "--tiers", default=",".join(TIERS), show_default=True, shell_complete=complete_tier, help="Tiers to process, comma-separated."
)
@source_options
@click.option(
    "--daily-list/--no-daily-list", default=True, show_default=True, help="With --source api: capture FINRA's daily list, too."
)
@click.option("--mode", type=click.Choice(["run", "dry-run"]), default="run", show_default=True, help="dry-run writes nothing.")
@click.option("--force", is_flag=True, help="Ingest unchanged content, too.")
@click.option(
    "--only-stage",
    type=click.Choice(["ingest", "normalize", "calc", "all"]),
    default="all",
    show_default=True,
    help="One phase only.",
)
@db_option
@run_date_option
@observed_options
@click.option("--ignore-calendar", is_flag=True, help="Treat every absent partition as missing, due or not.")
@calendar_options
@click.option(
    "--rehash-share", type=Number(0, 1), default=0.25, show_default=True,
    help="Share of partitions hashed again in each run although the source reports them unchanged.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failed partition.")
@click.option("--max-reject-percent", type=Number(0, 100), default=5, show_default=True, help="Most rejected lines, in percent.")
@click.option(
    "--min-kept-percent", type=Number(0, 100), default=50, show_default=True,
    help="Least rows and shares of a restatement, in percent of the current capture.",
)
@click.option("--accept-shrink", is_flag=True, help="Let a capture that has shrunk become current.")
@click.option(
    "--if-locked", type=click.Choice(["fail", "skip", "wait"]), default="fail", show_default=True,
    help="When another run holds the lock: exit 75, exit 0, or wait for it.",
)
@click.option(
    "--lock-lease", type=Number(1), default=60, show_default=True, metavar="SECONDS",
    help="Seconds without a heartbeat after which another run may take over the lock.",
)
@click.option("--lock-wait", type=Number(0), default=3600, show_default=True, metavar="SECONDS", help="How long to wait for it.")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="No output unless something fails.")
@click.option("--cron", is_flag=True, help="The card (see spine card); the log and the summary, too, when something fails.")
@click.option("-v", "--verbose", is_flag=True, help="Log more, with tracebacks.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Log format on stderr."
)
@observer_options
@click.version_option(__version__, "--version", prog_name="run_finra_weekly_schedule")
def command(**given: object) -> None:
    """Capture FINRA's weekly OTC Transparency data: ingest, normalize, calculate, evaluate readiness."""
    raise click.exceptions.Exit(run(check(given)))


def check(given: dict[str, object]) -> Options:
    """The options as values. Raises UsageError, before anything is opened or written."""
    from market_spine import clock
    from market_spine.monitor import observers

    weeks_text = given.pop("weeks")
    lookback, mode = given.pop("lookback_weeks"), given.pop("mode")
    now = clock.utc_now()
    watched = observers.check(observer_settings(given))
    as_observed_on, run_date = _text(given.pop("as_observed_on")), clock.market_date(now)
    if day := acting_day(as_observed_on, _text(given.pop("run_date_text")), str(given["source"])):
        run_date = parse_day(day)
        now = clock.moment_of(run_date)
    weeks = weeks_of(str(weeks_text)) if weeks_text else weeks_back(int(str(lookback)), run_date)
    if LATEST in weeks:
        raise UsageError("latest is a stored week, and a run looks for new ones", hint="name the week with --weeks")
    tiers = tiers_of(str(given.pop("tiers")))
    return Options(
        weeks=tuple(weeks), sweeps=not (weeks_text or as_observed_on), as_observed=bool(as_observed_on), tiers=tiers,
        dry=mode == "dry-run", run_date=run_date, now=now, observer_settings=watched, **given,  # type: ignore[arg-type]
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def check_settings(settings: Settings) -> None:
    """Raises ConfigurationError for an unknown entry of market_spine.toml."""
    from market_spine.config import RUN_TABLE

    settings.check(option_names(command), [RUN_TABLE, *COMMANDS])


config_option(command, "run_finra_weekly_schedule", check_settings)
show_variables(command)


def main(argv: list[str] | None = None) -> None:
    """The console script."""
    arguments = sys.argv[1:] if argv is None else argv
    end_at_signal()
    sys.exit(guarded(command, arguments))


if __name__ == "__main__":
    main()
