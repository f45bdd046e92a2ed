"""`spine preflight`: check this machine, and print its cron line."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from market_spine.cli.commands import calendar_options, db_option, json_option, print_json, source_options
from market_spine.cli.options import blame, environment, observer_options, settings_path
from market_spine.db import redact
from market_spine.errors import MarketSpineError

if TYPE_CHECKING:
    from market_spine.operate.preflight import Finding

_MARKS = {"ok": "✓", "warn": "⚠", "fail": "✗"}


@click.command("preflight", epilog="Example: spine preflight --source api --db /var/lib/market-spine/market_spine.db")
@source_options
@calendar_options
@observer_options
@db_option
@json_option
def command(source: str, data_dir: str, db: str, as_json: bool, metrics_textfile: str | None, **_rest: Any) -> None:
    """Check this machine with the settings a run would have, and print the cron line for it."""
    from market_spine import clock
    from market_spine.operate import preflight

    now, flags = clock.utc_now(), _flags()
    machine = preflight.Machine(db, source, data_dir, environment(), now, settings_path(), metrics_textfile)
    findings = [*_refusals(flags), *preflight.examine(machine)]
    line = preflight.cron_line(_command(flags), now, clock.machine_zone_rules(), knows_cron_tz=_knows_cron_tz())
    if as_json:
        entries = [{"check": f.check, "grade": f.grade.value, "message": f.message, "hint": f.hint} for f in findings]
        print_json(findings=entries, cron_line=line)
    else:
        for finding in findings:
            hint = f". Try: {finding.hint}" if finding.hint else ""
            click.echo(f"{_MARKS[finding.grade.value]} {finding.check}: {finding.message}{hint}")
        click.echo(f"\nThe cron line for this machine (Friday, 8:00 in New York):\n{line}")
    raise click.exceptions.Exit(1 if any(finding.grade is preflight.Grade.FAIL for finding in findings) else 0)


def _flags() -> list[str]:
    """What was given on this command line and holds for the run as well: every option but --json."""
    ctx, flags = click.get_current_context(), []
    for param in ctx.command.params:
        name = str(param.name)
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.COMMANDLINE or name == "as_json":
            continue
        value = settings_path() if name == "config" else ctx.params[name]
        values = value if isinstance(value, tuple) else (value,)
        flags += [word for one in values for word in ((param.opts[0],) if one is True else (param.opts[0], str(one)))]
    return flags


def _refusals(flags: list[str]) -> Iterator[Finding]:
    """The errors that the run itself raises for its settings before it opens anything."""
    from market_spine.cli import weekly
    from market_spine.cli.weekly_run import expectations
    from market_spine.operate.preflight import Finding, Grade

    try:
        # click empties the list it is given
        with weekly.command.make_context(str(weekly.command.name), [*flags], auto_envvar_prefix="MARKET_SPINE") as run:
            expectations(weekly.check(dict(run.params)))
    except MarketSpineError as error:
        yield Finding("options", Grade.FAIL, error.message, error.hint)
    except click.UsageError as error:
        yield Finding("options", Grade.FAIL, blame(error), "run_finra_weekly_schedule --help")
    if any(redact(flag) != flag for flag in flags):
        hint = "put it into ~/.pgpass; the cron line below leaves it out"
        yield Finding("password", Grade.WARN, "a password on a command line can be read by every user of this machine", hint)


def _command(flags: list[str]) -> str:
    """The command of the cron line: with its absolute path and its own flags, in the folder of the settings file."""
    program = Path(sys.argv[0]).absolute().parent / "run_finra_weekly_schedule"
    return f"cd {shlex.quote(str(Path.cwd()))} && {shlex.join([str(program), '--cron', *map(redact, flags)])}"


def _knows_cron_tz() -> bool:
    """cronie (Red Hat, Arch) reads CRON_TZ; Debian's cron does not, and has no option -V."""
    if not shutil.which("crontab"):
        return False
    try:
        version = subprocess.run(["crontab", "-V"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return "cronie" in version.stdout + version.stderr
