"""`spine gates`: what keeps a capture from becoming current, the verdicts on a week, and the limits."""

from __future__ import annotations

from collections.abc import Sequence
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
    next_line,
    pasteable,
    print_json,
    reading,
    reason_option,
    run_date_option,
)
from market_spine.cli.options import Whole
from market_spine.partition import TIERS, Partition

if TYPE_CHECKING:
    from market_spine.app.context import Run
    from market_spine.gates.profile import Profile
    from market_spine.operate.gates import Tested

_COLUMNS = ("gate", "warns from", "change of", "holds from", "change of", "least deviation")
_CHECKS = ("gate", "verdict", "is", "expected", "passes within", "z", "p", "weeks", "")
_LEAST_OF_CHECKS = ("p", "expected")
_CONFIRMED = '"FINRA confirmed the figures"'
_TESTED = ("tier", "weeks", "warned", "at most", "held", "at most")


@click.group(
    "gates",
    invoke_without_command=True,
    epilog="""\b
Examples:
  spine gates
  spine gates explain 2025-12-26 OTC
  spine gates backtest --faults
  spine gates fit --dry-run
  spine gates accept 2025-12-26 OTC --reason "the venue closed for good\"""",
)
@db_option
@json_option
@click.pass_context
def command(context: click.Context, db: str, as_json: bool) -> None:
    """Show the limits in force and the history they rest on. A subcommand explains, tests or changes them."""
    if context.invoked_subcommand is not None:
        return
    from market_spine.app import judging
    from market_spine.core import checks

    with reading(db) as store:
        profile = judging.profile_of(store)
        levels = {tier: [str(day) for day in checks.levels(store, tier)] for tier in TIERS}
        weeks = checks.accepted_weeks(store)
    if as_json:
        limits = {name: limit.values() for name, limit in profile.thresholds.items()}
        print_json(profile=profile.profile_id, source=profile.source, weeks=weeks, levels=levels, thresholds=limits)
        return
    _say_profile(profile)
    click.echo(f"history: {', '.join(f'{tier} {count} weeks' for tier, count in weeks.items())}")
    for tier, days in levels.items():
        if days:
            click.echo(f"{tier}: a new level was accepted from {', '.join(days)}")


def _say_profile(profile: Profile) -> None:
    from market_spine.cli import table

    rows = [
        (name, f"{t.c_w:g} z", _shown(t.delta_w), _limit(t.c_h), _shown(t.delta_h), f"{t.floor:g}")
        for name, t in sorted(profile.thresholds.items())
    ]
    click.echo(f"profile {profile.profile_id} ({profile.source})")
    click.echo(table.render(_COLUMNS, rows))


def _limit(value: float) -> str:
    return "never" if value == float("inf") else f"{value:g} z"


def _shown(value: float) -> str:
    return "" if value == float("inf") else f"{value:.2f}"


@command.command(
    "explain",
    epilog="""\b
Examples:
  spine gates explain 2025-12-26 OTC
  spine gates explain 2025-12-26 OTC --json""",
)
@click.argument("week", callback=as_week, shell_complete=complete_week)
@click.argument("tier", callback=as_tier, shell_complete=complete_tier)
@db_option
@json_option
def explain(week: date, tier: str, db: str, as_json: bool) -> None:
    """Every gate's verdict on what is held of a tier, else on its current capture, with the figures."""
    from market_spine.cli import table
    from market_spine.operate import gates, operation

    (now, run_date), partition = moment(None), Partition(week, tier)
    with operation.looking(db, run_date, now) as run:
        verdicts = gates.explain(run, partition)
        fetch = _fetch(run, partition) if verdicts.hold else None
    if as_json:
        print_json(**verdicts.entry(), next=fetch)
        return
    rows = [
        (c.gate, c.verdict, _figure(c.y), _figure(c.expected), _range(c.low, c.high), _z(c.z), _z(c.p), c.n, "")
        for c in verdicts.checks
    ]
    name = f"{verdicts.capture_id}@{verdicts.ingest_no}"
    click.echo(table.filled(f"{name}, judged by profile {verdicts.profile_id} and {verdicts.history} weeks"))
    click.echo(table.render(_CHECKS, rows, least=_LEAST_OF_CHECKS))
    for check in verdicts.checks:
        if check.verdict not in ("PASS", "INFO") or check.gate == "insufficient_history":
            click.echo(table.filled(f"{check.gate}: {check.explanation}"))
    if not verdicts.is_same:
        click.echo("computed again from what is stored, the verdicts differ: an input was changed or pruned", err=True)
    if verdicts.hold is not None and fetch is not None:
        click.echo(table.filled(f"held since {verdicts.hold.held_at[:10]} by {verdicts.hold.held_by}: {verdicts.hold.reason}"))
        click.echo("needs other content from FINRA; if these figures are right, release them:")
        click.echo(f"  {pasteable(f'spine release {week} {tier} --reason {_CONFIRMED}')}")
        click.echo(next_line(fetch))


