"""`spine raw`: the stored content of a partition, byte for byte."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import as_day, as_tier, as_week, complete_tier, db_option
from market_spine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


@click.command(
    "raw",
    epilog="""\b
Examples:
  spine raw 2025-12-26 OTC --out otc.psv
  spine raw 2025-12-26 OTC --as-of 2026-01-09 | sha256sum
  spine raw 2025-12-26 OTC --capture OTC:2025-12-26:20260109@1
  spine raw 2025-12-26 OTC --totals""",
)
@click.argument("week", callback=as_week)
@click.argument("tier", callback=as_tier, shell_complete=complete_tier)
@click.option("--as-of", callback=as_day, help="What was current at the end of that day in New York, YYYY-MM-DD.")
@click.option("--capture", "name", help="Capture id (or its end) or pin; append @1 for one of its contents.")
@click.option("--totals", is_flag=True, help="The document with the firm totals that came with it.")
@click.option("--out", metavar="FILE", help="Write to a new file instead of stdout.")
@db_option
def command(week: date, tier: str, as_of: date | None, name: str | None, totals: bool, out: str | None, db: str) -> None:
    """Print the stored content of a partition, byte for byte; a description goes to stderr.

    For the file source: the exact bytes of the file. For the API: the canonical document made from its responses.
    """
    from market_spine.cli.commands import reading
    from market_spine.partition import Partition
    from market_spine.query import raw

    if as_of and name:
        raise UsageError("--as-of and --capture exclude each other", hint="leave one of them out")
    with reading(db) as store:
        content = raw.find(store, Partition(week, tier), as_of, name)
        content = raw.totals_of(content) if totals else content
        blocks = list(raw.read(store, content))
    if out:
        _write_new(Path(out), blocks)
    else:
        click.echo(b"".join(blocks), nl=False)
    click.echo(content.description(), err=True)


def _write_new(path: Path, blocks: Iterable[bytes]) -> None:
    """Writes a new file. Raises UsageError where one already exists."""
    try:
        with path.open("xb") as file:
            file.writelines(blocks)
    except FileExistsError as error:
        raise UsageError(f"{path} already exists", hint="name a new file with --out") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="name a writable file with --out") from error
