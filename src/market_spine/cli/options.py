"""Options that several commands share, and where an option's value comes from: flag, environment, market_spine.toml, default."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from market_spine.app.source import DEFAULT_DATA_DIR
from market_spine.errors import MarketSpineError, UsageError
from market_spine.log import printable
from market_spine.monitor.observers import DEFAULT_EXPECTED_BY, ObserverSettings

if TYPE_CHECKING:
    from market_spine.cli.table import Shape
    from market_spine.config import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

_META = "market_spine.settings"

__all__ = ["DEFAULT_DATA_DIR"]

DEFAULT_DB = "data/market_spine.db"


LARGEST_ID = 2**63 - 1
_LARGEST = 10**9  # where a range is open-ended; beyond it, times and sizes overflow
_FIGURE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_DIGITS = re.compile(r"[+-]?[0-9]{1,19}")


class Number(click.FloatRange):
    """The type of every option that is a number. Other input that `float` accepts (nan, inf, 1_0, ١) is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return _within(self, float(value) if _FIGURE.fullmatch(str(value)) else None, value, "a number", param, ctx)


class Whole(click.IntRange):
    """The type of every option that is a whole number."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return int(_within(self, int(value) if _DIGITS.fullmatch(str(value)) else None, value, "a whole number", param, ctx))


def _within(
    kind: Number | Whole, number: float | None, given: object, what: str, param: click.Parameter | None, ctx: click.Context | None
) -> float:
    least, most = -_LARGEST if kind.min is None else kind.min, _LARGEST if kind.max is None else kind.max
    if number is None or not least <= number <= most:
        kind.fail(f"'{printable(str(given), 40)}' is not {what} from {least:,} to {most:,}", param, ctx)
    return number


def config_option(command: click.Command, table: str, check: Callable[[Settings], None]) -> click.Command:
    """Gives a command `--config`, read before its other options; `table` names the command in the file."""

    def load(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
        from market_spine import config

        ignored = (MarketSpineError,) if ctx.resilient_parsing else ()  # a line that is being completed shows no error
        with contextlib.suppress(*ignored):
            path = config.find(value)
            if path is None:
                return
            settings = config.read(path)
            check(settings)
            ctx.meta[_META] = settings
            ctx.default_map = _joined(ctx.command, settings.defaults(table, option_names(ctx.command)))

    command.params.append(
        click.Option(
            ["--config"],
            envvar="MARKET_SPINE_CONFIG",
            is_eager=True,
            expose_value=False,
            callback=load,
            help="Settings file; default: market_spine.toml in this folder.",
        )
    )
    return command


def show_variables(command: click.Command) -> None:
    """Has `--help` name the environment variable of each option."""
    for param in command.params:
        if isinstance(param, click.Option):
            param.show_envvar = not param.hidden


def _joined(command: click.Command, values: Mapping[str, Any]) -> dict[str, Any]:
    """Joins a list with commas, as it would be typed, for an option that takes one value."""
    several = {param.name for param in command.params if isinstance(param, click.Option) and param.multiple}
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) and name not in several
        else [value] if name in several and not isinstance(value, list)
        else value
        for name, value in values.items()
    }


def option_names(command: click.Command) -> dict[str, str]:
    """`lookback_weeks`, as in `--lookback-weeks`, → the parameter's name; for every option with a value to set."""
    return {
        long.removeprefix("--").replace("-", "_"): str(param.name)
        for param in command.params
        if isinstance(param, click.Option) and param.expose_value
        for long in param.opts
        if long.startswith("--")
    }


def environment() -> Mapping[str, str]:
    """The process's environment with the settings file of the running command below it."""
    context = click.get_current_context(silent=True)
    settings: Settings | None = context.find_root().meta.get(_META) if context else None
    return settings.environment(os.environ) if settings else os.environ


def settings_path() -> str | None:
    """The settings file of the running command, if it has one."""
    context = click.get_current_context(silent=True)
    settings: Settings | None = context.find_root().meta.get(_META) if context else None
    return settings.path if settings else None


def origin(ctx: click.Context, name: str) -> str:
    """Where the value of a parameter comes from."""
    source = ctx.get_parameter_source(name)
    if source is ParameterSource.COMMANDLINE:
        return "flag"
    if source is ParameterSource.ENVIRONMENT:
        return "environment"
    if source is ParameterSource.DEFAULT_MAP and _META in ctx.meta:
        return str(ctx.meta[_META].path)
    return "default"


class Value(NamedTuple):
    """A setting as `spine config show` prints it."""

    name: str
    shown: str
    origin: str


def effective(command: click.Command, flags: list[str]) -> list[Value]:
    """Every setting of a command with these flags. Raises what the command itself would raise."""
    from market_spine import config

    prefix = command.context_settings["auto_envvar_prefix"]
    ctx = command.make_context(command.name, flags, auto_envvar_prefix=prefix)
    settings: Settings | None = ctx.meta.get(_META)
    values = [
        Value(option.replace("_", "-"), config.shown(name, ctx.params.get(name)), origin(ctx, name))
        for name, option in {name: option for option, name in reversed(option_names(command).items())}.items()
    ][::-1]
    merged = settings.environment(os.environ) if settings else os.environ
    for variable in config.SETTINGS:
        name = config.setting_name(variable)
        where = "environment" if variable in os.environ else settings.path if settings and variable in merged else "default"
        values.append(Value(name.replace("_", "-"), config.shown(name, merged.get(variable)), where))
    return values


