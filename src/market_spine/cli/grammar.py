"""How weeks and tiers are written: `latest`, T1, lists and ranges; options that were renamed; and their completion."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterable
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from market_spine.calendar.tiers import tier_of
from market_spine.errors import UsageError
from market_spine.log import printable
from market_spine.partition import TIERS, parse_tier_list, parse_week, parse_week_list, weeks_between

if TYPE_CHECKING:
    from market_spine.db import Database

LATEST = date.max  # stands for the newest week that is stored, until the database is known
_LATEST, _RANGE = "latest", ".."


def tiers_of(text: str) -> tuple[str, ...]:
    """A list of tiers, in the order of TIERS. Raises UnknownTier."""
    return parse_tier_list(",".join(tier_of(part.strip()) for part in text.split(",") if part.strip()))


def week_of(text: str) -> date:
    """A Friday, or LATEST. Raises InvalidWeek."""
    return LATEST if text.strip().lower() == _LATEST else parse_week(text)


def count_or_weeks(text: str) -> int | tuple[date, ...]:
    """A list as weeks_of, or, as it was once written, how many weeks. Raises InvalidWeek, UsageError."""
    if not text.strip().isascii() or not text.strip().isdigit():
        return weeks_of(text)
    if not 1 <= len(text.strip()) <= 4 or not 1 <= int(text) <= 1000:
        raise UsageError(f"'{printable(text, 40)}' is not a whole number from 1 to 1,000", hint="--last 13")
    return int(text)


def weeks_of(text: str) -> tuple[date, ...]:
    """A list of Fridays, ranges `2025-10-03..2025-12-26` (oldest first) and `latest`; each once. Raises InvalidWeek."""
    weeks: list[date] = []
    for part in text.split(","):
        first, is_range, last = part.strip().partition(_RANGE)
        if is_range:
            weeks += weeks_between(parse_week(first.strip()), parse_week(last.strip()))
        elif first:
            weeks.append(week_of(first))
    return tuple(dict.fromkeys(weeks)) or tuple(parse_week_list(text))


class Renamed(click.Option):
    """An option whose old names keep working and are not shown."""

    def __init__(self, declared: list[str], *, old: Iterable[str], **how: Any) -> None:
        super().__init__(declared, **how)
        self.old = tuple(old)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        names, self.opts = self.opts, self.shown
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = names

    @property
    def shown(self) -> list[str]:
        """Its names but the old ones."""
        return [name for name in self.opts if name not in self.old]


def listed_weeks_options(last: str = "The last N weeks.") -> Callable[[Any], Any]:
    """Which weeks a command that lists is about, every week where nothing is asked for; `chosen_weeks` takes their values."""

    def add(command: Any) -> Any:
        from market_spine.cli.options import Whole

        counted = click.option("--last", "count", type=Whole(1, 1000), metavar="N", help=last)
        listed = click.option(
            "--weeks", "--week", "weeks", cls=Renamed, old=["--week"], shell_complete=complete_week,
            callback=lambda _ctx, _param, value: None if value is None else weeks_of(value),
            help="Weeks: Fridays, a list, a range FIRST..LAST, or latest; left out: every week.",
        )
        return listed(counted(command))

    return add


def chosen_weeks(
    count: int | None, weeks: tuple[date, ...] | None, last: Callable[[int], Iterable[date]]
) -> tuple[date, ...] | None:
    """The weeks that listed_weeks_options ask for; `last` gives the last N. Raises UsageError."""
    return weeks if not takes_last(weeks) or count is None else tuple(last(count))


def takes_last(weeks: object) -> bool:
    """Whether --last counts and not --weeks: what is typed precedes what is set. Raises UsageError where both are typed."""
    context = click.get_current_context()
    typed = [context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE for name in ("count", "weeks")]
    if all(typed):
        raise UsageError("--last and --weeks exclude each other", hint="leave one of them out")
    return weeks is None or typed == [True, False]


def old_options(command: Any) -> Any:
    """`--week` and `--tier` of a command that takes them as positions now."""
    for name, complete in (("tier", complete_tier), ("week", complete_week)):
        command = click.option(f"--{name}", f"old_{name}", hidden=True, shell_complete=complete)(command)
    return command


def resolving(callback: Callable[..., Any]) -> Callable[..., Any]:
    """The callback of a command, called with the values of old options in their new place, and `latest` looked up."""

    @functools.wraps(callback)
    def call(*args: Any, **params: Any) -> Any:
        _take_old(params)
        for name, value in params.items():
            if value is LATEST:
                params[name] = _newest(params)
            elif isinstance(value, tuple) and LATEST in value:
                params[name] = tuple(_newest(params) if week is LATEST else week for week in value)
        return callback(*args, **params)

    return call


def _take_old(params: dict[str, Any]) -> None:
    if "old_week" not in params:
        return
    week, tier = params.pop("old_week"), params.pop("old_tier")
    params["week"] = params["week"] if week is None else week_of(week)
    params["tier"] = params["tier"] if tier is None else tier_of(tier)
    if params["week"] is None:
        raise click.UsageError("Missing argument 'WEEK'.", click.get_current_context())


def _newest(params: dict[str, Any]) -> date:
    """The newest week with a current capture: of the tiers that are named, and on the day that is. Raises NotFound."""
    from market_spine.cli.commands import reading
    from market_spine.errors import NotFound
    from market_spine.query.history import newest_weeks

    if "db" not in params:
        raise UsageError("latest is a stored week, and this command reads no database", hint="name the week: YYYY-MM-DD")
    tiers = (params["tier"],) if params.get("tier") else params.get("tiers") or TIERS
    with reading(params["db"]) as store:
        weeks = newest_weeks(store, 1, tiers, params.get("as_of"))
    if not weeks:
        raise NotFound("no week is stored yet", hint="spine status")
    return weeks[0]


def complete_tier(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Shell completion of a tier, or of the last one of a list."""
    before, comma, last = begun.rpartition(",")
    return [f"{before}{comma}{tier}" for tier in TIERS if tier.startswith(last.upper())]


