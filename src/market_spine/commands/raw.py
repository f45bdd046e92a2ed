"""`spine raw`: the stored content of a partition, byte for byte."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from market_spine.commands import as_day, as_tier, as_week, complete_tier, db_option
from market_spine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


@click.command(
    "raw",
    epilog="""\b
Examples:
  spine raw 2025-12-26 OTC --out otc.psv
  spine raw 2025-12-26 OTC --as-of 2026-01-09 | sha256sum
  spine raw 2025-12-26 OTC --capture OTC:2025-12-26:20260109@1""",
)
@click.argument("week", callback=as_week)
@click.argument("tier", callback=as_tier, shell_complete=complete_tier)
@click.option("--as-of", callback=as_day, help="What was current at the end of that day in New York, YYYY-MM-DD.")
@click.option("--capture", "name", help="A capture id (its end will do) or pin; @1 after it names one of its contents.")
@click.option("--out", metavar="FILE", help="Write to a new file instead of stdout.")
@db_option
def command(week: date, tier: str, as_of: date | None, name: str | None, out: str | None, db: str) -> None:
    """The content a source showed for a partition, exactly as it is stored; what it is is said on stderr.

    Of a file these are its exact bytes. Of the API it is the canonical document made of the answers.
    """
    from market_spine.ask import raw
    from market_spine.commands import reading
    from market_spine.partition import Partition

    if as_of and name:
        raise UsageError("--as-of and --capture both say which content", hint="leave one of them out")
    with reading(db) as store:
        content = raw.find(store, Partition(week, tier), as_of, name)
        blocks = list(raw.read(store, content))
    if out:
        _write_new(Path(out), blocks)
    else:
        click.echo(b"".join(blocks), nl=False)
    click.echo(content.says(), err=True)


def _write_new(path: Path, blocks: Iterable[bytes]) -> None:
    """A file that was not there. Raises UsageError."""
    try:
        with path.open("xb") as file:
            file.writelines(blocks)
    except FileExistsError as error:
        raise UsageError(f"{path} already exists", hint="name a new file with --out") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="name a writable file with --out") from error
