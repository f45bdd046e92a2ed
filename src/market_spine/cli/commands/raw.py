"""`spine raw`: the stored content of a partition, byte for byte."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from market_spine.cli.commands import as_day, as_tier, as_week, complete_tier, complete_week, dataset_option, db_option
from market_spine.cli.options import Whole
from market_spine.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from market_spine.db import Database
    from market_spine.query.raw import Content


@click.command(
    "raw",
    epilog="""\b
Examples:
  spine raw 2025-12-26 OTC --out otc.psv
  spine raw 2025-12-26 OTC --as-of 2026-01-09 | sha256sum
  spine raw 2025-12-26 OTC --capture OTC:2025-12-26:20260109@1
  spine raw 2025-12-26 OTC --totals
  spine raw 2025-12-26 OTC --response 1 --out page.json
  spine raw --dataset otc_daily_list --as-of 2026-01-09""",
)
@click.argument("week", required=False, callback=as_week, shell_complete=complete_week)
@click.argument("tier", required=False, callback=as_tier, shell_complete=complete_tier)
@click.option("--as-of", callback=as_day, help="What was current at the end of that day in New York, YYYY-MM-DD.")
@click.option("--capture", "name", help="Capture id (or its end) or pin; append @1 for one of its contents.")
@click.option("--totals", is_flag=True, help="The document with the firm totals that came with it.")
@click.option("--response", type=Whole(1), metavar="N", help="The Nth response that it was made from, if --keep-wire kept it.")
@click.option("--out", metavar="FILE", help="Write to a new file instead of stdout.")
@dataset_option
@db_option
def command(
    week: date | None, tier: str | None, as_of: date | None, name: str | None, totals: bool, response: int | None,
    out: str | None, dataset: str | None, db: str,
) -> None:
    """Print the stored content of a partition, byte for byte; a description goes to stderr.

    For the file source: the exact bytes of the file. For the API: the canonical document made from its responses; --response
    prints a response itself, after content encoding.
    """
    from market_spine.cli.commands import reading
    from market_spine.query import raw

    _check(week, tier, as_of, name, dataset)
    with reading(db) as store:
        content = _find(store, week, tier, as_of, name)
        content = raw.totals_of(content) if totals else content
        if response is None:
            description, blocks = content.description(), list(raw.read(store, content))
        else:
            received, body = raw.response_body(store, content, response)
            description, blocks = f"{content.name}: response {response}, SHA-256 {received.content_sha256}", list(body)
    if out:
        _write_new(Path(out), blocks)
    else:
        click.echo(b"".join(blocks), nl=False)
    click.echo(description, err=True)


def _check(week: date | None, tier: str | None, as_of: date | None, name: str | None, dataset: str | None) -> None:
    """Raises UsageError for what does not go together."""
    if as_of and name:
        raise UsageError("--as-of and --capture exclude each other", hint="leave one of them out")
    if dataset and (week or name):
        raise UsageError("--dataset goes with --as-of alone", hint=f"spine raw --dataset {dataset}")
    if not (dataset or (week and tier)):
        raise UsageError("raw needs a WEEK and a TIER, or --dataset", hint="spine raw 2025-12-26 OTC")


def _find(store: Database, week: date | None, tier: str | None, as_of: date | None, name: str | None) -> Content:
    from market_spine.partition import Partition
    from market_spine.query import raw

    return raw.find(store, Partition(week, tier), as_of, name) if week and tier else raw.daily_list(store, as_of)


def _write_new(path: Path, blocks: Iterable[bytes]) -> None:
    """Writes a new file. Raises UsageError where one already exists."""
    try:
        with path.open("xb") as file:
            file.writelines(blocks)
    except FileExistsError as error:
        raise UsageError(f"{path} already exists", hint="name a new file with --out") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="name a writable file with --out") from error
