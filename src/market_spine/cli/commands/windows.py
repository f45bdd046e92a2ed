"""`spine windows`: the rolling windows that hold a week, and which lengths are kept."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import (
    as_tier,
    as_week,
    complete_tier,
    complete_week,
    db_option,
    json_option,
    moment,
    print_json,
    reading,
    run_date_option,
)
from market_spine.errors import UsageError

if TYPE_CHECKING:
    from market_spine.outcome import Outcome

_COLUMNS = ("window to", "weeks", "state", "inputs", "made at", "HHI", "shares", "reason")
_LEAST = ("inputs", "made at")
_LONGEST = 260
_LENGTH = re.compile(r"\s*[0-9]{1,3}\s*", re.ASCII)


def _as_lengths(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """The lengths, in weeks."""
    if value is None:
        return None
    lengths = [int(part) if _LENGTH.fullmatch(part) else 0 for part in value.split(",")]
    if not all(2 <= length <= _LONGEST for length in lengths):
        raise UsageError(f"{value!r} is not a list of lengths from 2 to {_LONGEST} weeks", hint="spine windows --lengths 6,13")
    return tuple(sorted(set(lengths)))


@click.command(
    "windows",
    epilog="""\b
Examples:
  spine windows 2025-12-26 OTC
  spine windows --lengths 6,13,52                        keep windows of a year, too""",
)
@click.argument("week", required=False, callback=as_week, shell_complete=complete_week)
@click.argument("tier", required=False, callback=as_tier, shell_complete=complete_tier)
@click.option("--lengths", callback=_as_lengths, metavar="WEEKS", help="Keep windows of these lengths from now on.")
@run_date_option
@db_option
@json_option
def command(
    week: date | None, tier: str | None, lengths: tuple[int, ...] | None, run_date_text: str | None, db: str, as_json: bool
) -> None:
    """List the windows that hold a week of a tier: those a restatement of it moves.

    A window that was made of other captures is superseded and stays. One that cannot be made names the week that it lacks.
    """
    from market_spine.cli import table
    from market_spine.query import windows

    if lengths is not None and week is None:
        _keep(lengths, run_date_text, db, as_json=as_json)
        return
    if week is None or tier is None or lengths is not None:
        raise UsageError("windows are listed for a week and a tier", hint="spine windows 2025-12-26 OTC")
    with reading(db) as store:
        dependents = windows.dependents(store, week, tier)
    if as_json:
        print_json(week_ending=str(week), tier=tier, windows=[dependent._asdict() for dependent in dependents])
    else:
        click.echo(table.render(_COLUMNS, dependents, least=_LEAST))


def _keep(lengths: tuple[int, ...], run_date_text: str | None, db: str, *, as_json: bool) -> None:
    """Stores the lengths and makes the windows of every stored week."""
    from market_spine.operate import operation
    from market_spine.operate.windows import keep

    now, run_date = moment(run_date_text)
    with operation.operation(operation.Task(db, "windows", run_date, now, {"lengths": lengths})) as done:
        made: Outcome = keep(done.run, lengths)
    if as_json:
        print_json(lengths=lengths, made=made.rows)
    else:
        click.echo(f"Windows of {', '.join(map(str, lengths))} weeks are kept; made {made.rows or 0:,}")