def _fetch(run: Run, partition: Partition) -> str:
    from market_spine.operate import gaps

    return gaps.fetch_command(run.db, partition.week_ending, partition.tier)


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _range(low: float | None, high: float | None) -> str:
    return f"{_figure(low)} … {_figure(high)}" if low is not None or high is not None else ""


def _z(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@command.command(
    "backtest",
    epilog="""\b
Examples:
  spine gates backtest
  spine gates backtest --faults --json""",
)
@click.option("--faults", is_flag=True, help="Do faults to each week's figures, too, and count how many are held.")
@click.option("--newest", type=Whole(1, 5200), metavar="N", help="Only the newest N accepted weeks of each tier.")
@db_option
@json_option
def backtest(faults: bool, newest: int | None, db: str, as_json: bool) -> None:
    """Judge every accepted week of the store by the weeks before it: how often would the gates have warned, or held?"""
    from market_spine.operate import gates

    with reading(db) as store:
        tested = gates.backtest(store, faults=faults, newest=newest)
    if as_json:
        print_json(tiers=[one.entry() for one in tested])
        return
    _say_tested(tested)


def _say_tested(tested: Sequence[Tested]) -> None:
    from market_spine.cli import table

    rows = []
    for one in tested:
        (warned, held), weeks = one.weeks.upper, one.weeks
        rows.append((one.tier, weeks.weeks, weeks.warned, f"{warned:.1%}", weeks.held, f"{held:.1%}"))
    click.echo(table.render(_TESTED, rows))
    click.echo("at most: the true rate lies below it with 95 % confidence")
    for one in tested:
        for name, hits, trials in one.faults:
            click.echo(f"{one.tier}: {name}: {hits} of {trials} held")


@command.command(
    "fit",
    epilog="""\b
Examples:
  spine gates fit --dry-run
  spine gates fit --reason "a year of history\"""",
)
@click.option("--dry-run", is_flag=True, help="Show the limits, and what they would have found; store nothing.")
@click.option("--reason", default="fit", show_default=True, help="Reason, recorded in core_operator_actions.")
@run_date_option
@db_option
@json_option
def fit(dry_run: bool, reason: str, run_date_text: str | None, db: str, as_json: bool) -> None:
    """Choose limits by the store's own history: at most two warnings a tier and year, and none of the accepted weeks held."""
    from market_spine.operate import gates, operation

    now, run_date = moment(run_date_text)
    if dry_run:
        with reading(db) as store:
            profile = gates.fit(store, f"fitted to this store on {run_date}")
            tested = gates.backtest(store, profile=profile)
    else:
        with operation.operation(operation.Task(db, "gates fit", run_date, now, {"reason": reason})) as done:
            profile = gates.fit(done.run.db, f"fitted to this store on {run_date}")
            tested = gates.backtest(done.run.db, profile=profile)
            gates.put_in_force(done.run, profile, reason)
    if as_json:
        limits = {name: limit.values() for name, limit in profile.thresholds.items()}
        print_json(profile=profile.profile_id, dry_run=dry_run, thresholds=limits, tiers=[one.entry() for one in tested])
        return
    _say_profile(profile)
    _say_tested(tested)
    click.echo("No database writes performed." if dry_run else f"profile {profile.profile_id} is in force")


@command.command(
    "accept",
    epilog="""\b
Examples:
  spine gates accept 2025-12-26 OTC --reason "the venue closed for good\"""",
)
@click.argument("week", callback=as_week, shell_complete=complete_week)
@click.argument("tier", callback=as_tier, shell_complete=complete_tier)
@reason_option
@run_date_option
@db_option
def accept(week: date, tier: str, reason: str, run_date_text: str | None, db: str) -> None:
    """Accept the level of a week as the new one: later weeks of the tier are compared with it and those after it."""
    from market_spine.operate import gates, operation

    now, run_date = moment(run_date_text)
    arguments = {"weeks": [str(week)], "tiers": [tier], "reason": reason}
    with operation.operation(operation.Task(db, "gates accept", run_date, now, arguments)) as done:
        gates.accept(done.run, Partition(week, tier), reason)
    click.echo(f"{week} / {tier}: later weeks are compared with this one and those after it")
