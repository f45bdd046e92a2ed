"""How long a command takes to answer `--help`, beside a Python that does nothing but import click: whole processes."""

from __future__ import annotations

import sys
from statistics import median

from bench.contest import Setting
from bench.goals import OURS, Finding, Goal
from bench.processes import Usage, measure, program

_BARE = 'python -c "import click"'
_LIMIT = 2.5
_TIMES = 3  # a start is so short that each round measures it this often


def start(setting: Setting) -> Finding:
    """The start of the weekly run's `--help`, and of `spine --help`, against a bare `import click`."""
    commands = {
        _BARE: [sys.executable, "-c", "import click"],
        f"{OURS}: run_finra_weekly_schedule --help": [program("run_finra_weekly_schedule"), "--help"],
        f"{OURS}: spine --help": [program("spine"), "--help"],
    }
    finding = Finding("start", start.__doc__ or "", setting.rounds)
    for command in commands.values():
        measure(command, cwd=setting.work)  # the first one writes the bytecode
    usages: dict[str, list[Usage]] = {name: [] for name in commands}
    for _ in range(setting.rounds * _TIMES):
        for name, command in commands.items():
            usages[name].append(measure(command, cwd=setting.work))
    for name, of in usages.items():
        _note(finding, name, of, usages[_BARE])
    return finding


def _note(finding: Finding, name: str, of: list[Usage], bare: list[Usage]) -> None:
    pairs = list(zip(of, bare, strict=True))
    wall = float(median(ours.wall / theirs.wall for ours, theirs in pairs))
    cpu = float(median(ours.cpu / theirs.cpu for ours, theirs in pairs))
    finding.rows.append(
        {
            "what": name,
            "wall ms": round(1000 * median(u.wall for u in of), 1),
            "CPU ms": round(1000 * median(u.cpu for u in of), 1),
            "wall ÷ bare": round(wall, 3),
            "CPU ÷ bare": round(cpu, 3),
        }
    )
    if name != _BARE:
        finding.goals.append(Goal(f"{name.removeprefix(f'{OURS}: ')}: start ÷ that of {_BARE}, wall", wall, _LIMIT))
