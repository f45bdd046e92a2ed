"""`spine preflight`: whether this machine can run, and the cron line for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from market_spine.cli_options import environment, settings_path, watch_options, watching
from market_spine.commands import db_option, json_option, print_json, source_options

_MARKS = {"ok": "✓", "warn": "⚠", "fail": "✗"}


@click.command("preflight", epilog="Example: spine preflight --source api --db /var/lib/market-spine/market_spine.db")
@source_options
@watch_options
@db_option
@json_option
def command(source: str, data_dir: str, db: str, as_json: bool, **given: Any) -> None:
    """Check what a run needs of this machine, with the settings it would have, and print the cron line for it."""
    from market_spine import clock
    from market_spine.watch import observers, preflight

    watched = observers.check(watching(given))
    now, settings = clock.utc_now(), settings_path()
    machine = preflight.Machine(db, source, data_dir, environment(), now, settings, watched.metrics_textfile)
    findings = preflight.examine(machine)
    line = preflight.cron_line(_command(), now, clock.machine_zone_rules(), knows_cron_tz=_knows_cron_tz())
    if as_json:
        found = [{"check": f.check, "grade": f.grade.value, "message": f.message, "hint": f.hint} for f in findings]
        print_json(findings=found, cron_line=line)
    else:
        for finding in findings:
            hint = f". Try: {finding.hint}" if finding.hint else ""
            click.echo(f"{_MARKS[finding.grade.value]} {finding.check}: {finding.message}{hint}")
        click.echo(f"\nThe cron line for this machine (Friday, 8:00 in New York):\n{line}")
    raise click.exceptions.Exit(1 if any(finding.grade is preflight.Grade.FAIL for finding in findings) else 0)


def _command() -> str:
    """The run as cron must name it: with its whole path, in the folder where the settings are."""
    program = Path(sys.argv[0]).absolute().parent / "run_finra_weekly_schedule"
    return f"cd {Path.cwd()} && {program} --cron"


def _knows_cron_tz() -> bool:
    """cronie (Red Hat, Arch) reads CRON_TZ; Debian's cron does not, and says no version either."""
    if not shutil.which("crontab"):
        return False
    try:
        said = subprocess.run(["crontab", "-V"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return "cronie" in said.stdout + said.stderr
