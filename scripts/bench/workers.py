"""A backfill by workers on PostgreSQL, an item for each partition, against the one process of `spine backfill`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import timedelta

from bench.contest import Setting, ratios
from bench.goals import OURS as ONE_PROCESS
from bench.goals import Finding, Goal, samples, table
from bench.postgres import Command, contest
from bench.processes import program
from bench.weekly_data import Files, one_tier

_GOALS = {2: 0.7, 4: 0.6}


def workers(setting: Setting) -> Finding:
    """Fifty-four files of 50,000 rows into PostgreSQL: `spine backfill` in one process, and by 1, 2 and 4 workers."""
    files = one_tier(setting.work, 54, 50_000)
    commands: dict[str, Command] = {ONE_PROCESS: lambda url: [program("spine"), *_range(files, url), *_source(files)]}
    commands |= {_name(count): _by_workers(files, count) for count in (1, *_GOALS)}
    standings = contest(setting, commands, ())
    found = Finding("workers", workers.__doc__ or "", setting.rounds, samples=samples(standings))
    found.rows = table(standings, files.total_rows)
    one = standings[ONE_PROCESS]
    found.goals += [
        Goal(f"wall ÷ one process, {_name(count)}", ratios(standings[_name(count)], one, "wall"), limit)
        for count, limit in _GOALS.items()
    ]
    found.remarks.append("with the start of every worker, and that of the command that enqueues")
    return found


def _name(count: int) -> str:
    return f"{count} worker" + ("s" if count > 1 else "")


def _by_workers(files: Files, count: int) -> Command:
    def command(url: str) -> list[str]:
        enqueue = shlex.join([program("spine"), *_range(files, url), "--enqueue"])
        work = shlex.join([program("spine"), "worker", "--drain", "--db", url, *_source(files)])
        return ["sh", "-c", f"{enqueue} && {{ {' '.join([work + ' &'] * count)} wait; }}"]

    return command


def _range(files: Files, url: str) -> Sequence[str]:
    first = files.ending - timedelta(weeks=files.weeks - 1)
    days = ("--from", str(first), "--to", str(files.ending), "--run-date", str(files.ending))
    return ("backfill", *days, "--tiers", "NMS_TIER_1", "--db", url)


def _source(files: Files) -> Sequence[str]:
    return ("--data-dir", str(files.folder))