def complete_week(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Shell completion of a stored week, newest first; of the last one of a list or range."""
    before, last = re.fullmatch(r"(.*(?:,|\.\.)|)(.*)", begun).groups()  # type: ignore[union-attr]

    def ids(store: Database) -> Iterable[str]:
        rows = store.execute("SELECT DISTINCT week_ending FROM finra_otc_transparency_capture ORDER BY week_ending DESC")
        return [str(week) for (week,) in rows] + [_LATEST]

    return [before + week for week in _completed(ctx, last, ids)]


def complete_run(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Shell completion of the id of a run, newest first."""

    def ids(store: Database) -> Iterable[str]:
        rows = store.execute("SELECT execution_id FROM core_executions ORDER BY execution_id DESC LIMIT 200")
        return (name for (name,) in rows)

    return _completed(ctx, begun, ids)


def complete_anomaly(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Shell completion of the id of an unresolved anomaly, newest first."""

    def ids(store: Database) -> Iterable[str]:
        rows = store.execute("SELECT id FROM core_anomalies WHERE resolved_at IS NULL ORDER BY id DESC LIMIT 200")
        return (str(number) for (number,) in rows)

    return _completed(ctx, begun, ids)


def complete_capture(ctx: click.Context, _param: click.Parameter, begun: str) -> list[str]:
    """Shell completion of a capture id without its domain, newest first."""

    def ids(store: Database) -> Iterable[str]:
        rows = store.execute("SELECT capture_id FROM finra_otc_transparency_capture ORDER BY run_date DESC, capture_id")
        return (name.partition(":")[2] for (name,) in rows)

    return _completed(ctx, begun, ids)


def _completed(ctx: click.Context, begun: str, ids: Callable[[Database], Iterable[str]]) -> list[str]:
    """The values that begin so; none where the database cannot be read: the shell waits."""
    from market_spine.cli.commands import reading

    with contextlib.suppress(Exception), reading(_database(ctx)) as store:
        return [value for value in ids(store) if value.startswith(begun)]
    return []


def _database(ctx: click.Context) -> str:
    """The database of the command line that is being completed."""
    option = next(param for param in ctx.command.params if param.name == "db")
    return str(ctx.params.get("db") or option.get_default(ctx))
