"""`spine worker`: execute queued work items."""

from __future__ import annotations

from datetime import timedelta

import click

from market_spine.cli.commands import db_option, source_of, source_options
from market_spine.cli.options import Number, Whole
from market_spine.cli.progress import greet, writes_json
from market_spine.target import redact


@click.command(
    "worker",
    epilog="""\b
Examples:
  spine worker                                       runs until SIGTERM
  spine worker --drain --data-dir /srv/finra         runs what is due, then ends
  spine worker --db postgresql://spine@db/spine --source api --concurrency 2
\b
Start as many as you like: processes over one SQLite file, machines over one PostgreSQL.
On SIGTERM the current item has --grace seconds to end, then it is returned to the queue.""",
)
@click.option("--concurrency", type=Whole(1, 64), default=1, show_default=True, help="Items at a time in this process.")
@click.option("--once", is_flag=True, help="Work on one item, then end.")
@click.option("--drain", is_flag=True, help="Work until nothing is due, then end.")
@click.option(
    "--lease-minutes",
    type=Number(0.05),
    default=30,
    show_default=True,
    help="How long an item stays with a worker that sends no heartbeat.",
)
@click.option(
    "--retry-minutes",
    type=Number(0),
    default=5,
    show_default=True,
    help="Pause after the first failure; three times as long after each further one.",
)
@click.option("--grace", type=Number(0), default=25, show_default=True, help="Seconds an item has to end after SIGTERM.")
@click.option(
    "--item-minutes", type=Number(0.001), default=60, show_default=True, help="Longest time of an item; then it counts as failed."
)
@click.option("--log-format", type=click.Choice(["json", "text"]), help="Log format; default: text on a terminal, else json.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@source_options
@db_option
def command(
    concurrency: int, once: bool, drain: bool, lease_minutes: float, retry_minutes: float, grace: float,
    item_minutes: float, log_format: str | None, verbose: bool, db: str, **source: object,
) -> None:
    """Claim items from the work queue and run their pipelines. Logs to stderr, one JSON object per line."""
    from market_spine.work.execute import Pipelines
    from market_spine.work.item import Lease
    from market_spine.work.worker import Settings, Worker, start_log

    settings = Settings(
        concurrency, once, drain, Lease(timedelta(minutes=lease_minutes)), timedelta(minutes=retry_minutes), grace,
        longest_minutes=item_minutes,
    )
    worker = Worker(db, Pipelines(lambda url: source_of(**source, file_url=url)), settings)  # type: ignore[arg-type]
    start_log(worker, json_lines=writes_json(log_format), verbose=verbose)
    until = "until nothing is due" if drain else "for one item" if once else "until Ctrl-C"
    greet(f"Working on the queue of {redact(db)} from source {source['source']}, {until}.", log_format)
    worker.run()
