"""`spine import`: files under any name."""

from __future__ import annotations

import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from market_spine.cli.commands import (
    as_tier,
    as_week,
    calendar_of,
    calendar_options,
    complete_tier,
    complete_week,
    db_option,
    expectations,
    json_option,
    moment,
    print_json,
    print_next,
    print_outcomes,
    run_date_option,
    source_of,
    source_options,
)
from market_spine.cli.options import acting_day, observed_options
from market_spine.errors import UsageError

if TYPE_CHECKING:
    from market_spine.operate.import_files import Proposal
    from market_spine.operate.operation import Task
    from market_spine.outcome import Outcome

_COLUMNS = ("file", "week", "tier", "rows", "because")


@click.command(
    "import",
    epilog="""\b
Examples:
  spine import otc_20251215.csv
  spine import ~/Downloads/*.csv --yes
  spine import file.csv --week 2025-11-14 --tier OTC""",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--week", callback=as_week, shell_complete=complete_week, help="The week's Friday, if the dates in the file do not say it."
)
@click.option("--tier", callback=as_tier, shell_complete=complete_tier, help="The tier, if the rows do not say it.")
@click.option("--yes", "-y", is_flag=True, help="Import without asking.")
@click.option("--dry-run", is_flag=True, help="Show the week and tier of each file, change nothing.")
@click.option("--reason", default="import", show_default=True, help="Reason, recorded in core_operator_actions.")
@source_options
@calendar_options
@run_date_option
@observed_options
@db_option
@json_option
def command(
    files: tuple[Path, ...], week: date | None, tier: str | None, yes: bool, dry_run: bool, reason: str,
    calendar_file: str | None, grace_days: int, run_date_text: str | None, as_observed_on: str | None, allow_future: bool,
    db: str, as_json: bool, **source: Any,
) -> None:
    """Import weekly files under any name: the week and the tier are found from their rows, shown, and confirmed.

    FINRA's download has no week column. Its rows are dated with the day of publication, by which the calendar gives the week.
    With --source file the files are copied into --data-dir under the names that runs look for. Exit 0: all well, 1: something
    failed, 2: everything failed.
    """
    from market_spine.core.store import Mode
    from market_spine.core.timeline import Permits
    from market_spine.operate import import_files, operation

    expected = expectations(calendar_file, grace_days)
    proposals = [import_files.propose(path, week, tier, calendar_of(calendar_file)) for path in files]
    import_files.check_distinct(proposals)
    if not _confirmed(proposals, yes=yes or dry_run, quiet=as_json) or dry_run:
        if as_json:
            print_json(files=[proposal.entry() for proposal in proposals], imported=False)
        return
    now, run_date = moment(acting_day(as_observed_on, run_date_text))
    weeks = sorted({proposal.partition.week for proposal in proposals})
    arguments = {"weeks": weeks, "tiers": sorted({p.partition.tier for p in proposals}), "files": [str(path) for path in files]}
    arguments |= source  # for a retry
    permits = Permits(past=bool(as_observed_on), future=allow_future)
    task = operation.Task(db, "import", run_date, now, arguments, expected=expected, permits=permits, mode=Mode.CREATE)
    run_id, exit_code, outcomes = _import(task, proposals, source, reason)
    if as_json:
        print_json(run_id=run_id, files=[p.entry() for p in proposals], imported=True, exit_code=exit_code)
    else:
        print_outcomes(outcomes)
        print_next(outcomes, run_id)
    raise click.exceptions.Exit(exit_code)


def _confirmed(proposals: list[Proposal], *, yes: bool, quiet: bool) -> bool:
    """Shows what each file is, and asks. Raises UsageError where nobody can be asked."""
    from market_spine.cli import table

    if not quiet:
        rows = [(p.path.name, p.partition.week, p.partition.tier, p.rows, p.because) for p in proposals]
        click.echo(table.render(_COLUMNS, rows))
    if yes:
        return True
    if quiet or not sys.stdin.isatty():
        raise UsageError("nobody can confirm the weeks", hint="add --yes once they are right; --dry-run shows them")
    return click.confirm("Import?", default=True)


def _import(task: Task, proposals: list[Proposal], source: dict[str, Any], reason: str) -> tuple[str, int, list[Outcome]]:
    """Places the files and runs every phase of their weeks: the id of the run, its exit code and its outcomes."""
    from market_spine.operate import backfill, import_files, operation

    with operation.operation(task) as done, tempfile.TemporaryDirectory() as apart:
        folder = Path(source["data_dir"] if source["source"] == "file" else apart)
        for proposal in proposals:
            placed = import_files.place(done.run.db, proposal, folder)
            operation.record_action(done.run.db, "import", f"{proposal.path} as {placed.name}", reason, task.now)
        opened = source_of(**source | {"source": "file", "data_dir": str(folder)})
        for week in sorted({proposal.partition.week_ending for proposal in proposals}):
            tiers = [p.partition.tier for p in proposals if p.partition.week_ending == week]
            for _ in backfill.backfill(done.run, opened, [week], tiers, done.outcomes.append):
                pass
    return done.run.execution_id, done.exit_code, done.outcomes
