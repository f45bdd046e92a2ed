"""`spine report`: the pages as files."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from market_spine.cli.commands import (
    as_of_option,
    calendar_options,
    db_option,
    expectations,
    json_option,
    moment,
    pasteable,
    print_json,
    run_date_option,
)
from market_spine.cli.options import Whole


@click.command(
    "report",
    epilog="""\b
Examples:
  spine report --out report
  spine report --out report --last 52 --symbols AAPL,BRK.B
  spine report --out january --as-of 2026-01-30""",
)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new or empty folder.")
@click.option("--last", type=Whole(1, 1000), default=26, show_default=True, metavar="N", help="Pages of the last N weeks.")
@click.option("--symbols", default="", metavar="LIST", help="Symbols that get a page, comma-separated.")
@calendar_options
@run_date_option
@as_of_option
@db_option
@json_option
def command(
    out: Path, last: int, symbols: str, calendar_file: str | None, grace_days: int, run_date_text: str | None,
    as_of: date | None, db: str, as_json: bool,
) -> None:
    """Write the pages of spine serve as files: for a mail, a bucket or a site of files. Open index.html of the folder.

    Links are relative and nothing is loaded from elsewhere. With --as-of, everything as it was known at the end of a past day.
    """
    from market_spine.core.store import Mode, open_store
    from market_spine.db import redact
    from market_spine.errors import ConfigurationError
    from market_spine.partition import weeks_back

    try:
        from market_spine.page import report
        from market_spine.page.looking import looking
        from market_spine.page.render import Frame
        from market_spine.page.site import Served
    except ImportError as error:
        raise ConfigurationError("the pages need Jinja2", hint="pip install 'market-spine[server]'") from error

    now, day = moment(str(as_of) if as_of else run_date_text)
    named = [symbol.strip() for symbol in symbols.split(",") if symbol.strip()]
    frame, expected = Frame(Served(as_of), redact(db), as_of, typed=pasteable), expectations(calendar_file, grace_days)
    with open_store(db, Mode.READ_ONLY) as store, looking(store, day, now, as_of, expected) as look:
        pages = report.write(look, out, frame, weeks_back(last, day)[-1], named)
    if as_json:
        print_json(out=str(out), pages=pages)
    else:
        click.echo(f"{pages:,} pages in {out}; open {out / 'index.html'}")
