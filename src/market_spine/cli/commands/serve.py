"""`spine serve`: the HTTP API."""

from __future__ import annotations

import contextlib
import logging

import click

from market_spine.cli.commands import calendar_of, calendar_options, db_option
from market_spine.cli.options import Number, Whole, expected_by_option
from market_spine.cli.progress import greet, writes_json
from market_spine.errors import ConfigurationError, Interrupted
from market_spine.target import redact


@click.command(
    "serve",
    epilog="""\b
Examples:
  spine serve                                                       on 127.0.0.1:8000, for this machine
  spine serve --host 10.0.0.5 --token-file /etc/spine/tokens        for others; lines: operate NAME TOKEN
  spine serve --allow-host spine.example.com                        behind a proxy that keeps the Host header""",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to bind to; any but loopback requires --token-file."
)
@click.option("--port", type=Whole(1, 65535), default=8000, show_default=True)
@click.option("--token-file", type=click.Path(), help="Lines `SCOPE NAME TOKEN`; scopes: read, operate.")
@click.option(
    "--allow-host", "allowed_hosts", multiple=True, metavar="NAME[:PORT]", help="Another Host header to accept. May be repeated."
)
@click.option("--rate", type=Number(1), default=200, show_default=True, help="Requests per second and address.")
@click.option("--max-body-kb", type=Whole(1), default=1024, show_default=True, help="Largest request body.")
@click.option(
    "--max-connections", type=Whole(1, 100_000), default=512, show_default=True,
    help="Most open connections; one more closes the one idle longest.",
)
@click.option(
    "--request-seconds", type=Number(1, 3600), default=30, show_default=True,
    help="Time for a request body; the head has a third of it.",
)
@click.option("--log-format", type=click.Choice(["json", "text"]), help="Log format; default: text on a terminal, else json.")
@expected_by_option
@calendar_options
@db_option
def command(
    host: str, port: int, token_file: str | None, allowed_hosts: tuple[str, ...], rate: float, max_body_kb: int,
    max_connections: int, request_seconds: float, log_format: str | None, expected_by: str, calendar_file: str | None,
    grace_days: int, db: str,
) -> None:
    """Serve the HTTP API: work queue, data, health. Its description is at /openapi.json."""
    from market_spine import log
    from market_spine.core.store import open_store

    try:
        import uvicorn

        from market_spine.api import log_lines
        from market_spine.api.app import Serving, build
        from market_spine.api.guard import Guard, most_connections
    except ImportError as error:
        raise ConfigurationError("the API needs FastAPI and uvicorn", hint="pip install 'market-spine[server]'") from error

    calendar = calendar_of(calendar_file)
    serving = Serving(
        db, host, port, token_file, allowed_hosts, rate, max_body_kb << 10, request_seconds, expected_by, calendar, grace_days
    )
    app = build(serving)
    log_lines.set_up(log.set_up(quiet=False, verbose=False, json_lines=writes_json(log_format)))
    with open_store(db):
        pass  # checked before anything is served
    _warn_of_readers(token_file, db)
    greet(f"Serving {redact(db)} on http://{host}:{port}, described at /openapi.json. Stop with Ctrl-C.", log_format)
    guard = Guard(most_connections(max_connections), request_seconds / 3)
    server = uvicorn.Server(
        uvicorn.Config(
            app, host=host, port=port, log_config=None, access_log=False, server_header=False, timeout_keep_alive=15,
            h11_max_incomplete_event_size=16 << 10, http=guard.protocol(), ws="none", timeout_graceful_shutdown=20,
        )
    )
    with contextlib.suppress(Interrupted):  # uvicorn ends what is under way, then raises the signal again
        server.run()


def _warn_of_readers(*paths: str | None) -> None:
    """Warns of files that users other than their owner may read."""
    from market_spine.db import location

    for path in filter(None, paths):
        if fault := location.readable_by_others(path):
            facts = {"event": "file_mode", "path": path}
            logging.getLogger("market_spine.api").warning("%s. Try: chmod 600 %s", fault, path, extra=facts)
