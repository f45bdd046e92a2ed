"""`spine runs`: the runs, and what one of them did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from market_spine.cli.commands import complete_run, db_option, json_option, next_line, print_json, reading
from market_spine.cli.options import shape_of, table_options

if TYPE_CHECKING:
    from market_spine.operate.runs import RunRow

_COLUMNS = ("run", "pipeline", "run date", "seconds", "exit", "result")
_LEAST = ("seconds", "run date")
_SHOWN = 20


@click.group(
    "runs",
    invoke_without_command=True,
    epilog="""\b
Examples:
  spine runs
  spine runs --top 100 --sort -seconds
  spine runs show last""",
)
@table_options
@db_option
@json_option
@click.pass_context
def command(ctx: click.Context, columns: str | None, sort: str | None, top: int | None, db: str, as_json: bool) -> None:
    """List the last runs, newest first: what they did, how long they took and how they ended."""
    from market_spine.cli import table
    from market_spine.operate import runs

    if ctx.invoked_subcommand:
        return
    with reading(db) as store:
        listed = runs.list_runs(store, top or _SHOWN)
    if as_json:
        print_json(runs=[run.entry() for run in listed])
        return
    rows = [(r.execution_id, r.pipeline, r.run_date, _seconds(r), _exit(r), r.result) for r in listed]
    table.show(table.render(*table.shaped(_COLUMNS, rows, shape_of(columns, sort, top)), least=_LEAST) if rows else "No runs.")


@command.command(
    "show",
    epilog="""\b
Examples:
  spine runs show last
  spine runs show 20260109T120000-1a2b3c4d --json""",
)
@click.argument("run_id", default="last", shell_complete=complete_run)
@db_option
@json_option
def show(run_id: str, db: str, as_json: bool) -> None:
    """Show one run: phases with their times, outcomes, failures. RUN_ID may be cut short; last is the newest run."""
    from market_spine.cli import table
    from market_spine.operate import runs

    with reading(db) as store:
        run = runs.find(store, run_id)
    if as_json:
        print_json(**run.entry(), arguments=run.arguments, report=run.report)
        return
    table.show("\n".join([*_facts(run), *_phases(run), *_log(run), *_failures(run)]))


def _facts(run: RunRow) -> list[str]:
    seconds = f"{run.seconds:.1f} s" if run.seconds is not None else ""
    ended = "not finished: running, or killed" if run.exit_code is None else f"exit {run.exit_code}"
    lines = [
        f"Run      {run.execution_id}",
        f"What     {run.pipeline} of {run.run_date}, version {run.version}",
        f"Where    {run.host}, by {run.actor or 'somebody'}",
        f"When     {run.started_at}{f', {seconds}' if seconds else ''}",
        f"Result   {', '.join(filter(None, (ended, run.did)))}",
    ]
    return lines + [f"         {each['text']}" for each in run.report.get("restatements", [])]


def _phases(run: RunRow) -> list[str]:
    """A line for each phase: how long it took, and how many partitions ended how."""
    from collections import Counter

    from market_spine.cli import table
    from market_spine.outcome import Phase

    counts = {phase.value: Counter[str]() for phase in Phase}
    for entry in run.report.get("partitions", []):
        counts[entry["phase"]][entry["outcome"]] += 1
    for entry in run.report.get("readiness", []):
        counts[Phase.READINESS.value]["ready" if entry["is_ready"] else "not ready"] += 1
    seconds = run.report.get("phase_seconds", {})
    rows = [
        (phase, seconds.get(phase), ", ".join(f"{number} {outcome.replace('_', ' ')}" for outcome, number in count.items()))
        for phase, count in counts.items()
        if count
    ]
    return ["", table.render(("phase", "seconds", "outcomes"), rows)] if rows else []


def _log(run: RunRow) -> list[str]:
    """What the run did to each partition, but for what it only waits for."""
    from market_spine.cli import table
    from market_spine.operate.runs import FAILED

    entries = [entry for entry in run.report.get("partitions", []) if entry["outcome"] not in ("awaiting", *FAILED)]
    return ["", *(table.filled(f"{_where(entry)}: {entry['message']}") for entry in entries)] if entries else []


def _failures(run: RunRow) -> list[str]:
    if not run.failures and not run.error:
        return []
    from market_spine.operate.gaps import explain_command
    from market_spine.operate.runs import HELD

    lines = [f"✗ {_where(entry)}: {entry['message']}" for entry in run.failures]
    held = [entry for entry in run.failures if entry["outcome"] == HELD]
    only_held = bool(held) and len(held) == len(run.failures)
    command = explain_command(held[0]["week_ending"], held[0]["tier"]) if only_held else f"spine retry {run.execution_id}"
    return ["", *lines, next_line(command)]


def _where(entry: Mapping[str, Any]) -> str:
    return " / ".join(part for part in (entry["week_ending"], entry["tier"]) if part)


def _seconds(run: RunRow) -> float | None:
    return None if run.seconds is None else round(run.seconds, 1)


def _exit(run: RunRow) -> str:
    return "" if run.exit_code is None else str(run.exit_code)