def blame(error: click.UsageError) -> str:
    """click's message about a bad value, with the origin of a value that was not typed."""
    named = getattr(error, "possibilities", None)  # the hint has the best of them
    message = (error.message if named else error.format_message()).rstrip(".")
    param, ctx = getattr(error, "param", None), error.ctx
    if param is None or ctx is None:
        return message
    where = origin(ctx, param.name)
    return message if where in ("flag", "default") else f"{message} (from {where})"


def as_target(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Callback of an option or argument that names a database, wherever its value was set. Raises ConfigurationError."""
    from market_spine.db import resolve

    return resolve(value)


def _option(name: str, **how: Any) -> Callable[[Command], Command]:
    """One option; every command that has it reads the same environment variable."""
    return click.option(name, envvar="MARKET_SPINE_" + name.removeprefix("--").replace("-", "_").upper(), **how)


metrics_textfile_option = _option(
    "--metrics-textfile", metavar="PATH", help="Write Prometheus metrics for node_exporter's textfile collector."
)
pushgateway_option = _option("--pushgateway", metavar="URL", help="Push Prometheus metrics to a Pushgateway.")
notify_option = _option(
    "--notify", multiple=True, metavar="URL",
    help="Send notifications to mailto://, slack://, pagerduty:// … (apprise). May be repeated.",
)
notify_level_option = _option(
    "--notify-level", type=click.Choice(["NOTICE", "WARN", "ERROR", "CRITICAL"]), default="ERROR", show_default=True,
    help="Lowest severity to notify of; NOTICE: restatements, too.",
)
ping_url_option = _option(
    "--ping-url", metavar="URL", help="Dead-man switch: pinged at start, success and failure (healthchecks.io)."
)
webhook_option = _option(
    "--webhook", multiple=True, metavar="URL",
    help="Send every event of the log there, signed (Standard Webhooks). May be repeated.",
)
expected_by_option = _option(
    "--expected-by", default=DEFAULT_EXPECTED_BY, show_default=True, metavar="DAYS TIME",
    help="Deadline of a run, New York time: 'Fri 12:00', 'Mon-Fri 9:30'.",
)


def table_options(command: Command) -> Command:
    """The options of a command that prints a table; `shape_of` takes their values."""
    for option in (
        click.option("--top", type=Whole(1), metavar="N", help="Show at most N rows."),
        click.option("--sort", metavar="COLUMN", help="Sort by this column; -COLUMN: largest first."),
        click.option("--columns", metavar="A,B", help="Only these columns, in this order."),
    ):
        command = option(command)
    return command


def shape_of(columns: str | None, sort: str | None, top: int | None) -> Shape:
    """What `table_options` ask for."""
    from market_spine.cli.table import Shape

    return Shape(tuple(name.strip() for name in columns.split(",")) if columns else (), sort, top)


def observed_options(command: Command) -> Command:
    """The options for ingesting under another day than today."""
    for option in (
        _option("--allow-future", is_flag=True, help="Allow a --run-date after today."),
        _option(
            "--as-observed-on", metavar="DAY",
            help="Load archived files under the past day they were observed on, YYYY-MM-DD, instead of --run-date.",
        ),
    ):
        command = option(command)
    return command


def acting_day(as_observed_on: str | None, run_date: str | None, source: str = "file") -> str | None:
    """The run date if it is not today; --as-observed-on takes precedence over --run-date. Raises UsageError where the source
    is not an archive: what the API serves now was not observed on a past day."""
    if as_observed_on and source == "api":
        raise UsageError(
            "--as-observed-on loads archived files, and what the API serves is observed today", hint="leave out --as-observed-on"
        )
    return as_observed_on or run_date


def observer_options(command: Command) -> Command:
    """The options for metrics, notifications and pings."""
    for option in (
        expected_by_option, ping_url_option, webhook_option, notify_level_option, notify_option, pushgateway_option,
        metrics_textfile_option,
    ):
        command = option(command)
    return command


def update_options(command: Command) -> Command:
    """The options of a command that changes what is stored but is not a weekly run: no ping, the dead-man switch is the run's."""
    for option in (
        expected_by_option, webhook_option, notify_level_option, notify_option, pushgateway_option, metrics_textfile_option,
    ):
        command = option(command)
    return command


def observer_settings(given: dict[str, Any]) -> ObserverSettings:
    """Takes the values of `observer_options` or `update_options` out of a command's parameters."""
    taken = {name: given.pop(name) for name in ObserverSettings._fields if name in given}
    return ObserverSettings(**taken, webhook_secret=environment().get("MARKET_SPINE_WEBHOOK_SECRET", ""))
